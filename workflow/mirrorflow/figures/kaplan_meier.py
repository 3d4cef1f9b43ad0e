"""Survival of predicted risk groups: who is high and who is low, Kaplan-Meier, numbers at risk, log-rank."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sksurv.compare import compare_survival
from sksurv.nonparametric import kaplan_meier_estimator
from sksurv.util import Surv

HIGH, LOW = "high", "low"


@dataclass(frozen=True)
class Curve:
    """A Kaplan-Meier estimate with its pointwise band; all arrays [time], starting at time 0."""

    time_days: np.ndarray
    survival: np.ndarray
    low: np.ndarray
    high: np.ndarray
    patients: int
    events: int


def split_by_risk(rows: pd.DataFrame) -> pd.DataFrame:
    """Patients split at their own evaluation fold's median risk; one row a patient.

    ``rows`` are predictions of one setting: seed, fold, patient, time_days, event, risk. Risks of different
    folds (and seeds) share no scale: they become ranks within fold and seed, a patient's ranks (seeds, slides)
    are averaged, and ``group`` is ``high`` above the fold's median, else ``low``. A patient evaluated in
    several folds counts once, in the first of them. Columns: patient, fold, time_days, event (bool), group.
    """
    ranked = rows.assign(rank=rows.groupby(["fold", "seed"])["risk"].rank(pct=True))
    patients = ranked.groupby(["fold", "patient"], as_index=False, sort=True).agg(
        time_days=("time_days", "first"), event=("event", "first"), rank=("rank", "mean")
    )
    median = patients.groupby("fold")["rank"].transform("median")
    patients["group"] = np.where(patients["rank"] > median, HIGH, LOW)
    patients["event"] = patients["event"].to_numpy(float) == 1
    return patients.drop_duplicates("patient").drop(columns="rank").reset_index(drop=True)


def evaluated_twice(rows: pd.DataFrame) -> int:
    """How many patients are evaluated in more than one fold."""
    places = rows[["patient", "fold"]].drop_duplicates()
    return int((places["patient"].value_counts() > 1).sum())


def estimate_curve(time_days: np.ndarray, event: np.ndarray, confidence: float = 0.95) -> Curve:
    """Kaplan-Meier estimate with the log-log band of scikit-survival; survival 1 at time 0."""
    times, survival, band = kaplan_meier_estimator(event, time_days, conf_level=confidence, conf_type="log-log")
    return Curve(
        np.concatenate([[0.0], times]),
        np.concatenate([[1.0], survival]),
        np.concatenate([[1.0], band[0]]),
        np.concatenate([[1.0], band[1]]),
        len(time_days),
        int(event.sum()),
    )


def numbers_at_risk(time_days: np.ndarray, at_days: np.ndarray) -> np.ndarray:
    """How many are still followed, and without event, just before each of ``at_days``."""
    return (np.asarray(time_days)[None, :] >= np.asarray(at_days)[:, None]).sum(1)


def log_rank(groups: pd.DataFrame) -> float:
    """Two-sided p-value of the log-rank test between the groups; NaN with one group or without an event."""
    if groups["group"].nunique() != 2 or not groups["event"].any():
        return float("nan")
    outcome = Surv.from_arrays(groups["event"].to_numpy(bool), groups["time_days"].to_numpy(float))
    return float(compare_survival(outcome, groups["group"].to_numpy())[1])


def p_value_text(p: float) -> str:
    """``p = 0.034``, ``p < 0.001``, or that there is none."""
    if np.isnan(p):
        return "log-rank undefined"
    return "log-rank p < 0.001" if p < 0.001 else f"log-rank p = {p:.3f}"
