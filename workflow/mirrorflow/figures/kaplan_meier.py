"""Survival of predicted risk groups: who is high and who is low, Kaplan-Meier, numbers at risk, log-rank, hazard ratio.

The last three are lifelines'. Its events are handed over as 0 and 1: of text it counts every row as dead.
"""

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.exceptions import ConvergenceError
from lifelines.statistics import logrank_test

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


def zeros_and_ones(event: np.ndarray | pd.Series) -> np.ndarray:
    """Events as lifelines counts them: integers 0 and 1. Raises ValueError for anything else, such as text."""
    values = np.asarray(event)
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        message = f"events are 0 and 1, not {values[:3].tolist()} ({values.dtype})"
        raise ValueError(message)
    return values.astype(int)


def estimate_curve(time_days: np.ndarray, event: np.ndarray, confidence: float = 0.95) -> Curve:
    """Kaplan-Meier estimate with its log-log band; survival 1 at time 0. The band is 0 where nobody is left."""
    fitted = KaplanMeierFitter(alpha=1 - confidence).fit(time_days, zeros_and_ones(event))
    low, high = np.nan_to_num(fitted.confidence_interval_survival_function_.to_numpy(float)).T
    survival = fitted.survival_function_.iloc[:, 0]
    times = survival.index.to_numpy(float)
    return Curve(times, survival.to_numpy(float), low, high, len(time_days), int(zeros_and_ones(event).sum()))


def numbers_at_risk(time_days: np.ndarray, at_days: np.ndarray) -> np.ndarray:
    """How many are still followed, and without event, just before each of ``at_days``."""
    return (np.asarray(time_days)[None, :] >= np.asarray(at_days)[:, None]).sum(1)


def log_rank(groups: pd.DataFrame) -> float:
    """Two-sided p-value of the log-rank test between the groups; NaN with one group or without an event."""
    if groups["group"].nunique() != 2 or not groups["event"].any():
        return float("nan")
    high = groups["group"] == HIGH
    times, events = groups["time_days"].to_numpy(float), zeros_and_ones(groups["event"])
    return float(logrank_test(times[high], times[~high], events[high], events[~high]).p_value)


class HazardRatio(NamedTuple):
    """Of the high risk group to the low one, with its interval of 95%; NaN where it cannot be estimated."""

    ratio: float
    low: float
    high: float


def hazard_ratio(groups: pd.DataFrame) -> HazardRatio:
    """Cox's hazard ratio of the groups (Efron's ties), stratified by ``fold`` where there is such a column: a patient
    is compared with those of the own evaluation fold. Undefined where a group is empty or has no event.
    """
    events = groups.groupby("group")["event"].sum()
    if len(events) != 2 or (events == 0).any():
        return HazardRatio(*[float("nan")] * 3)
    frame = pd.DataFrame(
        {
            "time_days": groups["time_days"].to_numpy(float),
            "event": zeros_and_ones(groups["event"]),
            "high": (groups["group"] == HIGH).to_numpy(int),
            "fold": groups["fold"].to_numpy() if "fold" in groups else 0,
        }
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of convergence: what does not converge is no ratio
            row = CoxPHFitter().fit(frame, "time_days", "event", strata=["fold"]).summary.loc["high"]
    except (ConvergenceError, np.linalg.LinAlgError):
        return HazardRatio(*[float("nan")] * 3)
    return HazardRatio(*(float(row[f"exp(coef){part}"]) for part in ("", " lower 95%", " upper 95%")))


def hazard_ratio_text(found: HazardRatio) -> str:
    """``hazard ratio 1.83 (95% 1.10 to 3.05)``, or that there is none."""
    if not np.isfinite(found).all():
        return "hazard ratio undefined"
    return f"hazard ratio {found.ratio:.2f} (95% {found.low:.2f} to {found.high:.2f})"


def p_value_text(p: float) -> str:
    """``p = 0.034``, ``p < 0.001``, or that there is none."""
    if np.isnan(p):
        return "log-rank undefined"
    return "log-rank p < 0.001" if p < 0.001 else f"log-rank p = {p:.3f}"


def beside_published(p: float, published: float) -> str:
    """The p-value beside the published one, and what both are worth: groups of cross-validation are no independent
    samples, so that the test rejects too often.
    """
    return f"{p_value_text(p)} (published: {published:.3g}); not a valid test"
