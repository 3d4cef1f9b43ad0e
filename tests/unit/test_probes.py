import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from mirrorflow.cohorts.splits import survival_bin_edges, survival_bin_ends
from mirrorflow.errors import InputError
from mirrorflow.metrics import c_index
from mirrorflow.probes import cox, linear, majority
from mirrorflow.probes.hazards import curve_risk, hazard_nll, survival_curve
from mirrorflow.probes.linear_head import HeadSettings, fit_linear_head
from mirrorflow.probes.objective import CrossEntropy, target_tensors
from mirrorflow.probes.pooling import pool
from mirrorflow.probes.task import (
    Asked,
    EpochRule,
    Prediction,
    SubtypePrediction,
    SurvivalPrediction,
    Targets,
    subtype_targets,
    survival_targets,
)

BINS = 4


def subtype_case(count: int = 120, seed: int = 0, *, shuffled: bool = False) -> tuple[np.ndarray, Targets]:
    """Vectors [unit, 6] whose first three entries tell the class."""
    rng = np.random.default_rng(seed)
    classes = np.resize([0, 1, 2], count)
    vectors = rng.normal(size=(count, 6)) + 2.5 * np.eye(6)[classes]
    return vectors, Targets(pd.DataFrame(index=range(count)), classes=rng.permutation(classes) if shuffled else classes)


