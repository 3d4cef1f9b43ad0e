"""A frozen network on another cohort's genes: what is new, what is trained, what is learned."""

import dataclasses

import numpy as np
import pytest
import torch

from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.models.adaptation import renew_rna_embedding
from mirrorflow.models.families import build_network
from mirrorflow.models.mirror import MirrorSettings
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.models.seam import Objective, TargetTensors
from mirrorflow.models.tangle import TangleSettings
from mirrorflow.probes.objective import CrossEntropy
from mirrorflow.training.adaptation import (
    AdaptationSettings,
    AdaptedModel,
    AdaptedTargets,
    AdaptedUnits,
    predict_adapted,
    train_adapted,
)
from mirrorflow.training.bags import ArrayBags
from mirrorflow.training.embedding import EmbedSettings, embed

WIDTH, GENES = 24, 11
MIRROR = MirrorSettings(
    4, 6, width=WIDTH, slide_heads=4, rna_heads=4, tokens=6, prototypes=10, style_widths=(12, 8, 4), attention="exact"
)
SHAPES = {"mirror": MIRROR, "tangle": TangleSettings(4, 6, width=WIDTH, tokens=6)}
EMBEDDING = {"mirror": "rna_encoder.embed.", "tangle": "rna_encoder.0."}
SETTINGS = AdaptationSettings(epochs=20, learning_rate=5e-3, embedding_learning_rate=1e-3, seed=1)


def source(family: str = "mirror") -> PairedNetwork:
    """A network as pretraining leaves it, on 6 genes."""
    network = build_network(family, SHAPES[family], 0).eval()
    network.scale_patches(torch.full((4,), 0.5), torch.full((4,), 2.0))
    return network


def model(family: str = "mirror", seed: int = 1) -> AdaptedModel:
    return AdaptedModel(renew_rna_embedding(source(family), GENES, seed), 2, seed)


def units(count: int, *, where: str = "rna", seed: int = 0, draws: int = 1) -> tuple[AdaptedUnits, np.ndarray]:
    """Units of two classes that ``where`` (rna, slides or nothing) tells apart."""
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % 2
    genes = rng.normal(size=(count, GENES)).astype(np.float32)
    slides = rng.normal(size=(draws, count, WIDTH)).astype(np.float32)
    if where == "rna":
        genes[:, :3] += 2.0 * classes[:, None]
    elif where == "slides":
        slides[:, :, :3] += 2.0 * classes[:, None]
    return AdaptedUnits(slides, genes), classes


def labelled(units: AdaptedUnits, classes: np.ndarray, objective: Objective | None = None) -> AdaptedTargets:
    return AdaptedTargets(units, TargetTensors(classes=torch.as_tensor(classes)), objective or CrossEntropy(2))


def accuracy(where: str, *, shuffled: bool = False, family: str = "mirror") -> float:
    """On units that training has not seen."""
    adapted, (train, classes) = model(family), units(200, where=where)
    if shuffled:
        classes = np.random.default_rng(3).permutation(classes)
    train_adapted(adapted, labelled(train, classes), SETTINGS, device="cpu")
    held_out, truth = units(200, where=where, seed=9)
    return float((predict_adapted(adapted, held_out, device="cpu").argmax(1).numpy() == truth).mean())


# What is new.


@pytest.mark.parametrize("family", ["mirror", "tangle"])
def test_the_rna_embedding_alone_is_new_and_takes_the_targets_genes(family):
    old, new = source(family).state_dict(), renew_rna_embedding(source(family), GENES, 1).state_dict()
    assert set(old) == set(new)
    changed = {name for name in old if old[name].shape != new[name].shape or not torch.equal(old[name], new[name])}
    embedding = {name for name in old if name.startswith(EMBEDDING[family])}
    matrices = {name for name in embedding if old[name].ndim == 2}
    assert matrices <= changed <= embedding  # LayerNorm starts from the same constants in any network
    assert new[f"{EMBEDDING[family]}{'0.' if family == 'mirror' else ''}weight"].shape[1] == GENES


def test_the_source_network_is_left_as_it_was():
    network = source()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    renew_rna_embedding(network, GENES, 1)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.settings.gene_count == 6


