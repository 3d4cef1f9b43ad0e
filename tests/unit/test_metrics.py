"""Metrics by hand on a handful of patients; agreement with libraries is in tests/reference."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirrorflow import metrics

ONES = np.ones((1, 5))
TIMES = np.array([1.0, 2, 3, 4, 5])
EVENTS = np.array([True, False, True, True, False])


def probabilities(*predicted: int, classes: int = 3) -> np.ndarray:
    """Probabilities whose largest is that of the predicted class."""
    return np.eye(classes)[list(predicted)] * 0.6 + 0.1


def c_index(risk: list[float], times: np.ndarray = TIMES, events: np.ndarray = EVENTS) -> float:
    return float(metrics.c_index(np.array(risk, float), times, events, np.ones((1, len(times))))[0])


def subtyping(predicted: list[int], true: list[int], classes: int = 3) -> dict[str, float]:
    scores = metrics.subtyping_metrics(
        probabilities(*predicted, classes=classes), np.array(true), np.ones((1, len(true)))
    )
    return {name: float(values[0]) for name, values in scores.items()}


# C-index. Of the five, 1 < 2, 3, 4, 5 (4 pairs), 3 < 4, 5 (2 pairs) and 4 < 5 (1 pair) can be compared: 7.


def test_c_index_by_hand():
    assert c_index([5, 4, 3, 2, 1]) == 1
    assert c_index([1, 2, 3, 4, 5]) == 0
    # Pairs (1,2), (1,3), (1,4), (1,5) and (4,5) agree; (3,4) and (3,5) do not.
    assert c_index([5, 4, 1, 3, 2]) == pytest.approx(5 / 7)


def test_tied_risks_count_half():
    assert c_index([1, 1, 1, 1, 1]) == 0.5
    # (1,2) tied, (1,3), (1,4), (1,5), (3,5), (4,5) agree, (3,4) tied.
    assert c_index([5, 5, 3, 3, 1]) == pytest.approx(6 / 7)


def test_patients_with_the_same_time_are_compared_when_one_is_censored():
    times = np.array([1.0, 1.0])
    assert c_index([2, 1], times, np.array([True, False])) == 1
    assert c_index([1, 2], times, np.array([True, False])) == 0
    assert np.isnan(c_index([1, 2], times, np.array([True, True])))


def test_all_censored_is_undefined_and_says_why():
    assert np.isnan(c_index([1, 2, 3, 4, 5], events=np.zeros(5, bool)))
    assert metrics.undefined_reason("c_index", 5, 0, 0) == "no comparable pair (0 events)"


def test_one_event_is_compared_with_those_who_lived_longer():
    events = np.array([False, False, True, False, False])
    assert c_index([9, 9, 5, 6, 1], events=events) == 0.5
    last = np.array([False, False, False, False, True])
    assert np.isnan(c_index([1, 2, 3, 4, 5], events=last))


def test_nobody_is_undefined():
    assert np.isnan(metrics.c_index(np.zeros(0), np.zeros(0), np.zeros(0, bool), np.ones((1, 0)))[0])
    assert metrics.undefined_reason("accuracy", 0, 0, 0) == "no evaluation unit"


outcomes = st.lists(
    st.tuples(st.integers(1, 6), st.booleans(), st.integers(-3, 3)),
    min_size=2,
    max_size=12,
)


@given(outcomes)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_reversed_risks_give_one_minus_c(patients):
    times, events, risk = (np.array(column) for column in zip(*patients, strict=True))
    there, back = c_index(risk, times.astype(float), events), c_index(-risk, times.astype(float), events)
    assert np.isnan(there) == np.isnan(back)
    assert np.isnan(there) or there + back == pytest.approx(1)


def test_c_index_depends_on_ranks_alone():
    risk = np.array([5.0, 4, 1, 3, 2])
    assert c_index(np.exp(risk)) == c_index(risk) == c_index(1000 * risk - 7)


# Subtyping.


def test_subtyping_by_hand():
    # Truth 0 0 1 1 2, predicted 0 1 1 1 2: recall 1/2, 1, 1; F1 2/3, 4/5, 1.
    scores = subtyping([0, 1, 1, 1, 2], [0, 0, 1, 1, 2])
    assert scores["accuracy"] == pytest.approx(4 / 5)
    assert scores["balanced_accuracy"] == pytest.approx(5 / 6)
    assert scores["f1_macro"] == pytest.approx((2 / 3 + 4 / 5 + 1) / 3)


def test_an_absent_class_counts_only_when_it_is_predicted():
    never = subtyping([0, 0, 1, 1, 1], [0, 0, 0, 1, 1])
    assert never["f1_macro"] == pytest.approx((4 / 5 + 4 / 5) / 2)
    assert never["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    once = subtyping([0, 0, 2, 1, 1], [0, 0, 0, 1, 1])
    assert once["f1_macro"] == pytest.approx((4 / 5 + 1 + 0) / 3)
    assert once["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)


def test_a_constant_predictor_has_the_share_of_its_class():
    scores = subtyping([0] * 5, [0, 0, 0, 0, 1], classes=2)
    assert scores == {
        "accuracy": 0.8,
        "balanced_accuracy": 0.5,
        "f1_macro": pytest.approx((8 / 9 + 0) / 2),
        "auroc": 0.5,
        "ece": pytest.approx(0.1),
    }


def test_tied_probabilities_go_to_the_first_class():
    matrix = metrics.confusion(np.full((1, 3), 1 / 3), np.array([2]), np.ones((1, 1)))
    assert matrix[0].tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]


def test_auroc_by_hand():
    score = np.array([0.1, 0.4, 0.35, 0.8, 0.8])
    both = np.stack([1 - score, score], axis=1)
    # Positives 0.35, 0.8; negatives 0.1, 0.4, 0.8: wins 1 + 2.5 of 6.
    area = metrics.auroc(both, np.array([0, 0, 1, 1, 0]), ONES)
    assert area[0] == pytest.approx(3.5 / 6)


def test_auroc_is_undefined_with_one_class_and_says_so():
    assert np.isnan(subtyping([0, 1], [1, 1], classes=2)["auroc"])
    assert np.isnan(subtyping([0, 1], [1, 1], classes=3)["auroc"])
    assert metrics.undefined_reason("auroc", 2, 1, 0) == "only 1 class among the evaluation units"


def test_multiclass_auroc_leaves_absent_classes_out():
    three = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1]])
    # Class 0 against the rest: 2 positives, 1 negative, both above it; class 1 as well; class 2 is absent.
    assert metrics.auroc(three, np.array([0, 1, 0]), np.ones((1, 3)))[0] == 1


def test_calibration_error_by_hand():
    # Two units at 0.95 (one right), three at 0.65 (two right): |1/2 - 0.95| * 2/5 + |2/3 - 0.65| * 3/5.
    sure = np.array([[0.95, 0.05]] * 2 + [[0.65, 0.35]] * 3)
    error = metrics.expected_calibration_error(sure, np.array([0, 1, 0, 0, 1]), ONES)
    assert error[0] == pytest.approx(abs(0.5 - 0.95) * 2 / 5 + abs(2 / 3 - 0.65) * 3 / 5)


def test_label_smoothing_is_taken_out_again():
    true = np.array([[0.8, 0.2, 0.0], [0.1, 0.2, 0.7]])
    smoothed = 0.9 * true + 0.1 / 3
    np.testing.assert_allclose(metrics.undo_smoothing(smoothed, 0.1), true, atol=1e-12)
    over = metrics.undo_smoothing(np.array([[0.999, 0.001]]), 0.1)
    assert (over >= 0).all()
    assert over.sum() == pytest.approx(1)


def test_only_a_method_trained_with_smoothing_has_it_taken_out():
    case = probabilities(0, 1, 1), np.array([0, 1, 0]), np.ones((1, 3))
    assert "ece_unsmoothed" not in metrics.subtyping_metrics(*case)
    assert "ece_unsmoothed" in metrics.subtyping_metrics(*case, smoothing=0.1)


# Follow-up: tau, censoring weights, the grid.


def followed(times: np.ndarray = TIMES, events: np.ndarray = EVENTS, train=None) -> metrics.FollowUp:
    known = (TIMES, EVENTS) if train is None else train
    return metrics.follow_up(*known, times, events)


def test_tau_ends_where_a_tenth_of_the_training_patients_is_left():
    # Censored at 2 (G = 1 - 1/4) and at 5 (G = 0): the last training time with G >= 0.1 is 4.
    assert followed().tau == 4
    assert followed(times=TIMES / 2).tau == 2.5  # the last evaluation time is the smaller
    assert followed(train=(TIMES, np.ones(5, bool))).tau == 5  # nobody is censored


@pytest.mark.parametrize("patients", [40, 50, 100, 200])
def test_tau_counts_a_tenth_as_a_tenth_whatever_the_rounding(patients):
    # One patient is censored a day: on the day on which nine tenths are gone, G is 0.1 (0.0999... as a product).
    train = (np.arange(1.0, patients + 1), np.zeros(patients, bool))
    here = followed(times=np.array([1.0, patients]), events=np.array([True, False]), train=train)
    assert here.tau == 0.9 * patients


def test_training_patients_without_an_event_give_weights_all_the_same():
    # All are censored, one after the other: G(t) is the share that is still there.
    here = followed(train=(TIMES, np.zeros(5, bool)))
    assert here.tau == 4
    np.testing.assert_allclose(here.uncensored, [0.8, 0.6, 0.4, 1, 1])
    risk = np.array([5.0, 4, 1, 3, 2])  # of events before tau all four pairs of the first agree, none of the third
    expected = 4 / 0.8**2 / (4 / 0.8**2 + 2 / 0.4**2)
    assert metrics.uno_c(risk, TIMES, EVENTS, ONES, here)[0] == pytest.approx(expected)


def test_weights_come_from_training_patients_alone():
    one = followed()
    assert one.uncensored.tolist() == [1, 0.75, 0.75, 1, 1]  # at or beyond tau nothing is weighted
    other = followed(events=~EVENTS)
    np.testing.assert_array_equal(one.uncensored, other.uncensored)
    assert one.tau == other.tau


def test_the_grid_lies_inside_the_evaluation_follow_up():
    grid = followed().grid
    assert grid[0] == 1
    assert 3.5 < grid[-1] < 4
    assert (np.diff(grid) > 0).all()


@pytest.mark.parametrize(
    ("events", "train", "reason"),
    [
        (np.zeros(5, bool), None, r"no evaluation event before tau \(4 days\)"),
        (np.array([False, False, False, True, True]), None, "no evaluation event before tau"),
        (EVENTS, (np.empty(0), np.empty(0, bool)), "no training patient"),
    ],
)
def test_without_a_follow_up_weighted_metrics_are_undefined_and_say_why(events, train, reason):
    nothing = followed(events=events, train=train)
    scores = metrics.survival_metrics(np.arange(5.0), TIMES, events, ONES, nothing, np.ones((5, 0)), np.ones(5))
    for metric in metrics.NEEDS_FOLLOW_UP:
        assert np.isnan(scores[metric][0])
        said = metrics.undefined_reason(metric, 5, 0, int(events.sum()), nothing.reason)
        assert re.match(reason, said)


# Uno's C, time-dependent AUC, Brier score on the same five.


def test_uno_by_hand():
    # Events before tau = 4: at 1 (weight 1, four pairs) and at 3 (weight 1 / 0.75^2, two pairs).
    w = 1 / 0.75**2
    risk = np.array([5.0, 4, 1, 3, 2])  # all four pairs of the first agree, neither pair of the third
    assert metrics.uno_c(risk, TIMES, EVENTS, ONES, followed())[0] == pytest.approx(4 / (4 + 2 * w))
    tied = np.array([5.0, 4, 3, 3, 1])
    assert metrics.uno_c(tied, TIMES, EVENTS, ONES, followed())[0] == pytest.approx((4 + 1.5 * w) / (4 + 2 * w))


def test_uno_without_censored_training_patients_is_harrells_before_tau():
    train = (np.arange(1.0, 20), np.ones(19, bool))
    risk = np.array([5.0, 4, 1, 3, 2])
    all_units = metrics.uno_c(risk, TIMES, EVENTS, ONES, followed(train=train))[0]
    assert all_units == c_index(risk.tolist())


@pytest.mark.parametrize("metric", [metrics.uno_c, metrics.mean_time_auc])
def test_reversed_risks_turn_a_ranking_around(metric):
    risk = np.array([5.0, 4, 1, 3, 2])
    there, back = (metric(sign * risk, TIMES, EVENTS, ONES, followed())[0] for sign in (1, -1))
    assert there + back == pytest.approx(1)
    assert metric(np.zeros(5), TIMES, EVENTS, ONES, followed())[0] == 0.5


def test_time_dependent_auc_by_hand():
    # Before day 3 the case is patient 1, above all units alive: 1. From day 3 on patient 3 (weight 4/3) is a case
    # below both who live on: 1 / (1 + 4/3). Survival drops by 1/5 at day 1 and by (4/5)(1/3) at day 3.
    risk = np.array([5.0, 4, 1, 3, 2])
    late = 1 / (1 + 4 / 3)
    drops = np.array([1 / 5, 4 / 15])
    expected = (drops * [1, late]).sum() / drops.sum()
    assert metrics.mean_time_auc(risk, TIMES, EVENTS, ONES, followed())[0] == pytest.approx(expected)


def test_brier_scores_of_perfect_blind_and_wrong_curves():
    here = followed()
    alive = (TIMES[:, None] > here.grid).astype(float)
    assert metrics.integrated_brier(alive, TIMES, EVENTS, ONES, here)[0] == 0
    half = metrics.brier_scores(np.full_like(alive, 0.5), TIMES, EVENTS, ONES, here)[0]
    # On day 1: one dead (weight 1), four alive (weight 1): 5 * 0.25 / 5.
    assert half[0] == pytest.approx(0.25)
    wrong = metrics.integrated_brier(1 - alive, TIMES, EVENTS, ONES, here)[0]
    assert wrong > metrics.integrated_brier(np.full_like(alive, 0.5), TIMES, EVENTS, ONES, here)[0]


# Five patients with ties: two leave on day 2, one by an event; patients 2, 3 and 4 have the same risk. They are the
# training patients as well: censored on day 2 is one of the three whom the event of that day leaves, so that G(2) =
# 2/3; G(5) = 0 and tau = 4.

TIED_TIMES = np.array([1.0, 2, 2, 4, 5])
TIED_EVENTS = np.array([True, True, False, True, False])
TIED_RISK = np.array([3.0, 2, 2, 2, 1])


def followed_ties() -> metrics.FollowUp:
    return followed(TIED_TIMES, TIED_EVENTS, train=(TIED_TIMES, TIED_EVENTS))


def test_ties_of_harrell_by_hand():
    # Four pairs of the first, all agree; patient 2 with 3 (who left the same day) and 4, tied, and with 5; 4 with 5.
    assert c_index(TIED_RISK, TIED_TIMES, TIED_EVENTS) == pytest.approx((4 + 2 * 0.5 + 1 + 1) / 8)


def test_ties_of_uno_by_hand():
    here = followed_ties()
    assert here.tau == 4
    np.testing.assert_allclose(here.uncensored, [1, 2 / 3, 2 / 3, 1, 1])
    w = 1 / (2 / 3) ** 2
    value = metrics.uno_c(TIED_RISK, TIED_TIMES, TIED_EVENTS, ONES, here)[0]
    assert value == pytest.approx((4 + (2 * 0.5 + 1) * w) / (4 + 3 * w))


def test_events_of_the_same_day_are_no_pair_of_uno():
    times, events = np.array([1.0, 1, 2, 3, 4]), np.array([True, True, False, False, False])
    here = followed(times, events, train=(np.arange(1.0, 9), np.ones(8, bool)))
    # Each of the two against the three who live on, not against each other: 3 of 6 agree.
    risk = np.array([9.0, 0, 1, 1, 1])
    assert metrics.uno_c(risk, times, events, ONES, here)[0] == 0.5 == c_index(risk, times, events)


def test_ties_of_the_time_dependent_auc_by_hand():
    # Until day 2 the case is patient 1, above all. Then patients 1 (weight 1) and 2 (weight 3/2) against 4 and 5:
    # 2 wins and 1.5. Survival drops by 1/5 on day 1 and by (4/5)(1/4) on day 2.
    late = (1 * 2 + 1.5 * 1.5) / ((1 + 1.5) * 2)
    value = metrics.mean_time_auc(TIED_RISK, TIED_TIMES, TIED_EVENTS, ONES, followed_ties())[0]
    assert value == pytest.approx((1 + late) / 2)


def test_weighted_brier_scores_by_hand():
    here = replace(followed_ties(), grid=np.array([1.0, 3, 3.5]), uncensored_grid=np.array([1, 2 / 3, 2 / 3]))
    first, later = np.array([0.5, 0.9, 0.9, 0.9, 0.9]), np.array([0.2, 0.4, 0.6, 0.8, 0.9])
    curves = np.stack([first, later, later], axis=1)
    # Day 1: patient 1 is dead, four live. Day 3: patients 1 and 2 are dead (weights 1 and 3/2), patient 3 is gone and
    # counts with neither, 4 and 5 live (weight 3/2 each).
    early = (0.5**2 + 4 * 0.1**2) / 5
    late = (0.2**2 + 1.5 * 0.4**2 + 1.5 * (0.2**2 + 0.1**2)) / 5
    case = curves, TIED_TIMES, TIED_EVENTS
    np.testing.assert_allclose(metrics.brier_scores(*case, ONES, here)[0], [early, late, late])
    assert metrics.integrated_brier(*case, ONES, here)[0] == pytest.approx((early + late + 0.5 * late) / 2.5)
    assert metrics.mean_brier(*case, ONES, here)[0] == pytest.approx((early + 2 * late) / 3)
    # Patient 1 twice, patient 2 not at all.
    resampled = metrics.brier_scores(*case, np.array([[2.0, 0, 1, 1, 1]]), here)[0]
    assert resampled[1] == pytest.approx((2 * 0.2**2 + 1.5 * (0.2**2 + 0.1**2)) / 5)


def test_one_event_by_hand():
    # The only event is that of patient 3 on day 3 (G = 3/4), whom 4 (riskier) and 5 (less so) outlive.
    events, risk = np.array([False, False, True, False, False]), np.array([9.0, 9, 5, 6, 1])
    here = followed(events=events)
    assert (here.tau, here.grid[0]) == (4, 3)
    assert metrics.uno_c(risk, TIMES, events, ONES, here)[0] == 0.5
    assert metrics.mean_time_auc(risk, TIMES, events, ONES, here)[0] == 0.5
    # Patients 1 and 2 are gone; the other three lose 1/4 each, weighted by 4/3.
    case = np.full((5, len(here.grid)), 0.5), TIMES, events, ONES, here
    assert metrics.integrated_brier(*case)[0] == pytest.approx(3 * 0.25 / 0.75 / 5)
    assert metrics.mean_brier(*case)[0] == pytest.approx(3 * 0.25 / 0.75 / 5)


def test_five_censored_patients_have_no_ranking_and_no_brier_score():
    events = np.zeros(5, bool)
    nobody = followed(events=events)
    scores = metrics.survival_metrics(TIED_RISK, TIMES, events, ONES, nobody, np.ones((5, 0)), np.full(5, 0.5))
    undefined = {name for name, values in scores.items() if np.isnan(values[0])}
    assert undefined == {"c_index", "c_index_pairs", *metrics.NEEDS_FOLLOW_UP}
    # Their calibration is defined: each is spread over the five bins below 1/2.
    assert scores["d_calibration"][0] == pytest.approx(10 * 0.1**2)


def test_survival_between_the_bins_ends_is_a_straight_line():
    curves = np.array([[0.8, 0.4], [1.0, 0.5]])
    starts = np.array([0.0, 100.0])
    asked = metrics.survival_at(np.array([0.0, 50, 100, 150, 200, 900]), curves, starts, 200.0)
    np.testing.assert_allclose(asked[0], [1, 0.9, 0.8, 0.6, 0.4, 0.4])
    own = metrics.survival_at(np.array([[100.0], [200.0]]), curves, starts, 200.0)
    np.testing.assert_allclose(own[:, 0], [0.8, 0.5])


def test_d_calibration_by_hand():
    # Five events at survival 0.05, 0.15, ..., 0.45: five of ten bins hold a fifth each.
    even = metrics.d_calibration(np.arange(0.05, 0.5, 0.1), np.ones(5, bool), ONES)
    assert even[0] == pytest.approx(5 * 0.1**2 + 5 * 0.1**2)
    # A patient censored at survival 0.5 is spread over the five bins below.
    assert metrics.d_calibration(np.array([0.5]), np.array([False]), np.ones((1, 1)))[0] == pytest.approx(0.1)
    assert metrics.d_calibration(np.array([1.0]), np.array([False]), np.ones((1, 1)))[0] == pytest.approx(0)


def test_d_calibration_of_events_and_censored_patients_by_hand():
    # Events at 0.95, 0.35, 0.35. Censored at 0.25: 0.1 / 0.25 in each of the two lowest bins, 0.05 / 0.25 in the
    # third. Censored at 1: a tenth in each bin.
    survival, event = np.array([0.95, 0.35, 0.35, 0.25, 1.0]), np.array([True, True, True, False, False])
    patients = np.array([0.4 + 0.1, 0.4 + 0.1, 0.2 + 0.1, 2.1, 0.1, 0.1, 0.1, 0.1, 0.1, 1.1])
    assert patients.sum() == pytest.approx(5)
    expected = ((patients / 5 - 0.1) ** 2).sum()
    assert metrics.d_calibration(survival, event, ONES)[0] == pytest.approx(expected)


def test_curves_of_the_true_model_are_d_calibrated_and_others_are_not():
    rng = np.random.default_rng(0)
    lived, left = rng.exponential(1, 4000), rng.exponential(2, 4000)
    times, events = np.minimum(lived, left), lived <= left
    ones = np.ones((1, 4000))
    assert metrics.d_calibration(np.exp(-times), events, ones)[0] < 0.001
    assert metrics.d_calibration(np.exp(-3 * times), events, ones)[0] > 0.02


# Weights.


def test_a_unit_of_weight_zero_is_not_there():
    weights = np.array([[1.0, 1, 1, 0, 1]])
    keep = weights[0] > 0
    risk = np.array([5.0, 4, 1, 3, 2])
    assert metrics.c_index(risk, TIMES, EVENTS, weights)[0] == c_index(risk[keep], TIMES[keep], EVENTS[keep])


def test_every_row_of_weights_is_scored_by_itself():
    weights = np.array([[1.0, 1, 1, 1, 1], [2.0, 0, 1, 1, 1], [0.0, 0, 0, 0, 0]])
    risk = np.array([5.0, 4, 1, 3, 2])
    together = metrics.c_index(risk, TIMES, EVENTS, weights)
    alone = [metrics.c_index(risk, TIMES, EVENTS, row[None])[0] for row in weights]
    np.testing.assert_array_equal(together, alone)
    assert np.isnan(together[2])


def test_every_metric_is_computed():
    subtype = metrics.subtyping_metrics(probabilities(0, 1), np.array([0, 1]), np.ones((1, 2)))
    survival = metrics.survival_metrics(np.arange(5.0), TIMES, EVENTS, ONES, followed())
    assert tuple(subtype) == metrics.SUBTYPING_METRICS
    assert tuple(survival) == metrics.SURVIVAL_METRICS
