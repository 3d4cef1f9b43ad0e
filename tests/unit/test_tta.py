"""TTA: its sizes, its presets, the plan in the weights, its losses by hand, the curriculum, heads."""

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mirrorflow.config.methods import METHODS
from mirrorflow.errors import ConfigError
from mirrorflow.models.seam import Batch, Progress, TargetTensors
from mirrorflow.models.supervised import Sizes, build_network
from mirrorflow.models.transport import partial, transport
from mirrorflow.models.tta import Tta, TtaOutput, objective
from mirrorflow.models.tta_parts.apart import Apart, AttentionBlock
from mirrorflow.models.tta_parts.assignment import (
    Assigning,
    Tokens,
    curriculum,
    plans,
    pseudo_label_loss,
    tokens_of_plans,
    weights_of,
)
from mirrorflow.models.tta_parts.tokens import SharedSpace
from mirrorflow.models.tta_parts.views import views_loss
from mirrorflow.probes.partial_likelihood import cox_loss

HALLMARKS = Path(__file__).parents[3] / "shared" / "gene_sets" / "hallmarks.csv"
SIZES = Sizes(patch_dim=5, gene_count=7, outputs=1, gene_sets=((0, 1, 2), (3,), (2, 4, 5, 6)))


def network(**settings: Any) -> Tta:
    found = build_network("tta", SIZES, {"width": 16, "prototypes": 4, "heads": 2, "dropout": 0.0} | settings, 0)
    assert isinstance(found, Tta)
    return found


def preset(name: str, **settings: Any) -> Tta:
    return network(**METHODS["tta"].presets[name]["network"] | settings)


def batch(patches: int = 6, padded: int = 0) -> Batch:
    source = torch.Generator().manual_seed(3)
    mask = torch.ones(3, patches, dtype=torch.bool)
    mask[0, patches - padded :] = False
    targets = TargetTensors(time_days=torch.tensor([5.0, 3.0, 8.0]), event=torch.tensor([True, True, False]))
    genes = torch.randn(3, 7, generator=source)
    return Batch(torch.randn(3, patches, 5, generator=source), mask, genes, targets)


class OnlyCox:
    def terms(self, out: Any, batch: Batch, at: Progress) -> dict[str, Tensor]:
        return {"cox": cox_loss(out.logits.squeeze(1), batch.targets.time_days, batch.targets.event)}

    def weights(self, at: Progress) -> dict[str, float]:
        return {}


START = Progress(0, 0, 0.0)


def terms_of(of: Tta, seen: Batch) -> dict[str, Tensor]:
    of.at(START)
    return objective(of, OnlyCox()).terms(of(seen), seen, START)


def assigning(kind: str = "curriculum", *, joint: bool = True, gamma: float = 0.1, semantic: float = 0.0) -> Assigning:
    return Assigning(kind, joint, gamma, 0.1, semantic, 0)


@pytest.mark.skipif(not HALLMARKS.exists(), reason="../shared/gene_sets/hallmarks.csv is not there")
def test_its_weights_are_as_many_as_in_the_released_code():
    """3,883,844 at the published size, less 580 of two layers that the released code does not use (TTA.md)."""
    with HALLMARKS.open() as stream:
        columns = [[gene for gene in column[1:] if gene] for column in zip(*csv.reader(stream), strict=True)]
    places = {gene: place for place, gene in enumerate(sorted({gene for column in columns for gene in column}))}
    sets = tuple(tuple(places[gene] for gene in column) for column in columns)
    found = build_network("tta", Sizes(1024, len(places), 1, sets), {}, 0)
    padding = found.pathway_tokens.weight.numel() - 256 * sum(map(len, sets))
    assert (len(sets), len(places), sum(map(len, sets))) == (50, 4241, 7110)
    assert sum(one.numel() for one in found.parameters()) - padding == 3_883_844 - 580


def test_the_curriculum_is_eq_9():
    assert curriculum(0.1, 1.0, 0.0) == pytest.approx(0.1 + 0.9 * math.exp(-5))
    assert curriculum(0.1, 1.0, 0.5) == pytest.approx(0.1 + 0.9 * math.exp(-1.25))
    assert curriculum(0.1, 1.0, 1.0) == curriculum(0.1, 1.0, 3.0) == 1.0


