"""A GPU whose memory is full: once more with less, then what to lower."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mirrorflow.errors import MirrorflowError
from mirrorflow.learners.pretrained import pretrain
from mirrorflow.models.families import build_network
from mirrorflow.models.mirror import MirrorSettings
from mirrorflow.models.supervised import Sizes
from mirrorflow.models.supervised import build_network as build_supervised
from mirrorflow.steps.slides.encode_slides import Run
from mirrorflow.training import complexity
from mirrorflow.training.adaptation import AdaptedModel, AdaptedUnits, predict_adapted
from mirrorflow.training.best_epoch import ValidationUnits
from mirrorflow.training.devices import guarded
from mirrorflow.training.embedding import EmbedSettings, embed
from mirrorflow.training.pretraining import Layout, PairedData, Pretraining
from mirrorflow.training.sensitivity import KnownUnits, sensitivities
from mirrorflow.training.settings import ComputeSettings, PretrainSettings
from mirrorflow.training.supervised import Units, predict_units
from planted import GENES, PATCH_DIM, TOKENS, planted

NAMES = [f"P{i}" for i in range(8)]


def network_of():
    shape = {"width": 48, "tokens": TOKENS, "prototypes": 30, "style_widths": (24, 16, 8), "dropout": 0.0}
    return build_network("mirror", MirrorSettings(PATCH_DIM, GENES, **shape), 0)


def fits(module: torch.nn.Module, method: str, at_most: int, monkeypatch) -> list[int]:
    """Pretend that ``at_most`` units fit; returns the sizes that were tried."""
    whole, tried = getattr(module, method), []

    def limited(patches, *given, **named):
        tried.append(len(patches))
        if len(patches) > at_most:
            message = "CUDA out of memory. Tried to allocate 2.00 GiB"
            raise torch.OutOfMemoryError(message)
        return whole(patches, *given, **named)

    monkeypatch.setattr(module, method, limited)
    return tried


WHOLE = ComputeSettings()


def train(network, compute: ComputeSettings = WHOLE):
    bags, genes = planted(8)
    settings = PretrainSettings(epochs=2, batch_size=8, tokens=TOKENS, precision="float32", seed=1)
    return pretrain(network, PairedData(bags, genes), settings, layout=Layout("cpu", compute))


def test_a_step_goes_on_with_half_the_units_at_a_time(monkeypatch, caplog):
    network = network_of()
    tried = fits(network, "forward", 4, monkeypatch)
    with caplog.at_level("WARNING", "mirrorflow"):
        history = train(network)
    assert tried == [8, 4, 4, 4, 4]  # the whole batch once; halves for it and for the second epoch
    assert "micro_batch: 4 from now on" in caplog.text
    expected = train(network_of(), ComputeSettings(micro_batch=4))
    assert [row["total"] for row in history] == pytest.approx([row["total"] for row in expected], rel=1e-6)


@pytest.mark.parametrize(("compute", "advice"), [({}, "micro_batch: 2"), ({"micro_batch": 4}, "micro_batch: 1")])
def test_where_half_is_too_much_it_says_what_to_lower(monkeypatch, compute, advice):
    network = network_of()
    fits(network, "forward", 1 if not compute else 0, monkeypatch)
    with pytest.raises(MirrorflowError, match=advice):
        train(network, ComputeSettings(**compute))


def test_embedding_goes_on_in_halves_and_gives_the_same(monkeypatch):
    bags, genes = planted(8)
    settings = EmbedSettings(tokens=TOKENS, batch_size=8)
    network = network_of()
    expected = embed(network, bags, genes, NAMES, settings, seed=0, device="cpu")
    tried = fits(network, "encode_slides", 4, monkeypatch)
    found = embed(network, bags, genes, NAMES, settings, seed=0, device="cpu")
    assert tried == [8, 4, 4]
    np.testing.assert_allclose(found.slide, expected.slide, rtol=1e-5, atol=1e-6)
    fits(network, "encode_slides", 1, monkeypatch)
    with pytest.raises(MirrorflowError, match=r"8 units of 10 tokens are embedded.*lower pretrain\.batch_size"):
        embed(network, bags, genes, NAMES, settings, seed=0, device="cpu")


@pytest.mark.parametrize("losses", [("alignment", "retention", "style", "cluster"), ("retention",)])
def test_validation_goes_on_in_halves_and_gives_the_same(monkeypatch, losses):
    bags, genes = planted(8)
    shape = {"width": 48, "tokens": TOKENS, "prototypes": 30, "style_widths": (24, 16, 8), "dropout": 0.1}
    network = build_network("mirror", MirrorSettings(PATCH_DIM, GENES, losses=losses, **shape), 0)
    settings = PretrainSettings(batch_size=8, tokens=TOKENS, precision="float32", evaluation_draws="anew")
    training = Pretraining(network, PairedData(bags, genes), settings, Layout("cpu"))
    validation = ValidationUnits(bags, genes, np.arange(8))
    expected = training.loss_on(validation, 1)
    tried = fits(network, "forward", 4, monkeypatch)
    assert training.loss_on(validation, 1) == pytest.approx(expected, rel=1e-6)
    assert tried == [8, 4, 4]
    fits(network, "forward", 3, monkeypatch)
    with pytest.raises(MirrorflowError, match="memory is full"):
        training.loss_on(validation, 1)


def test_sensitivities_go_on_in_halves_and_are_the_same(monkeypatch):
    bags, genes = planted(4)
    network, head = network_of(), (np.ones((2, 96)) / 96, np.zeros(2))
    network.eval()
    units = KnownUnits(NAMES[:4], bags, genes, np.array([0, 1, 0, 1]))
    settings = EmbedSettings(tokens=TOKENS)
    expected = sensitivities(network, head, units, settings, seed=0, device="cpu")
    tried = fits(network, "encode", 2, monkeypatch)
    found = sensitivities(network, head, units, settings, seed=0, device="cpu")
    assert tried == [4, 2, 2]
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-8)
    fits(network, "encode", 1, monkeypatch)
    with pytest.raises(MirrorflowError, match=r"lower pretrain\.tokens"):
        sensitivities(network, head, units, settings, seed=0, device="cpu")


def test_an_adapted_model_predicts_in_halves(monkeypatch):
    model = AdaptedModel(network_of(), 2, 0)
    _, genes = planted(8)
    units = AdaptedUnits(np.random.default_rng(0).normal(size=(1, 8, 48)).astype(np.float32), genes)
    expected = predict_adapted(model, units, device="cpu")
    tried = fits(model, "forward", 4, monkeypatch)
    torch.testing.assert_close(predict_adapted(model, units, device="cpu"), expected)
    assert tried == [8, 4, 4]
    fits(model, "forward", 3, monkeypatch)
    with pytest.raises(MirrorflowError, match="let fewer jobs share the GPU"):
        predict_adapted(model, units, device="cpu")


def test_patches_are_encoded_in_halves_from_then_on(monkeypatch):
    spec, tried = SimpleNamespace(name="e"), []

    def encoder(images):
        tried.append(len(images))
        if len(images) > limit:
            raise torch.OutOfMemoryError
        return images.reshape(len(images), -1).astype(np.float32)

    images = np.arange(8 * 12, dtype=np.uint8).reshape(8, 2, 2, 3)
    limit, run = 4, Run(encoder, spec, 0.1, 8)
    for _ in range(2):
        np.testing.assert_array_equal(run._features(images), images.reshape(8, 12))
    assert tried == [8, 4, 4, 4, 4]
    limit = 3
    with pytest.raises(MirrorflowError, match=r"encoder e: .*half of one; lower features\.batch_size"):
        Run(encoder, spec, 0.1, 8)._features(images)


def test_costs_that_do_not_fit_say_what_to_lower(monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(complexity, "_best_seconds", full)
    sizes, how = complexity.Dimensions(8, 10, 6, 24), {"batch": 2, "steps": 1, "precision": "float32", "threads": 1}
    with pytest.raises(MirrorflowError, match=r"2 samples of abmil, downstream; lower complexity\.batch_size"):
        complexity.measure("abmil", "downstream", sizes, device="cpu", **how)


def test_a_bag_that_does_not_fit_is_named(monkeypatch):
    bags, genes = planted(3)
    network = build_supervised("abmil", Sizes(PATCH_DIM, 0, 2), {}, 0)

    def full(_batch):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(network, "forward", full)
    with pytest.raises(MirrorflowError, match=rf"0: the GPU's memory is full with all {len(bags[0])} patches"):
        predict_units(network, Units(bags, genes[:, :0]), device="cpu")


def test_other_errors_stay_what_they_are():
    def wrong() -> int:
        message = "mat1 and mat2 shapes cannot be multiplied"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="mat1"):
        guarded(wrong, lambda: "full", lambda: 3)
    assert guarded(lambda: 2, lambda: "full") == 2
