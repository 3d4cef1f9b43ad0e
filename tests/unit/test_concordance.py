"""C on resamples, exactly as scikit-survival gives it a resample at a time, and summed over folds."""

import numpy as np
import pandas as pd
import pytest
from sksurv.metrics import concordance_index_censored

from mirrorflow.evaluation import FoldRows, score_method
from mirrorflow.metrics import c_index, comparable_pairs
from mirrorflow.metrics.inference import resample_weights

RNG = np.random.default_rng(0)
RISK, TIMES, EVENTS = RNG.integers(0, 5, 40) / 4.0, RNG.integers(1, 12, 40).astype(float), RNG.random(40) < 0.6
WEIGHTS = resample_weights(np.arange(40), 60, RNG)


def library(row: np.ndarray, risk: np.ndarray = RISK) -> tuple[float, float]:
    """C and number of comparable pairs of the units, each as often as ``row`` says."""
    units = np.repeat(np.arange(40), row.astype(int))
    value, *pairs = concordance_index_censored(EVENTS[units], TIMES[units], risk[units])
    return value, sum(pairs[:3])


def test_resamples_with_ties_in_time_and_risk_are_the_librarys():
    ours = c_index(RISK, TIMES, EVENTS, WEIGHTS)
    theirs = [library(row)[0] for row in WEIGHTS]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_pairs_are_counted_exactly():
    ours = comparable_pairs(TIMES, EVENTS, WEIGHTS)
    # The library's concordant, discordant and tied in risk together.
    assert ours.tolist() == [library(row)[1] for row in WEIGHTS]


def test_several_seeds_cost_one_product_and_give_their_mean():
    risks = RNG.integers(0, 9, (3, 40)) / 8.0
    one_by_one = [c_index(risk, TIMES, EVENTS, WEIGHTS) for risk in risks]
    np.testing.assert_allclose(c_index(risks, TIMES, EVENTS, WEIGHTS), np.mean(one_by_one, axis=0), rtol=1e-12)


def fold(number: int, risk: list[float], times: list[float], events: list[int], seed: int = 0) -> pd.DataFrame:
    patients = [f"{number}-{i}" for i in range(len(risk))]
    rows = pd.DataFrame({"patient": patients, "time_days": times, "event": events, "risk": risk})
    return rows.assign(setting="all", seed=seed, fold=number, slide_id="")


def cells(*frames: pd.DataFrame, resamples: int = 50):
    notes = {"settings": [{"setting": "all", "k_real": None, "lost_units": []}]}
    scored = score_method(
        "survival", [FoldRows(f, notes) for f in frames], resamples=resamples, confidence=0.95, seed=0
    )
    return {cell.row["metric"]: cell for cell in scored}


def test_pairs_are_summed_over_folds():
    # Fold 0: 3 pairs, all right; fold 1: the one event of four, one of its three pairs right.
    first = fold(0, [3.0, 2, 1], [1.0, 2, 3], [1, 1, 1])
    second = fold(1, [2.0, 9, 9, 1], [1.0, 2, 3, 4], [1, 0, 0, 0])
    found = cells(first, second)
    assert found["c_index"].row["mean"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["c_index_pairs"].row["mean"] == pytest.approx((3 + 1) / (3 + 3))
    third = fold(1, [2.0, 1, 9, 9, 1], [1.0, 2, 3, 4, 5], [1, 0, 0, 0, 0])
    assert cells(first, third)["c_index_pairs"].row["mean"] == pytest.approx((3 + 2) / (3 + 4))
    assert cells(first, third)["c_index"].row["mean"] == pytest.approx((1 + 2 / 4) / 2)


def test_a_fold_without_a_pair_counts_for_nothing():
    found = cells(fold(0, [3.0, 2, 1], [1.0, 2, 3], [1, 1, 1]), fold(1, [1.0, 2], [1.0, 2], [0, 0]))["c_index_pairs"]
    assert found.row["mean"] == 1
    assert found.row["folds"] == 1
    assert found.row["why_undefined"] == "fold 1: no comparable pair (0 events)"