def test_mass_grows_over_the_ramp_and_stays_as_it_was_for_evaluation():
    one = network(ramp_epochs=10).train()
    one.at(Progress(0, 0, 0.0))
    assert float(one.rho) == pytest.approx(0.1 + 0.9 * math.exp(-5))
    one.at(Progress(5, 3, 0.2, 0.5))
    assert float(one.rho) == pytest.approx(curriculum(0.1, 1.0, 0.55))
    seen = one.eval()(batch())
    masses = torch.cat(list(seen.plans), dim=1).sum((1, 2)) / 9  # 6 patches and 3 pathways
    torch.testing.assert_close(masses, one.rho.expand(3), rtol=1e-4, atol=1e-5)
    again = network(ramp_epochs=10)
    again.load_state_dict(one.state_dict())
    torch.testing.assert_close(again.eval()(batch()).logits, seen.logits)


def test_released_evaluates_at_the_ramps_start_whatever_the_epoch():
    one = preset("released-masked", ramp_epochs=2)
    one.at(Progress(2, 0, 0.9))
    assert float(one.rho) == 1.0
    masses = torch.cat(list(one.eval()(batch()).plans), dim=1).sum((1, 2)) / 9
    torch.testing.assert_close(masses, torch.full((3,), 0.1 + 0.9 * math.exp(-5)), rtol=1e-4, atol=1e-5)


def test_released_has_no_plan_for_a_slide_with_padding_and_weighs_it_by_the_softmax():
    one, seen = preset("released"), batch()
    out = one(seen)
    assert all(bool((plan == 0).all()) for plan in out.plans)
    for part, plan, count in zip(out.parts, out.plans, tokens_of_plans(out.parts, joint=True), strict=True):
        torch.testing.assert_close(weights_of(part, plan, 0.5, "rows", count), part.logits.softmax(-1))
    found = terms_of(one, seen)
    assert float(found["pseudo_label_slides"].detach()) == 0
    assert bool(preset("released-masked")(seen).plans[0].any())
    assert bool(preset("released", full_bag=6)(seen).plans[0].any())


def test_eq_12_as_printed_times_tokens_and_with_rows_of_one():
    logits = torch.tensor([[[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]]])
    part = Tokens(logits, logits, torch.tensor([[True, True, False]]))
    plan = torch.tensor([[[0.6, 0.2], [0.1, 0.3], [0.0, 0.0]]])
    softmax = logits.softmax(-1)
    printed, tokens, rows = (
        weights_of(part, plan, 0.25, kind, torch.tensor([2])) for kind in ("none", "tokens", "rows")
    )
    torch.testing.assert_close(printed[0, 0], 0.75 * softmax[0, 0] + 0.25 * plan[0, 0] / 2)
    torch.testing.assert_close(tokens[0, 1], 0.75 * softmax[0, 1] + 0.25 * plan[0, 1])
    torch.testing.assert_close(rows[0, :2].sum(-1), torch.ones(2))
    torch.testing.assert_close(rows[0, 0] / rows[0, 0].sum(), tokens[0, 0] / tokens[0, 0].sum())
    assert all(bool((one[0, 2] == 0).all()) for one in (printed, tokens, rows))


def test_rows_of_a_plan_of_both_modalities_are_of_all_tokens_as_printed():
    """Eqs. 8, 12, 14: 6 patches and 3 pathways in one plan: no row above 1/9, all rows together rho."""
    one = preset("equations", mixing=1.0, rho_base=1.0, rho_upper=1.0)
    out = one(batch())
    rows = [weight.sum(-1) for weight in out.weights]
    assert max(float(each.detach().max()) for each in rows) <= 1 / 9 + 1e-6
    torch.testing.assert_close(sum(each.sum(1) for each in rows), torch.ones(3), rtol=1e-4, atol=1e-4)
    one.assigning = replace(one.assigning, joint=False)
    assert [count.tolist() for count in tokens_of_plans(out.parts, joint=False)] == [[6, 6, 6], [3, 3, 3]]
    assert [count.tolist() for count in tokens_of_plans(out.parts, joint=True)] == [[9, 9, 9], [9, 9, 9]]


