"""Metrics by hand on a handful of patients; agreement with libraries is in tests/reference."""

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
    assert metrics.undefined_reason("c_index", 5, [], 0) == "no comparable pair (0 events)"


def test_one_event_is_compared_with_those_who_lived_longer():
    events = np.array([False, False, True, False, False])
    assert c_index([9, 9, 5, 6, 1], events=events) == 0.5
    last = np.array([False, False, False, False, True])
    assert np.isnan(c_index([1, 2, 3, 4, 5], events=last))


def test_nobody_is_undefined():
    assert np.isnan(metrics.c_index(np.zeros(0), np.zeros(0), np.zeros(0, bool), np.ones((1, 0)))[0])
    assert metrics.undefined_reason("accuracy", 0, [], 0) == "no evaluation unit"


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
    assert metrics.undefined_reason("auroc", 2, [1], 0) == "only 1 class among the evaluation units"


def test_multiclass_auroc_leaves_absent_classes_out():
    three = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1]])
    # Class 0 against the rest: 2 positives, 1 negative, both above it; class 1 as well; class 2 is absent.
    assert metrics.auroc(three, np.array([0, 1, 0]), np.ones((1, 3)))[0] == 1


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
    survival = metrics.survival_metrics(np.arange(5.0), TIMES, EVENTS, ONES)
    assert tuple(subtype) == metrics.SUBTYPING_METRICS
    assert tuple(survival) == metrics.SURVIVAL_METRICS