def test_the_new_embedding_follows_from_the_seed_alone():
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    first, again, other = (renew_rna_embedding(source(), GENES, seed).rna_encoder.embed[0].weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


# What is trained.


@pytest.mark.parametrize(("count", "seen"), [(37, 32), (9, 9)])
def test_the_last_incomplete_batch_is_left_out_where_asked(count, seen):
    train, classes = units(count)
    for drop_last, expected in ((True, seen), (False, count)):
        drawn: list[int] = []

        class Listening(CrossEntropy):
            def terms(self, out, batch, at, drawn=drawn):
                drawn.append(len(out.logits))
                return super().terms(out, batch, at)

        settings = dataclasses.replace(SETTINGS, epochs=2, drop_last=drop_last)
        train_adapted(model(), labelled(train, classes, Listening(2)), settings, device="cpu")
        assert sum(drawn) == 2 * expected


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("family", ["mirror", "tangle"])
def test_frozen_weights_are_the_same_to_the_bit_after_training(family, dropout):
    adapted, (train, classes) = model(family), units(20)
    before = {name: value.clone() for name, value in adapted.state_dict().items()}
    settings = dataclasses.replace(SETTINGS, epochs=3, dropout=dropout)
    train_adapted(adapted, labelled(train, classes), settings, device="cpu")
    after = adapted.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    embedding = {name for name in before if name.startswith(f"network.{EMBEDDING[family]}")}
    assert moved == embedding | {"head.weight", "head.bias"}


def test_training_follows_from_its_seed():
    def trained(seed: int, noise: int) -> torch.Tensor:
        torch.manual_seed(noise)
        adapted, (train, classes) = model(seed=5), units(20)
        settings = dataclasses.replace(SETTINGS, epochs=2, dropout=True, seed=seed)
        train_adapted(adapted, labelled(train, classes), settings, device="cpu")
        return predict_adapted(adapted, train, device="cpu")

    assert torch.equal(trained(1, 0), trained(1, 1))
    assert not torch.allclose(trained(1, 0), trained(2, 0))


def test_each_epoch_sees_its_draw_of_the_slides():
    adapted, (train, classes) = model(), units(20, draws=3)
    logits = [predict_adapted(adapted, train, draw=draw, device="cpu") for draw in (0, 1, 3)]
    assert torch.equal(logits[0], logits[2])
    assert not torch.allclose(logits[0], logits[1])
    blank = AdaptedUnits(train.slides * np.array([1.0, 0, 0], np.float32)[:, None, None], train.genes)
    ends = []
    for part in (train, blank):
        one = model()
        train_adapted(one, labelled(part, classes), dataclasses.replace(SETTINGS, epochs=1), device="cpu")
        ends.append(one.head.weight.detach().clone())
    assert torch.equal(*ends), "the first epoch sees the first draw alone"


# What is learned.


@pytest.mark.parametrize("family", ["mirror", "tangle"])
@pytest.mark.parametrize("where", ["rna", "slides"])
def test_a_planted_signal_is_found(family, where):
    assert accuracy(where, family=family) > 0.85


def test_a_shuffled_one_is_not():
    assert abs(accuracy("rna", shuffled=True) - 0.5) < 0.15


# Errors.


def test_what_does_not_fit_is_named():
    with pytest.raises(InputError, match="3 slide vectors beside 2 expression profiles"):
        AdaptedUnits(np.zeros((1, 3, WIDTH)), np.zeros((2, GENES)))
    with pytest.raises(InputError, match="NaN"):
        AdaptedUnits(np.zeros((1, 1, WIDTH)), np.full((1, GENES), np.nan))
    none = AdaptedUnits(np.zeros((1, 0, WIDTH)), np.zeros((0, GENES)))
    with pytest.raises(InputError, match="no training unit"):
        train_adapted(model(), labelled(none, np.zeros(0, int)), SETTINGS, device="cpu")


def test_a_loss_that_is_not_finite_stops_with_the_mend():
    train, classes = units(8)

    class Diverging(CrossEntropy):
        def terms(self, out, batch, at):
            return {"cross_entropy": out.logits.sum() * float("nan")}

    with pytest.raises(MirrorflowError, match="epoch 1, step 1; lower embedding_learning_rate"):
        train_adapted(model(), labelled(train, classes, Diverging(2)), SETTINGS, device="cpu")


# Slide vectors.


def test_slides_alone_are_embedded_as_they_are_with_rna():
    rng = np.random.default_rng(0)
    names = ["P1", "P2"]
    bags = ArrayBags([rng.normal(size=(n, 4)).astype(np.float32) for n in (3, 9)], names)
    genes = rng.normal(size=(2, 6)).astype(np.float32)
    both, alone = (
        embed(source(), bags, given, names, EmbedSettings(tokens=6), seed=0, device="cpu") for given in (genes, None)
    )
    assert np.array_equal(both.slide, alone.slide)
    assert alone.rna.shape == (1, 2, 0)
    assert alone.joined().shape == (2, WIDTH)