def test_pathways_have_a_plan_of_their_own_whatever_makes_a_full_bag():
    one = preset("released", joint=False, full_bag=6)
    slides, rna = one(batch()).plans
    assert bool(slides.any())
    assert bool(rna.any())
    padded = preset("released", joint=False, full_bag=6)(batch(padded=1)).plans
    assert not bool(padded[0][0].any())
    assert bool(padded[1][0].any())


@pytest.mark.parametrize("rescaling", ["tokens", "rows"])
def test_a_slide_without_a_plan_has_the_softmax_where_the_plan_alone_was_asked_for(rescaling):
    one = preset("released", mixing=1.0, rescaling=rescaling)
    out = one(batch())
    assert bool(out.logits.isfinite().all())
    assert bool(out.attention.isfinite().all())
    torch.testing.assert_close(out.weights[0], out.parts[0].logits.softmax(-1))


@pytest.mark.parametrize("name", ["sound", "equations", "released", "released-masked"])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_every_loss_is_computed_in_float32_after_autocast(name, precision):
    one = network() if name == "sound" else preset(name, full_bag=0)
    one.train()
    one.at(Progress(0, 0, 0.0))
    seen, task = batch(), objective(one, OnlyCox())
    with torch.autocast("cpu", dtype=precision):
        out = one(seen)
    found = task.terms(out.in_float32(), seen, Progress(0, 0, 0.0))
    expected = task.terms(one(seen), seen, Progress(0, 0, 0.0))
    for term in found:
        assert found[term].dtype == torch.float32, term
        if not term.startswith("views"):  # those draw parts
            torch.testing.assert_close(found[term], expected[term], rtol=0.05, atol=0.02)
    sum(found.values()).backward()
    assert all(bool(p.grad.isfinite().all()) for p in one.parameters() if p.grad is not None)


def test_pseudo_labels_by_hand():
    logits = torch.tensor([[[0.0, 1.0], [2.0, 0.0], [9.0, 0.0]]])
    part = Tokens(logits, logits, torch.tensor([[True, True, False]]))
    plan = torch.tensor([[[0.6, 0.2], [0.1, 0.3], [0.0, 0.0]]])
    log = logits.log_softmax(-1)
    by_token = [-(plan[0, i] * log[0, i]).sum() for i in range(2)]
    own = torch.tensor([2])
    torch.testing.assert_close(pseudo_label_loss(part, plan, "mass", own), (by_token[0] + by_token[1]) / 2)
    torch.testing.assert_close(pseudo_label_loss(part, plan, "plan", own), (by_token[0] + by_token[1]) / 4)
    torch.testing.assert_close(pseudo_label_loss(part, plan, "rows", own), (by_token[0] / 0.8 + by_token[1] / 0.4) / 2)


def test_the_logged_loss_is_that_of_mass_at_fresh_weights():
    """rho * 0.5 ln 32: 0.184 in the released log's first epoch, here at its rho of 0.106 with uniform logits."""
    logits = torch.zeros(2, 64, 32)
    part = Tokens(logits, torch.zeros(2, 64, 4), torch.ones(2, 64, dtype=torch.bool))
    how = assigning(gamma=1.0)
    (plan,) = plans([part], how, 0.10606)
    loss = pseudo_label_loss(part, plan, "mass", torch.tensor([64, 64]))
    assert 0.5 * float(loss) == pytest.approx(0.10606 * 0.5 * math.log(32), rel=1e-4)


