"""Percentiles among held-out risks, and how far a fold's model may be asked."""

import numpy as np
import pandas as pd
import pytest

from labelled_cohort import people
from mirrorflow.cohorts.patients import to_units
from mirrorflow.cohorts.splits import Fold, evaluation_units
from mirrorflow.evaluation import FoldRows, score_cells, training_outcomes
from mirrorflow.reuse.survival import Horizon, curve_days, horizon_of, percentiles


def test_percentiles_count_equal_risks_by_half_and_forgive_rounding() -> None:
    held_out = np.array([1.0, 2.0, 2.0, 3.0])
    np.testing.assert_allclose(percentiles(np.array([0.0, 2.0, 2.5, 9.0]), held_out), [0, 50, 75, 100])
    assert percentiles(np.array([2.0 + 1e-9]), held_out)[0] == 50
    assert np.isnan(percentiles(np.array([1.0]), np.zeros(0))[0])


def test_a_day_needs_follow_up_and_ten_training_patients_at_risk() -> None:
    one = Horizon(900.0, np.arange(1, 21) * 50.0)
    assert one.why_not(550) == ""
    assert one.at_risk(550) == 10
    assert one.why_not(551) == "9 training patients at risk, fewer than 10"
    assert one.why_not(901) == "beyond tau_days (900)"
    assert one.last_day == 550
    assert Horizon(np.nan, np.arange(20.0)).why_not(1).startswith("beyond tau_days")
    assert Horizon(5.0, np.arange(3.0)).last_day == 0


def test_curves_end_where_the_first_fold_ends() -> None:
    days = curve_days([Horizon(900.0, np.full(20, 700.0)), Horizon(300.0, np.full(20, 700.0))])
    assert days[0] == 0
    assert days[-1] == 300
    assert curve_days([Horizon(np.nan, np.zeros(0))]).tolist() == [0.0]


def test_a_folds_horizon_is_that_of_its_own_patients() -> None:
    cohort = people()
    fold = Fold(tuple(cohort["patient"][:20]), tuple(cohort["patient"][20:]))
    one = horizon_of(cohort, fold, cohort[20:])
    assert len(one.times) == 20
    assert 0 < one.tau_days <= cohort["time_days"][20:].max()
    assert horizon_of(cohort, Fold(fold.train, ()), cohort[:0]).tau_days == pytest.approx(0)


@pytest.mark.parametrize("seed", [1, 3])
def test_a_horizon_ends_where_the_scores_end(seed: int) -> None:
    """A training patient counted once a slide, and not at all without what the method sees."""
    rng = np.random.default_rng(seed)
    days = np.round(rng.exponential(1000, 100) + 1)
    cohort = pd.DataFrame({"patient": [f"P{i}" for i in range(100)], "time_days": days, "label": "", "site": ""})
    cohort["event"] = (rng.random(100) < 0.4).astype(float)
    cohort["slide_ids"] = [[f"{i}-{j}" for j in range(4 if day > 1500 else 1)] for i, day in enumerate(days)]
    cohort["has_rna"] = days < 2000
    fold = Fold(tuple(cohort["patient"][:80]), tuple(cohort["patient"][80:]))
    evaluated = evaluation_units(to_units(cohort, "slide"), fold, "survival")
    rows = evaluated.assign(setting="all", seed=0, fold=0, risk=rng.random(len(evaluated)))
    notes = {"settings": [{"setting": "all", "k_real": None, "lost_units": []}]}
    part = FoldRows(rows, notes, training_outcomes(cohort, fold.train))
    (scored,) = [
        cell["tau_days"]
        for cell in score_cells("survival", [part], resamples=0, confidence=0.95, seed=0)
        if cell["metric"] == "uno_c"
    ]
    one = horizon_of(cohort, fold, rows, {"rna"})
    assert f"{one.tau_days:.0f}" == scored
    assert len(one.times) == (days[:80] < 2000).sum()
