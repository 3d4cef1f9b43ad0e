"""How well a method tells who dies by a day, and whether its survival functions hold, day by day over the folds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.evaluation.bands import Band, Resampling, band_over
from mirrorflow.evaluation.cells import with_training
from mirrorflow.evaluation.folds import FoldRows, followed_up, outcome, predicted_curves
from mirrorflow.metrics import FollowUp, brier_scores
from mirrorflow.metrics.survival import time_auc

TIMES = 20
GROUPS = 5
"""Groups of predicted survival in a calibration."""


@dataclass(frozen=True)
class Promised:
    """Units of the folds with predicted survival at a day: ``said`` [unit], their follow-up and event."""

    day: float
    said: np.ndarray
    time_days: np.ndarray
    event: np.ndarray

    def groups(self) -> np.ndarray:
        """Number [unit] of the fifth of predicted survival that a unit is in, 0 the lowest; equal values together."""
        below = pd.Series(self.said).rank(method="average").to_numpy() - 0.5  # an equal one counts by half, itself too
        return (below / len(below) * GROUPS).astype(int)


@dataclass(frozen=True)
class OverTime:
    """Of one method: AUC by day; Brier score of its survival functions and of the training patients' Kaplan-Meier
    curve, and what was promised at the middle day, None for a method without survival functions.
    """

    auc: Band
    brier: Band | None
    of_everyone: Band | None
    promised: Promised | None
    folds: int


def over_time(parts: Sequence[FoldRows], how: Resampling) -> OverTime:
    """From the folds' rows of one setting, on days that every fold can look at.

    These are evenly spaced from the latest first event of a fold to the earliest tau. Folds that cannot be weighted
    for censoring do not count. Raises InputError where no fold can, or folds share no such days.
    """
    known = [
        (part, found) for part in with_training(parts) if not (found := followed_up(part.first_seed, part.train)).reason
    ]
    if not known:
        message = f"no fold can be followed: {followed_up(parts[0].first_seed, parts[0].train).reason}"
        raise InputError(message)
    times = _shared_days([found for _, found in known])
    parts = [part for part, _ in known]
    curves = not any(part.why_no_curves for part in parts)
    auc, brier, everyone, promised = zip(*(_of_fold(part, times, how, curves=curves) for part in parts), strict=True)

    def averaged(by_fold: Sequence[np.ndarray]) -> Band:
        return band_over(parts, times, by_fold, how.confidence)

    if not curves:
        return OverTime(averaged(auc), None, None, None, len(parts))
    said = Promised(float(times[len(times) // 2]), *(np.concatenate(one) for one in zip(*promised, strict=True)))
    return OverTime(averaged(auc), averaged(brier), averaged(everyone), said, len(parts))


def _shared_days(found: Sequence[FollowUp]) -> np.ndarray:
    start, end = max(one.grid[0] for one in found), min(one.tau for one in found)
    if start >= end:
        message = (
            f"folds share no days: one has its first event at day {start:.0f}, another can be followed to {end:.0f}"
        )
        raise InputError(message)
    return np.linspace(start, end, TIMES + 1)[:-1]


def _of_fold(part: FoldRows, times: np.ndarray, how: Resampling, *, curves: bool) -> tuple:
    """AUC, Brier score, that of the training patients' curve, each [1 + resample, time]; what was promised."""
    followed = followed_up(part.first_seed, part.train, times)
    seeds = [rows for _, rows in part.rows.groupby("seed", sort=True)]
    days, events = outcome(seeds[0])
    weights = how.weights(part, seeds[0]["patient"].to_numpy())
    risks = [rows["risk"].to_numpy(float) for rows in seeds]
    auc = np.mean([time_auc(risk, days, events, weights, followed) for risk in risks], axis=0)
    if not curves:
        return auc, None, None, None
    on_grid = [predicted_curves(rows, part, followed)[0] for rows in seeds]
    scores = [brier_scores(one, days, events, weights, followed) for one in on_grid]
    everyone = np.broadcast_to(_training_survival(part, times), (len(days), len(times)))
    said = np.mean(on_grid, axis=0)[:, len(times) // 2]
    return auc, np.mean(scores, axis=0), brier_scores(everyone, days, events, weights, followed), (said, days, events)


def _training_survival(part: FoldRows, times: np.ndarray) -> np.ndarray:
    """Kaplan-Meier survival [time] of the fold's training patients: what one says who knows nothing of a patient."""
    from sksurv.nonparametric import kaplan_meier_estimator

    assert part.train is not None  # it has a follow-up
    days, events = outcome(part.train)
    moments, survival = kaplan_meier_estimator(events, days)
    return np.append(1.0, survival)[np.searchsorted(moments, times, side="right")]
