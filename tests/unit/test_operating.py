"""ROC and precision-recall curves: areas are those of scikit-learn, a weight is that many copies of a unit."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from mirrorflow.metrics.operating import precision_at, roc

FINE = np.linspace(0, 1, 20001)


def drawn(seed: int, n: int = 60, *, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 8, n) / 8 if ties else rng.random(n)
    return scores, rng.random(n) < 0.2 + 0.6 * scores


@pytest.mark.parametrize("ties", [True, False])
def test_areas_are_those_of_scikit_learn(ties):
    for seed in range(3):
        scores, positive = drawn(seed, ties=ties)
        ones = np.ones((1, len(scores)))
        area = np.trapezoid(roc(scores, positive, ones, FINE)[0], FINE)
        assert area == pytest.approx(roc_auc_score(positive, scores), abs=2e-4)
        steps = precision_at(scores, positive, ones, FINE[1:])[0]
        assert steps.mean() == pytest.approx(average_precision_score(positive, scores), abs=2e-4)


def test_a_weight_of_two_is_the_unit_twice():
    scores, positive = drawn(0, ties=True)
    weights = np.random.default_rng(1).integers(0, 3, (4, len(scores))).astype(float)
    at = np.linspace(0, 1, 11)
    for curve in (roc, precision_at):
        found = curve(scores, positive, weights, at)
        for row, counts in zip(found, weights.astype(int), strict=True):
            again = curve(np.repeat(scores, counts), np.repeat(positive, counts), np.ones((1, counts.sum())), at)
            assert row == pytest.approx(again[0], abs=1e-12)


def test_points_by_hand():
    """Scores 4 (positive), 3 (negative), 2 (positive), 1 (negative)."""
    scores, positive, ones = np.array([1.0, 4, 3, 2]), np.array([False, True, False, True]), np.ones((1, 4))
    assert roc(scores, positive, ones, np.array([0, 0.25, 0.5, 1]))[0].tolist() == [0.5, 0.5, 1.0, 1.0]
    assert precision_at(scores, positive, ones, np.array([0.5, 0.51, 1]))[0] == pytest.approx([1, 2 / 3, 2 / 3])


def test_one_class_has_no_curve():
    scores, ones = np.array([0.2, 0.8]), np.ones((2, 2))
    assert np.isnan(roc(scores, np.array([True, True]), ones, FINE[:2])).all()
    assert np.isnan(roc(scores, np.array([False, False]), ones, FINE[:2])).all()
    assert np.isnan(precision_at(scores, np.array([False, False]), ones, FINE[:2])).all()
    assert precision_at(scores, np.array([True, True]), ones, FINE[:2]).tolist() == [[1, 1], [1, 1]]
