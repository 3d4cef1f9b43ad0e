import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorflow.models import losses
from mirrorflow.models.mirror import MirrorSettings
from mirrorflow.models.objective import loss_weights
from mirrorflow.models.paired import total_loss

TINY = MirrorSettings(patch_dim=4, gene_count=3, width=48, tokens=4)
number = st.floats(-6, 6, allow_nan=False)
score_pairs = st.lists(st.tuples(number, number), min_size=2, max_size=6)


def as_scores(pairs):
    both = torch.tensor(pairs, dtype=torch.float32)
    return both[None, :, 0], both[None, :, 1]


def jensen_shannon(slide, rna):
    s, t = slide.double().softmax(1), rna.double().softmax(1)
    middle = (s + t) / 2
    return 0.5 * float((s * (s / middle).log()).sum() + (t * (t / middle).log()).sum())


def test_alignment_loss_by_hand():
    # Products times tau: [[2, 0], [0, 4]].
    loss = losses.alignment_loss(torch.eye(2), torch.tensor([[1.0, 0], [0, 2]]), torch.tensor(2.0))
    first, second = math.log(1 + math.exp(-2)), math.log(1 + math.exp(-4))
    assert loss.item() == pytest.approx((first + second) / 2, abs=1e-6)


def test_alignment_loss_of_indistinguishable_units_is_log_batch():
    same = torch.ones(5, 3)
    assert losses.alignment_loss(same, same, torch.tensor(14.3)).item() == pytest.approx(math.log(5), abs=1e-5)


def test_same_patient_negatives_can_be_dropped():
    generator = torch.Generator().manual_seed(0)
    slide, rna = torch.randn(2, 3, 4, generator=generator).unbind()
    tau, patients = torch.tensor(1.0), torch.tensor([7, 7, 8])
    kept, dropped = losses.alignment_loss(slide, rna, tau), losses.alignment_loss(slide, rna, tau, patients)
    products = (slide @ rna.T).double()
    products[0, 1] = products[1, 0] = -math.inf
    rows = -products.log_softmax(1).diagonal().mean()
    columns = -products.log_softmax(0).diagonal().mean()
    assert dropped.item() == pytest.approx(float(rows + columns) / 2, abs=1e-5)
    assert dropped < kept


def test_retention_loss_counts_masked_entries_only():
    target = torch.zeros(2, 3)
    prediction = torch.tensor([[1.0, 100, 3], [100, 2, 100]])
    masked = torch.tensor([[True, False, True], [False, True, False]])
    # Unit 1: (1 + 9) / 2; unit 2: 4. Mean over units, as in Eq. 14.
    assert losses.retention_loss(prediction, target, masked).item() == 4.5


def test_retention_loss_averages_over_the_width_of_a_token():
    prediction, masked = torch.tensor([[[1.0, 3], [9, 9]]]), torch.tensor([[True, False]])
    assert losses.retention_loss(prediction, torch.zeros(1, 2, 2), masked).item() == 5.0


def test_the_gradient_of_retention_flows_into_the_target():
    target = torch.zeros(1, 2, requires_grad=True)
    losses.retention_loss(torch.ones(1, 2), target, torch.tensor([[True, False]])).backward()
    assert target.grad.tolist() == [[-2.0, 0.0]]


def test_style_loss_by_hand():
    # 1/2 (e + 4 - 1 - 1) for the first dimension, 0 for the second.
    loss = losses.style_loss(torch.tensor([[2.0, 0]]), torch.tensor([[1.0, 0]]))
    assert loss.item() == pytest.approx((math.e + 2) / 2, abs=1e-6)


@given(mean=number, log_variance=number)
def test_style_loss_is_zero_exactly_at_the_standard_normal(mean, log_variance):
    assert losses.style_loss(torch.zeros(3, 4), torch.zeros(3, 4)).item() == 0.0
    value = losses.style_loss(torch.tensor([[mean]]), torch.tensor([[log_variance]])).item()
    if abs(mean) > 1e-2 or abs(log_variance) > 1e-2:
        assert value > 0


def test_cluster_loss_by_hand():
    slide, rna = torch.tensor([[0.75, 0.25]]).log(), torch.tensor([[0.5, 0.5]]).log()
    forward = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    backward = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(2)
    assert losses.cluster_loss(slide, rna).item() == pytest.approx(forward + backward, abs=1e-6)


@settings(deadline=None)
@given(score_pairs)
def test_cluster_loss_is_a_symmetric_divergence_above_four_jsd(pairs):
    slide, rna = as_scores(pairs)
    value = losses.cluster_loss(slide, rna).item()
    assert value == pytest.approx(losses.cluster_loss(rna, slide).item(), abs=1e-6)
    assert losses.cluster_loss(slide, slide).item() == 0.0
    assert value >= -1e-6
    assert value >= 4 * jensen_shannon(slide, rna) - 1e-5
    if (slide.softmax(1) - rna.softmax(1)).abs().max() > 1e-2:
        assert value > 0


def test_the_printed_equality_with_two_jsd_does_not_hold():
    slide, rna = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    assert losses.cluster_loss(slide, rna).item() > 2 * jensen_shannon(slide, rna) + 1
    # JSD is at most log 2, the loss has no bound.
    assert losses.cluster_loss(20 * slide, 20 * rna).item() > 100


def test_hard_alignment_is_zero_for_parallel_styles():
    z = torch.tensor([[1.0, 2], [3, 4]])
    assert losses.hard_alignment_loss(z, 3 * z).item() == pytest.approx(0, abs=1e-6)
    assert losses.hard_alignment_loss(z, -z).item() == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize(("objective", "style", "cluster"), [("reference", 0.1, 0.05), ("equations", 0.2, 0.2)])
def test_objectives_weight_the_terms_as_named(objective, style, cluster):
    chosen = MirrorSettings(patch_dim=4, gene_count=3, width=48, tokens=4, objective=objective)
    weights = loss_weights(chosen)
    expected = {"alignment": 0.5, "slide_retention": 0.15, "rna_retention": 0.15, "style": style, "cluster": cluster}
    assert weights == pytest.approx(expected)
    terms = {name: torch.tensor(10.0**power) for power, name in enumerate(expected)}
    by_hand = 0.5 + 1.5 + 15 + style * 1000 + cluster * 10_000
    assert total_loss(terms, loss_weights(chosen)).item() == pytest.approx(by_hand)


def test_lambdas_of_table_viii_enter_the_total():
    chosen = MirrorSettings(
        4, 3, width=48, alignment_weight=0.4, retention_weight=0.4, style_clustering_weight=0.2, objective="equations"
    )
    assert list(loss_weights(chosen).values()) == pytest.approx([0.4, 0.2, 0.2, 0.2, 0.2])