def survival_case(count: int = 120, seed: int = 0, *, shuffled: bool = False) -> tuple[np.ndarray, Targets, np.ndarray]:
    """Vectors [unit, 6] whose first entry raises the hazard; exponential times, a third of them censored."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 6))
    times = rng.exponential(1000 * np.exp(-1.5 * vectors[:, 0]))
    events = rng.random(count) < 2 / 3
    order = rng.permutation(count) if shuffled else np.arange(count)
    frame = pd.DataFrame({"time_days": times[order], "event": events[order].astype(float)})
    edges = survival_bin_edges(frame["time_days"].to_numpy(), frame["event"].to_numpy() == 1, BINS)
    return vectors, survival_targets(frame, edges), edges


def accuracy(prediction: Prediction, targets: Targets) -> float:
    assert isinstance(prediction, SubtypePrediction)
    np.testing.assert_allclose(prediction.probabilities.sum(1), 1)
    return float((prediction.probabilities.argmax(1) == targets.classes).mean())


@pytest.mark.parametrize(("units", "seen"), [(37, 32), (9, 8), (16, 16), (12, 8), (32, 32)])
def test_the_last_incomplete_batch_is_left_out_where_asked(units, seen, monkeypatch):
    vectors, targets = subtype_case(units)
    drawn = []

    class Listening(CrossEntropy):
        def terms(self, out, batch, at):
            drawn.append(len(out.logits))
            return super().terms(out, batch, at)

    monkeypatch.setattr("mirrorflow.probes.linear_head.CrossEntropy", Listening)
    for drop_last, expected in ((True, seen), (False, units)):
        drawn.clear()
        settings = HeadSettings(epochs=3, batch_size=16, drop_last=drop_last)
        fit_linear_head(vectors[None], vectors[None], targets, 3, settings)
        assert sum(drawn) == 3 * expected


def concordance(prediction: Prediction, targets: Targets) -> float:
    assert isinstance(prediction, SurvivalPrediction)
    assert targets.time_days is not None
    assert targets.event is not None
    if prediction.survival is not None:
        assert prediction.survival.min() >= 0
        assert prediction.survival.max() <= 1
        assert (np.diff(prediction.survival, axis=1) <= 1e-12).all()
    return float(c_index(prediction.risk, targets.time_days, targets.event, np.ones((1, len(targets))))[0])


def head(train: np.ndarray, held_out: np.ndarray, targets: Targets, outputs: int, **changes) -> Prediction:
    settings = HeadSettings(**({"epochs": 40, "learning_rate": 0.01} | changes))
    return fit_linear_head(train[None], held_out[None], targets, outputs, settings)


# Targets.


def test_subtype_targets_number_the_fixed_classes():
    assert subtype_targets(pd.DataFrame({"label": ["c", "a"]}), ["a", "b", "c"]).classes.tolist() == [2, 0]


def test_survival_targets_have_times_events_and_bins():
    targets = survival_targets(
        pd.DataFrame({"time_days": [5.0, 1.0], "event": [0.0, 1.0]}), np.array([0, 2, 4, np.inf])
    )
    assert targets.bins.tolist() == [2, 0]
    assert targets.event.tolist() == [False, True]
    assert len(targets) == 2


# Discrete hazards.


def test_hazard_likelihood_by_hand():
    # Hazards 1/2, 1/4: an event in bin 1 has (1 - 1/2) 1/4, a censoring in bin 1 (1 - 1/2)(1 - 1/4).
    logits = torch.tensor([[0.0, np.log(1 / 3)]], dtype=torch.float64)
    event = hazard_nll(logits, torch.tensor([1]), torch.tensor([1]))
    censored = hazard_nll(logits, torch.tensor([1]), torch.tensor([0]))
    assert event.item() == pytest.approx(-np.log(1 / 8))
    assert censored.item() == pytest.approx(-np.log(3 / 8))
    assert hazard_nll(logits, torch.tensor([0]), torch.tensor([True])).item() == pytest.approx(-np.log(1 / 2))


def test_hazard_likelihood_is_that_of_the_bins_one_by_one():
    logits = torch.randn(BINS * 2, BINS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cases = list(itertools.product(range(BINS), (0, 1)))
    expected = []
    for row, (last, event) in zip(logits, cases, strict=True):
        likelihood = 1.0
        for number in range(last + 1):
            hazard = 1 / (1 + np.exp(-row[number].item()))
            happened = event and number == last
            likelihood *= hazard if happened else 1 - hazard
        expected.append(-np.log(likelihood))
    bins, events = (torch.tensor(column) for column in zip(*cases, strict=True))
    assert hazard_nll(logits, bins, events).item() == pytest.approx(np.mean(expected))


def test_alpha_takes_weight_from_the_censored_alone():
    logits = torch.randn(4, BINS, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    bins, events = torch.tensor([0, 1, 2, 3]), torch.tensor([1, 0, 1, 0])
    one_by_one = [hazard_nll(logits[i : i + 1], bins[i : i + 1], events[i : i + 1]).item() for i in range(4)]
    expected = (one_by_one[0] + 0.25 * one_by_one[1] + one_by_one[2] + 0.25 * one_by_one[3]) / 4
    assert hazard_nll(logits, bins, events, alpha=0.75).item() == pytest.approx(expected)


def test_the_likelihoods_of_all_that_can_happen_add_up_to_one():
    logits = torch.randn(1, BINS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    events = [hazard_nll(logits, torch.tensor([number]), torch.tensor([1])) for number in range(BINS)]
    survived = hazard_nll(logits, torch.tensor([BINS - 1]), torch.tensor([0]))
    assert sum(torch.exp(-loss).item() for loss in [*events, survived]) == pytest.approx(1)


def test_hazard_likelihood_stays_finite_for_extreme_logits():
    logits = torch.tensor([[200.0, -200.0, 200.0, -200.0]], requires_grad=True)
    loss = hazard_nll(logits, torch.tensor([3]), torch.tensor([1]))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_survival_falls_and_a_higher_hazard_is_a_higher_risk():
    logits = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    survival = survival_curve(logits)
    assert survival[0].tolist() == pytest.approx([1 / 2, 1 / 4, 1 / 8])
    risk = curve_risk(survival)
    assert risk[0].item() == pytest.approx(-7 / 8)
    assert risk[1] > risk[0]


# The published head.


def test_head_learns_a_planted_subtype_and_not_a_shuffled_one():
    vectors, targets = subtype_case(seed=0)
    held_out, truth = subtype_case(seed=1)
    assert accuracy(head(vectors, held_out, targets, 3), truth) > 0.85
    scores = [
        accuracy(head(vectors, held_out, subtype_case(seed=seed, shuffled=True)[1], 3), truth) for seed in range(5)
    ]
    assert np.mean(scores) == pytest.approx(1 / 3, abs=0.15)


def test_head_learns_a_planted_risk_and_not_a_shuffled_one():
    vectors, targets, _ = survival_case(seed=0)
    held_out, truth, _ = survival_case(seed=1)
    assert concordance(head(vectors, held_out, targets, BINS), truth) > 0.7
    scores = [
        concordance(head(vectors, held_out, survival_case(seed=seed, shuffled=True)[1], BINS), truth)
        for seed in range(5)
    ]
    assert np.mean(scores) == pytest.approx(0.5, abs=0.15)


def test_head_follows_from_its_seed_and_leaves_the_global_one_alone():
    vectors, targets = subtype_case(30)
    torch.manual_seed(3)
    first = head(vectors, vectors, targets, 3, epochs=3)
    state = torch.get_rng_state()
    torch.manual_seed(3)
    assert torch.equal(state, torch.get_rng_state())
    second = head(vectors, vectors, targets, 3, epochs=3)
    other = head(vectors, vectors, targets, 3, epochs=3, seed=7)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert not np.array_equal(first.probabilities, other.probabilities)


def test_standardising_uses_training_units_alone():
    vectors, targets = subtype_case(60)
    held_out, truth = subtype_case(60, seed=1)
    scale, shift = np.array([1e-3, 1, 1e3, 1, 1, 1]), np.array([0, 5, 0, 0, -9, 0])
    plain = head(vectors, held_out, targets, 3, standardize=True)
    moved = head(vectors * scale + shift, held_out * scale + shift, targets, 3, standardize=True)
    np.testing.assert_allclose(moved.probabilities, plain.probabilities, atol=1e-3)
    alone = head(vectors, held_out[:1], targets, 3, standardize=True)
    np.testing.assert_allclose(alone.probabilities, plain.probabilities[:1], atol=1e-6)
    assert accuracy(plain, truth) > 0.8


def test_weight_decay_leaves_the_class_shares_alone():
    """The biases are not penalised: where the vectors tell nothing, the training shares are predicted."""
    vectors = np.zeros((100, 3))
    targets = Targets(pd.DataFrame(index=range(100)), classes=np.repeat([0, 1], [85, 15]))
    prediction = head(vectors, vectors, targets, 2, weight_decay=1.0, label_smoothing=0.0)
    assert isinstance(prediction, SubtypePrediction)
    np.testing.assert_allclose(prediction.probabilities[0], [0.85, 0.15], atol=0.05)


def test_a_constant_feature_can_be_standardised():
    vectors, targets = subtype_case(30)
    vectors[:, 5] = 4.0
    assert np.isfinite(head(vectors, vectors, targets, 3, standardize=True).probabilities).all()


def test_without_a_scorer_the_last_epoch_is_reported():
    vectors, targets = subtype_case(30)
    assert head(vectors, vectors, targets, 3, epochs=6).epoch == 6


def test_with_a_scorer_the_first_of_the_best_epochs_is_reported():
    vectors, targets = subtype_case(30)
    scores = iter([0.1, 0.8, 0.3, 0.8, -np.inf])
    seen = []

    def scorer(prediction: Prediction) -> float:
        seen.append(prediction)
        return next(scores)

    best = fit_linear_head(vectors[None], vectors[None], targets, 3, HeadSettings(epochs=5), EpochRule(scorer))
    assert best.epoch == 2
    assert np.array_equal(best.probabilities, seen[1].probabilities)
    assert not np.array_equal(best.probabilities, seen[3].probabilities)
    third = head(vectors, vectors, targets, 3, epochs=2, learning_rate=2e-3)
    np.testing.assert_array_equal(best.probabilities, third.probabilities)


def test_each_epoch_sees_a_draw_of_its_own():
    vectors, targets = subtype_case(60)
    nonsense = np.random.default_rng(0).normal(size=vectors.shape)
    settings = HeadSettings(epochs=4, learning_rate=0.01)
    draws = fit_linear_head(np.stack([vectors, nonsense]), np.stack([nonsense, vectors]), targets, 3, settings)
    # The last of four epochs is evaluated on the second draw, the vectors.
    assert accuracy(draws, targets) > 0.5
    swapped = fit_linear_head(np.stack([vectors, nonsense]), np.stack([vectors, nonsense]), targets, 3, settings)
    assert accuracy(swapped, targets) < 0.5


# What a user would try first.


def alike(targets: Targets, count: int, ends: np.ndarray) -> SurvivalPrediction:
    return majority.kaplan_meier(targets).predict(np.zeros((count, 0)), Asked(0, ends))


def logistic(train: np.ndarray, held_out: np.ndarray, targets: Targets, n_classes: int, C: float) -> SubtypePrediction:
    asked = Asked(n_classes)
    return linear.fit(train, targets, asked, {"C": C}).predict(held_out, asked)


def hazards(train: np.ndarray, held_out: np.ndarray, targets: Targets, bins: int, C: float) -> SurvivalPrediction:
    return linear.fit_hazards(train, targets, bins, C).predict(held_out, Asked(0))


def test_majority_gives_the_training_shares():
    targets = Targets(pd.DataFrame(index=range(4)), classes=np.array([2, 0, 2, 2]))
    prediction = majority.class_shares(targets, 3).predict(np.zeros((2, 0)), Asked(3))
    assert prediction.probabilities.tolist() == [[0.25, 0, 0.75]] * 2


def test_all_units_has_the_same_kaplan_meier_curve():
    # Times 1, 2, 3+, 4: survival 3/4 after 1, 1/2 after 2, 0 after 4.
    frame = pd.DataFrame({"time_days": [1.0, 2, 3, 4], "event": [1.0, 1, 0, 1]})
    edges = np.array([0, 1.5, 2.5, 3.5, np.inf])
    targets = survival_targets(frame, edges)
    prediction = alike(targets, 3, survival_bin_ends(edges, targets.time_days))
    assert prediction.survival.tolist() == [[0.75, 0.5, 0.5, 0]] * 3
    assert prediction.risk.tolist() == [-1.75] * 3


def test_everyone_alike_ranks_nobody():
    _, targets, edges = survival_case()
    ends = survival_bin_ends(edges, targets.time_days)
    assert concordance(alike(targets, len(targets), ends), targets) == 0.5


def test_logistic_regression_finds_a_planted_subtype_and_not_a_shuffled_one():
    vectors, targets = subtype_case(seed=0)
    held_out, truth = subtype_case(seed=1)
    assert accuracy(logistic(vectors, held_out, targets, 3, 0.01), truth) > 0.85
    scores = [
        accuracy(logistic(vectors, held_out, subtype_case(seed=s, shuffled=True)[1], 3, 0.01), truth) for s in range(5)
    ]
    assert np.mean(scores) == pytest.approx(1 / 3, abs=0.15)


def test_a_class_without_training_units_gets_probability_zero():
    vectors, targets = subtype_case(60)
    known = targets.classes != 1
    subset = Targets(targets.units[known], classes=targets.classes[known])
    prediction = logistic(vectors[known], vectors, subset, 3, 1.0)
    assert (prediction.probabilities[:, 1] == 0).all()
    np.testing.assert_allclose(prediction.probabilities.sum(1), 1)


def test_a_single_training_class_gives_its_share():
    targets = Targets(pd.DataFrame(index=range(3)), classes=np.array([1, 1, 1]))
    prediction = logistic(np.zeros((3, 2)), np.zeros((2, 2)), targets, 3, 1.0)
    assert prediction.probabilities.tolist() == [[0, 1, 0]] * 2


@pytest.mark.parametrize("method", ["hazards", "cox"])
def test_survival_models_find_a_planted_risk_and_not_a_shuffled_one(method):
    held_out, truth, _ = survival_case(seed=1)

    def fit(seed: int, *, shuffled: bool) -> float:
        vectors, targets, edges = survival_case(seed=seed, shuffled=shuffled)
        if method == "hazards":
            prediction = hazards(vectors, held_out, targets, BINS, 0.1)
        else:
            ends = survival_bin_ends(edges, targets.time_days)
            prediction = cox.fit_cox(vectors, targets, components=4, alpha=10.0).predict(held_out, Asked(0, ends))
        assert prediction.survival.shape == (len(truth), BINS)
        return concordance(prediction, truth)

    assert fit(0, shuffled=False) > 0.7
    assert np.mean([fit(seed, shuffled=True) for seed in range(5)]) == pytest.approx(0.5, abs=0.15)


def test_hazards_without_features_are_the_life_table():
    # Without anything to tell units apart, hazards are events over units at risk in each bin.
    _, targets, _ = survival_case(400)
    zeros = np.zeros((len(targets), 1))
    prediction = hazards(zeros, zeros[:1], targets, BINS, 100.0)
    at_risk = np.array([(targets.bins >= number).sum() for number in range(BINS)])
    events = np.array([((targets.bins == number) & targets.event).sum() for number in range(BINS)])
    np.testing.assert_allclose(prediction.survival[0], np.cumprod(1 - events / at_risk), atol=2e-3)


@pytest.mark.parametrize("event", [0.0, 1.0])
def test_hazards_need_units_with_and_without_an_event(event):
    frame = pd.DataFrame({"time_days": [1.0, 1.5], "event": [event, event]})
    targets = survival_targets(frame, np.array([0, 2, 3, np.inf]))
    with pytest.raises(InputError, match="2 training units: hazards cannot be fitted"):
        hazards(np.ones((2, 1)), np.ones((1, 1)), targets, 3, 1.0)


@pytest.mark.parametrize(("count", "event"), [(1, 1.0), (4, 0.0)])
def test_cox_needs_two_units_and_an_event(count, event):
    frame = pd.DataFrame({"time_days": np.arange(1.0, count + 1), "event": event})
    edges = np.array([0, 2, np.inf])
    vectors = np.random.default_rng(0).normal(size=(count, 3))
    with pytest.raises(InputError, match="Cox cannot be fitted"):
        cox.fit_cox(vectors, survival_targets(frame, edges), components=2, alpha=1.0)


@pytest.mark.parametrize("fit", ["logistic", "hazards", "cox"])
def test_a_units_prediction_does_not_depend_on_the_other_evaluation_units(fit):
    vectors, targets, edges = survival_case(60)
    classes = Targets(targets.units, classes=np.resize([0, 1], 60))

    def predict(held_out: np.ndarray) -> np.ndarray:
        if fit == "logistic":
            return logistic(vectors, held_out, classes, 2, 0.1).probabilities[:, 1]
        if fit == "hazards":
            return hazards(vectors, held_out, targets, BINS, 0.1).risk
        ends = survival_bin_ends(edges, targets.time_days)
        return cox.fit_cox(vectors, targets, components=3, alpha=1.0).predict(held_out, Asked(0, ends)).risk

    np.testing.assert_allclose(predict(vectors)[:3], predict(vectors[:3]), rtol=1e-9)


# Pooling.


def test_pooling_by_hand():
    bag = np.array([[1, 10], [3, 10]], dtype=np.float16)
    assert pool(bag, "mean").tolist() == [2, 10]
    np.testing.assert_allclose(pool(bag, "mean_std"), [2, 10, np.sqrt(2), 0])  # ddof 1
    assert pool(bag[:1], "mean_std").tolist() == [1, 10, 0, 0]
    assert pool(bag, "mean").dtype == np.float32


def test_pooling_half_precision_does_not_overflow():
    assert pool(np.full((3000, 1), 100, dtype=np.float16), "mean_std").tolist() == [100, 0]


def unwritable(values: np.ndarray) -> np.ndarray:
    """As columns of pandas 3 come: nobody may write them, and torch warns of it."""
    values = np.array(values)
    values.flags.writeable = False
    return values


def test_targets_that_nobody_may_write_train_as_others_do():
    _, targets, _ = survival_case(60)
    names = ("time_days", "event", "bins")
    fixed = replace(targets, **{name: unwritable(getattr(targets, name)) for name in names})
    ours, theirs = target_tensors(targets), target_tensors(fixed)
    assert all(torch.equal(getattr(ours, name), getattr(theirs, name)) for name in names)
    theirs.bins[0] += 1  # a tensor of its own: the cohort's column stays
    assert fixed.bins[0] == targets.bins[0]
    _, targets = subtype_case(60)
    classes = target_tensors(replace(targets, classes=unwritable(targets.classes))).classes
    assert classes.tolist() == list(targets.classes)
