"""The field's networks: weights as many as published, what each does by hand, presets; transport's two gradients."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mirrorflow.config.methods import METHODS
from mirrorflow.config.modalities import left_out_lines
from mirrorflow.config.queries import encoders_of
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError
from mirrorflow.learners.inputs.bagged import match_sets
from mirrorflow.models.attnmisl import clusters_of
from mirrorflow.models.mmp import Attention, FeedForwards
from mirrorflow.models.otsurv import costs, curriculum
from mirrorflow.models.seam import Batch, Progress
from mirrorflow.models.supervised import Sizes, SupervisedNetwork, build_network
from mirrorflow.probes.objective import Cox, Hazards, target_tensors
from mirrorflow.probes.task import Targets
from mirrorflow.training.bags import ArrayBags
from mirrorflow.training.supervised import LabelledUnits, SupervisedSettings, Units, predict_units, train_supervised
from small_config import minimal

HALLMARKS = Path(__file__).parents[3] / "shared" / "gene_sets" / "hallmarks.csv"
SIZES = Sizes(patch_dim=5, gene_count=7, outputs=2, gene_sets=((0, 1, 2), (3,), (2, 4, 5, 6)))
WEIGHTS = {
    ("snn", 4): 1_152_772,  # 1.15 M
    ("abmil", 4): 789_765,
    ("attnmisl", 1): 69_826,  # 0.07 M
    ("transmil", 4): 2_673_172,
    ("otsurv", 1): 266_770,
    ("panther", 1): 32_784,
    ("clam", 4): 789_765 + 4 * 1026,  # 0.79 M without a head of 2 * 513 an instance class
    ("survpath", 4): 5_534_020,
    ("mmp", 1): 8_550_496 - 288,  # a LayerNorm that the public code makes and does not use
}
"""At 1,024 features, 4,241 genes, 50 pathways and so many logits, as TTA.md has counted them in the public code."""


def network(family: str, seed: int = 0, **settings: object) -> SupervisedNetwork:
    return build_network(family, SIZES, settings, seed).eval()


def seen(patches: int = 6, real: tuple[int, ...] = (6, 4, 6)) -> Batch:
    source = torch.Generator().manual_seed(3)
    mask = torch.arange(patches) < torch.tensor(real)[:, None]
    return Batch(
        torch.randn(3, patches, 5, generator=source),
        mask,
        torch.randn(3, 7, generator=source),
        counts=torch.tensor(real),
    )


def hallmarks() -> tuple[tuple[int, ...], ...]:
    with HALLMARKS.open() as stream:
        columns = [[gene for gene in column[1:] if gene] for column in zip(*csv.reader(stream), strict=True)]
    places = {gene: place for place, gene in enumerate(sorted({gene for column in columns for gene in column}))}
    return tuple(tuple(places[gene] for gene in column) for column in columns)


@pytest.mark.skipif(not HALLMARKS.exists(), reason="../shared/gene_sets/hallmarks.csv is not there")
@pytest.mark.parametrize(("family", "outputs"), WEIGHTS)
def test_weights_are_as_many_as_published(family, outputs):
    sets = hallmarks()
    genes = 4241 if "rna" in METHODS[family].inputs else 0
    with torch.device("meta"):
        found = build_network(family, Sizes(1024, genes, outputs, sets), {}, 0)
    padding = 0
    if hasattr(found, "pathways"):  # short pathways are padded with weights that stay 0
        padding = found.pathways.first.numel() - 256 * sum(map(len, sets))
    assert sum(one.numel() for one in found.parameters()) - padding == WEIGHTS[family, outputs]


def test_panthers_abmil_has_0_92_million_weights():
    with torch.device("meta"):
        found = build_network("abmil", Sizes(1024, 0, 4), METHODS["abmil"].presets["repository"]["network"], 0)
    assert sum(one.numel() for one in found.parameters()) == 921_221


@pytest.mark.parametrize("name", ["abmil", "clam", "survpath"])
def test_common_is_the_training_that_new_methods_have(name):
    method = METHODS[name]
    common = method.resolved(name, {"preset": "common"})["train"]
    assert common == METHODS["transmil"].defaults["train"]
    assert method.defaults["train"] != common


def test_clusters_are_told_apart_whatever_the_order_and_the_padding():
    source = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    truth = torch.randint(3, (1, 40), generator=source)
    patches = centres[truth] + torch.randn(1, 40, 2, generator=source)
    mask = torch.ones(1, 40, dtype=torch.bool)
    own = clusters_of(patches, mask, 3, 10)
    pairs = {(int(a), int(b)) for a, b in zip(truth[0], own[0], strict=True)}
    assert len(pairs) == 3
    order = torch.randperm(40, generator=source)
    assert torch.equal(clusters_of(patches[:, order], mask, 3, 10), own[:, order])
    padded = torch.cat([patches, torch.full((1, 5, 2), 99.0)], dim=1)
    longer = torch.cat([mask, torch.zeros(1, 5, dtype=torch.bool)], dim=1)
    assert torch.equal(clusters_of(padded, longer, 3, 10)[:, :40], own)
    assert (clusters_of(padded, longer, 3, 10)[:, 40:] == -1).all()


def test_training_in_half_precision_clusters_as_prediction_does():
    source = torch.Generator().manual_seed(5)
    patches = 30 + torch.randn(2, 200, 32, generator=source)  # far from the origin, where bfloat16 has steps of 0.25
    mask = torch.ones(2, 200, dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        own = clusters_of(patches, mask, 8, 10)
    assert torch.equal(own, clusters_of(patches, mask, 8, 10))


def test_a_bag_has_no_more_clusters_than_distinct_patches_and_empty_ones_weigh_nothing():
    patches = torch.tensor([[[0.0] * 5, [0.0] * 5, [4.0] * 5]])
    own = clusters_of(patches, torch.ones(1, 3, dtype=torch.bool), 10, 5)
    assert own[0, 0] == own[0, 1] != own[0, 2]
    out = network("attnmisl")(Batch(patches, torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, 7)))
    assert out.logits.isfinite().all()
    assert float(out.attention.detach().sum()) == pytest.approx(1.0)


def test_attnmisls_penalty_is_on_all_weights_and_off_by_default():
    with_l1, batch = network("attnmisl", l1=0.5), seen()
    expected = 0.5 * sum(float(one.detach().abs().sum()) for one in with_l1.parameters())
    assert float(with_l1.terms(with_l1(batch), batch, Progress(0, 0, 0.0))["l1"].detach()) == pytest.approx(expected)
    assert network("attnmisl").terms(with_l1(batch), batch, Progress(0, 0, 0.0)) == {}


def test_transmil_takes_each_bag_as_if_it_were_alone():
    one, batch = network("transmil", width=16, heads=2, landmarks=4), seen(real=(6, 4, 5))
    alone = [one(Batch(batch.patches[[row], :count], batch.mask[[row], :count], batch.genes[[row]])).logits
             for row, count in enumerate((6, 4, 5))]  # fmt: skip
    torch.testing.assert_close(one(batch).logits, torch.cat(alone))


def test_otsurvs_curriculum_and_mass():
    assert curriculum(0.1, 0.0) == pytest.approx(0.1 + math.exp(-5))
    assert curriculum(0.1, 0.5) == pytest.approx(0.1 + math.exp(-1.25))
    assert curriculum(0.1, 1.0) == curriculum(0.1, 7.0) == 1.0
    one, other = network("otsurv"), network("otsurv", rho_at_evaluation="full")
    for each in (one, other):
        each.at(Progress(2, 1, 0.2, 0.5))
    assert float(one.rho) == pytest.approx(curriculum(0.1, 0.25))
    assert (one._mass(), other._mass()) == (pytest.approx(curriculum(0.1, 0.25)), 1.0)


def test_otsurvs_costs_by_hand():
    tokens, prototypes = torch.tensor([[[1.0, 4.0], [3.0, 3.0], [7.0, 0.0]]]), torch.tensor([[0.0, 1.0], [5.0, 2.0]])
    mask = torch.tensor([[True, True, False]])
    # less their least values: (0, 3), (0, 0) beside (0, 1), (3, 0)
    expected = torch.tensor([[2.0, math.sqrt(18)], [1.0, 3.0], [0.0, 0.0]]) / math.sqrt(18)
    torch.testing.assert_close(costs(tokens, prototypes, mask)[0], expected)


def test_otsurvs_weights_are_the_plan_over_its_mass():
    one, batch = network("otsurv", prototypes=3), seen()
    one.at(Progress(3, 0, 0.2))
    tokens = one.embed(batch.patches)
    weights = one._weights(costs(tokens, one.prototypes, batch.mask), batch.mask)
    torch.testing.assert_close(weights.sum((1, 2)), torch.ones(3), rtol=1e-4, atol=1e-4)
    assert (weights.sum(-1) * batch.mask.sum(1, keepdim=True) * float(one.rho) <= 1 + 1e-4).all()
    assert (weights[~batch.mask] == 0).all()
    expected = one.head((weights.mT @ tokens).mT @ one.over_prototypes.weight[0] + one.over_prototypes.bias)
    torch.testing.assert_close(one(batch).logits, expected)


def test_the_unrolled_gradient_is_the_optimums_where_sweeps_converge():
    found = {}
    for gradient in ("implicit", "unrolled"):
        one = network("otsurv", prototypes=3, gradient=gradient).double()
        one.at(Progress(10, 0, 0.9))
        batch = seen()
        one(Batch(batch.patches.double(), batch.mask, batch.genes)).logits.square().sum().backward()
        found[gradient] = one.prototypes.grad
    assert found["implicit"].abs().max() > 0
    torch.testing.assert_close(found["implicit"], found["unrolled"], rtol=1e-3, atol=1e-6)


def test_otsurv_refuses_a_ramp_from_nothing():
    with pytest.raises(ConfigError, match=r"rho_base is 0.0; a share above 0"):
        network("otsurv", rho_base=0.0)


def test_mmps_feed_forward_layers_are_one_a_token():
    torch.manual_seed(0)
    layers, tokens = FeedForwards(3, 4, 0.0), torch.randn(2, 3, 4)
    changed = tokens.clone()
    changed[:, 0] += torch.tensor([1.0, 0.0, 2.0, 0.0])
    before, after = layers(tokens), layers(changed)
    assert torch.equal(before[:, 1:], after[:, 1:])
    for token in range(3):
        normed = torch.nn.functional.layer_norm(tokens[:, token], (4,))
        hidden = torch.nn.functional.gelu(normed @ layers.first[token] + layers.first_bias[token])
        torch.testing.assert_close(before[:, token], hidden @ layers.second[token] + layers.second_bias[token])


def test_mmps_second_softmax_is_on_slides_attention_to_pathways():
    block = Attention(2, 2)
    block.norm = torch.nn.Identity()
    block.to_qkv.weight.data = torch.eye(2).repeat(3, 1)
    tokens = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]]])
    scores = tokens[0] @ tokens[0].T / math.sqrt(2)
    last = torch.cat([scores[2, :2].softmax(0), scores[2, 2:]]).softmax(0)
    torch.testing.assert_close(block(tokens, 1)[0, 2], last @ tokens[0])
    torch.testing.assert_close(block(tokens, 1)[0, :2], block(tokens)[0, :2])


def test_mmps_repository_differs_from_the_default():
    one, other = (network("mmp", width=8, appended=2, softmax_twice=twice) for twice in (False, True))
    assert not torch.allclose(one(seen()).logits, other(seen()).logits)


@pytest.mark.parametrize("family", ["snn", "snntrans"])
def test_networks_of_rna_alone_do_not_look_at_slides(family):
    one, batch = network(family, width=16), seen()
    none = Batch(torch.zeros(3, 0, 5), torch.zeros(3, 0, dtype=torch.bool), batch.genes)
    assert torch.equal(one(batch).logits, one(none).logits)


@pytest.mark.parametrize("family", ["snn", "attnmisl", "otsurv", "mmp"])
@pytest.mark.parametrize("survival", ["cox", "hazards"])
def test_one_event_in_a_fold_is_enough_to_train_on(family, survival):
    count = 6
    event = np.arange(count) == 2
    times = np.arange(1.0, count + 1)
    known = Targets(pd.DataFrame(index=range(count)), time_days=times, event=event, bins=np.arange(count) % 2)
    objective = Cox(known, np.array([3.0, 6.0])) if survival == "cox" else Hazards(2)
    small = {"width": 8, "appended": 2} if family == "mmp" else {"width": 8}
    one = build_network(family, replace(SIZES, outputs=objective.outputs), small, 0)
    rng = np.random.default_rng(0)
    bags = ArrayBags([rng.normal(size=(3, 5)).astype(np.float32) for _ in range(count)])
    units = Units(bags, rng.normal(size=(count, 7)).astype(np.float32))
    how = SupervisedSettings(epochs=2, batch_size=2, tokens=3, min_steps=0, seed=1)
    labelled = LabelledUnits(units, target_tensors(known), objective, by_event=objective.by_event)
    train_supervised(one, labelled, how, device="cpu")
    risks = objective.readout(lambda: predict_units(one, units, device="cpu"))
    assert np.isfinite(risks.predict(predict_units(one, units, device="cpu")).risk).all()


def test_rna_networks_are_left_out_of_a_cohort_without_rna_and_slide_networks_of_one_without_slides():
    slides = {"slides": {"sheet": "s.tsv"}, "encoders": ["uni"], "features": {"uni": "somewhere"}}
    both = {"clinical": {"sheet": "p.tsv"}}
    names = ["snn", "snntrans", "attnmisl", "transmil", "otsurv", "panther", "mmp"]
    methods = {name: {"gene_sets": "random"} if "rna" in METHODS[name].inputs else {} for name in names}
    config = resolve(minimal(cohorts={"a": both | slides, "b": both | {"expression": "own"}}, methods=methods))
    known = {cohort: {name for name in names if encoders_of(config, cohort, name)} for cohort in ("a", "b")}
    assert known == {"a": {"attnmisl", "transmil", "otsurv", "panther"}, "b": {"snn", "snntrans"}}
    said = {line for line in left_out_lines(config) if "left out" in line and "verdicts" not in line}
    assert {line.partition(":")[0] for line in said} == {"a", "b"}
    assert any(line.startswith("a: left out snn, snntrans, mmp: sees expression") for line in said)


def test_a_pathway_without_a_gene_in_the_matrix_makes_no_token():
    """The set is left out, and the network has a token less."""
    _, sets = match_sets({"ONE": ["G1", "G2"], "NONE": ["X"], "TWO": ["G2"]}, ["t1", "t2"], ["G1", "G2"], "sets.csv")
    one = build_network("snntrans", Sizes(0, 2, 1, sets), {"width": 16}, 0)
    assert len(sets) == 2
    assert one.pathways(torch.randn(3, 2)).shape == (3, 2, 16)
