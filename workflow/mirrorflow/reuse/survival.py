"""Survival of new units by one fold's model: a percentile among that fold's held-out units, never a raw risk."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mirrorflow.cohorts.patients import who_has
from mirrorflow.cohorts.splits import Fold
from mirrorflow.evaluation import training_outcomes
from mirrorflow.evaluation.folds import followed_up
from mirrorflow.metrics.follow_up import survival_at
from mirrorflow.probes.task import SurvivalPrediction

LEAST_AT_RISK = 10
"""Training patients still at risk, below which nothing is said of a horizon."""
ROUNDING = 1e-6
"""Of risks: batches of other sizes add up in another order."""


@dataclass(frozen=True)
class Horizon:
    """How far a fold's model may be asked: to ``tau_days``, and while ``LEAST_AT_RISK`` training patients are at
    risk. times: [training patient] days."""

    tau_days: float
    times: np.ndarray

    def at_risk(self, day: float) -> int:
        """Training patients still followed at ``day``."""
        return int((self.times >= day).sum())

    def why_not(self, day: float) -> str:
        """Why nothing is said of survival at ``day``; empty where it may be."""
        if not day <= self.tau_days:
            return f"beyond tau_days ({self.tau_days:.0f})"
        if (left := self.at_risk(day)) < LEAST_AT_RISK:
            return f"{left} training patients at risk, fewer than {LEAST_AT_RISK}"
        return ""

    @property
    def last_day(self) -> float:
        """The last day that may be asked for; 0 where there is none."""
        if len(self.times) < LEAST_AT_RISK or not self.tau_days > 0:
            return 0.0
        return float(min(self.tau_days, np.sort(self.times)[-LEAST_AT_RISK]))


def horizon_of(cohort: pd.DataFrame, fold: Fold, evaluated: pd.DataFrame, inputs: Collection[str] = ()) -> Horizon:
    """Horizon of a fold: ``tau_days`` as its scores have it, by the fold's training patients, each once, and the rows
    that were ``evaluated`` (time_days, event).

    inputs: what the method sees. At risk are the training patients who have that, whom it was trained on.
    """
    train = training_outcomes(cohort, fold.train)
    times = training_outcomes(who_has(cohort, inputs), fold.train)["time_days"].to_numpy(float)
    if train.empty or evaluated.empty:
        return Horizon(0.0, times)
    return Horizon(followed_up(evaluated, train).tau, times)


def percentiles(risk: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Percentile [unit], 0 to 100, of each risk among the held-out units' risks; an equal one counts by half.

    Risks are equal where they differ by rounding alone (:data:`ROUNDING`).
    """
    if not len(held_out):
        return np.full(len(risk), np.nan)
    difference = risk[:, None] - held_out[None, :]
    equal = np.abs(difference) <= ROUNDING * np.maximum(1.0, np.abs(held_out))
    return 100 * ((difference > 0) & ~equal).mean(1) + 50 * equal.mean(1)


def curve_days(horizons: Sequence[Horizon], points: int = 24) -> np.ndarray:
    """Days [time] of averaged curves: from 0, evenly, to the last day that every fold allows."""
    last = min((one.last_day for one in horizons), default=0.0)
    return np.linspace(0.0, last, points + 1) if last > 0 else np.zeros(1)


def survival_on(
    prediction: SurvivalPrediction, days: np.ndarray, starts: Sequence[float], ends: Sequence[float]
) -> np.ndarray | None:
    """Predicted survival [unit, time] at ``days``; None for a method without curves."""
    if prediction.survival is None:
        return None
    return survival_at(days, prediction.survival, np.asarray(starts, float), float(ends[-1]))