def test_plans_of_one_kind_and_another():
    source = torch.Generator().manual_seed(0)
    parts = [
        Tokens(torch.randn(2, n, 3, generator=source), torch.randn(2, n, 4, generator=source), mask)
        for n, mask in ((8, torch.arange(8)[None] < torch.tensor([[8], [5]])), (4, torch.ones(2, 4, dtype=torch.bool)))
    ]

    def mass(kind: str, *, joint: bool = True, rho: float = 0.4) -> list[Tensor]:
        return [plan.sum((1, 2)) for plan in plans(parts, assigning(kind, joint=joint), rho)]

    both = torch.tensor([12.0, 9.0])
    torch.testing.assert_close(sum(mass("curriculum")), 0.4 * both, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(sum(mass("fixed")), both, rtol=1e-4, atol=1e-4)
    slides, rna = mass("curriculum", joint=False)
    torch.testing.assert_close(slides, 0.4 * torch.tensor([8.0, 5.0]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(rna, torch.full((2,), 1.6), rtol=1e-4, atol=1e-4)
    balanced = plans(parts, assigning("balanced"), 0.4)
    columns = sum(plan.sum(1) for plan in balanced)
    torch.testing.assert_close(columns, (0.4 * both / 3)[:, None].expand(2, 3), rtol=1e-3, atol=1e-4)
    hard = plans(parts, assigning("kmeans"), 0.4)
    assert set(hard[0].unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(hard[0].sum((1, 2)), torch.tensor([8.0, 5.0]))
    assert not any(plan.any() for plan in plans(parts, assigning("off"), 0.4))


def test_the_semantic_term_is_that_of_s_formed():
    """At its end the plan solves the problem whose cost is linear at itself, S formed."""
    source = torch.Generator().manual_seed(1)
    logits, vectors = torch.randn(1, 7, 3, generator=source), torch.randn(1, 7, 4, generator=source)
    vectors = torch.nn.functional.normalize(vectors, dim=-1)
    part = Tokens(logits, vectors, torch.ones(1, 7, dtype=torch.bool))
    how = assigning(gamma=1.0, semantic=2.0)
    (plan,) = plans([part], how, 0.5)
    similarity = vectors[0] @ vectors[0].T
    cost = -logits[0].log_softmax(-1) - 2.0 * (similarity + similarity.T) @ (plan[0] / 7)
    expected = transport(cost[None], partial(3, 0.1, 1.0, 0.5)).weights
    torch.testing.assert_close(plan, expected, atol=1e-4, rtol=1e-3)
    (without,) = plans([part], assigning(gamma=1.0), 0.5)
    assert float((without - plan).abs().max()) > 1e-3


def test_the_contrast_by_hand():
    one = Apart(2, 0.0, projected=False, phi_on_anchors=False)
    one.phi = torch.nn.Identity()
    one.anchors.data = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    slides, rna = torch.tensor([[[3.0, 0.0], [1.0, 0.0]]]), torch.tensor([[[1.0, 1.0]]])
    right = math.log(1 + math.exp(-1 / 0.5)) + math.log(2)
    assert float(one.contrast([slides, rna], 0.5).detach()) == pytest.approx(right, rel=1e-6)


def test_two_softmaxes_of_slides_over_pathways():
    block = AttentionBlock(2, 0.0)
    block.norm, block.feed, block.last_norm = (torch.nn.Identity() for _ in range(3))
    block.to_qkv.weight.data = torch.eye(2).repeat(3, 1)
    tokens = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]]])
    scores = tokens[0] @ tokens[0].T / math.sqrt(2)
    first = torch.cat([scores[0, :1], scores[0, 1:].softmax(0)]).softmax(0)
    twice = block(tokens, 1)
    torch.testing.assert_close(twice[0, 0], first @ tokens[0])
    torch.testing.assert_close(twice[0, 1:], block(tokens)[0, 1:])


def test_only_what_is_asked_for_is_a_loss():
    everything = {"cox", "pseudo_label_slides", "pseudo_label_rna", "contrast", "views_slides", "views_rna"}
    assert set(terms_of(network(), batch())) == everything
    assert set(terms_of(network(transport="off"), batch())) == {"cox", "contrast"}
    assert set(terms_of(network(heads=0), batch())) == everything - {"views_slides", "views_rna"}
    assert set(terms_of(network(contrast_weight=0.0, label_weight=0.0, heads=0), batch())) == {"cox"}
    assert network(anchors=False, contrast_weight=0.0).apart is None
    weights = objective(network(label_weight=0.3), OnlyCox()).weights(Progress(0, 0, 0.0))
    assert weights["pseudo_label_slides"] == weights["pseudo_label_rna"] == 0.3
    assert (weights["contrast"], weights["views_rna"]) == (0.5, 0.01)


def test_contrast_alone_refines_for_the_loss_alone():
    one, other = network(anchors=False), network(anchors=False)
    other.apart.anchors.data.mul_(-3.0)
    seen = batch()
    torch.testing.assert_close(one(seen).logits, other(seen).logits)
    assert not torch.allclose(terms_of(one, seen)["contrast"], terms_of(other, seen)["contrast"])


def test_the_head_that_did_best_in_an_epoch_is_used_in_the_next():
    one = network(heads=3)
    one.at(Progress(0, 0, 0.0))
    one.head_losses.copy_(torch.tensor([2.0, 1.0, 3.0]))
    one.at(Progress(0, 1, 0.1))
    assert int(one.head) == 0
    kept = {name: value.clone() for name, value in one.state_dict().items()}
    one.at(Progress(1, 0, 0.5))
    assert int(one.head) == 1
    one.load_state_dict(kept)
    one.at(Progress(1, 0, 0.5))
    assert int(one.head) == 1, "a training that goes on from a kept state is no step that is done again"
    assert not one.head_losses.any()
    before = one(batch()).logits
    one.head.fill_(2)
    assert not torch.allclose(one(batch()).logits, before)


@pytest.mark.parametrize(("restored", "expected"), [("best", 1), ("last", 2)])
def test_restored_weights_run_with_their_head_or_with_the_last(restored, expected):
    one = network(heads=3, restored_head=restored)
    one.head.fill_(1)
    best = {name: value.clone() for name, value in one.state_dict().items()}
    one.head.fill_(2)
    one.load_best(best)
    assert int(one.head) == expected


def test_two_views_teach_each_other():
    """Tokens that are all alike make both views the same: the loss is that of a view's labels on itself."""
    torch.manual_seed(0)
    space = SharedSpace(4, 2, 3, 1, 0.5)
    tokens, mask = torch.randn(4, 1, 4).expand(4, 10, 4), torch.ones(4, 10, dtype=torch.bool)
    found = views_loss(space, tokens, mask, 0, assigning(gamma=1.0), 0.5)
    scores = space.head_scores(space.head_vectors(tokens, 0), mask, 0)
    labels = transport(-scores.log_softmax(-1), partial(3, 0.1, 1.0, 0.5)).weights
    labels = labels / labels.sum(-1, keepdim=True)
    torch.testing.assert_close(found, -(labels * scores.log_softmax(-1)).sum(-1).mean(1), rtol=1e-4, atol=1e-5)
    assert found.requires_grad


def test_a_head_averages_the_logits_of_the_real_tokens():
    torch.manual_seed(0)
    space = SharedSpace(4, 2, 3, 1, 0.5)
    tokens, mask = torch.randn(2, 5, 4), torch.tensor([[True] * 5, [True, True, False, False, False]])
    for head in range(2):
        each = space.logits(space.projected(tokens, 0, torch.tensor(head)), 0)
        expected = torch.stack([each[0].mean(0), each[1, :2].mean(0)])
        found = space.head_scores(space.head_vectors(tokens, 0), mask, 0)
        torch.testing.assert_close(found[head], expected)


def test_respective_prototypes_are_two_banks():
    one = network(shared=False)
    assert one.space.prototypes.shape == (2, 4, 16)
    before = one(batch())
    one.space.prototypes.data[1].mul_(-1)
    after = one(batch())
    torch.testing.assert_close(before.parts[0].logits, after.parts[0].logits)
    torch.testing.assert_close(before.parts[1].logits, -after.parts[1].logits)


def test_ties_in_the_order_of_the_batch():
    """Of two events at day 3 the first is at risk with both, the second with those behind it alone."""
    risk = torch.tensor([0.3, -0.2, 0.5])
    time, event = torch.tensor([3.0, 3.0, 9.0]), torch.tensor([True, True, False])
    expected = -(risk[0] - risk.logsumexp(0) + risk[1] - risk[1:].logsumexp(0)) / 2
    torch.testing.assert_close(cox_loss(risk, time, event, "order"), expected)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rho_base": 0.0}, "rho_base is 0.0"),
        ({"rho_base": 0.8, "rho_upper": 0.2}, "rho_base is 0.8, rho_upper 0.2"),
        ({"gamma": 0.0}, "gamma is 0.0"),
        ({"epsilon": -1.0}, "epsilon is -1.0"),
        ({"rho_upper": 1.5}, "rho_upper is 1.5"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(settings, said):
    with pytest.raises(ConfigError, match=said):
        network(**settings)


def test_fewer_tokens_than_prototypes_is_no_error():
    out = network(prototypes=9)(batch(patches=1))
    assert isinstance(out, TtaOutput)
    assert out.logits.isfinite().all()
