"""Cumulative incidence of an outcome that other deaths compete with (Aalen and Johansen 1978), by risk group.

1 minus Kaplan-Meier, which censors other deaths, is the incidence in a world where nobody dies of anything else: it is
too high here. The estimate is scikit-survival's, whose events are handed over as 0, 1 and 2.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mirrorflow.figures.kaplan_meier import Curve, estimate_curve

CENSORED, OUTCOME, OTHER = 0, 1, 2
"""What ended a patient's follow-up (column ``cause``)."""


@dataclass(frozen=True)
class Incidence:
    """Incidence of the outcome with its pointwise band, and of competing deaths; arrays [time], starting at time 0."""

    time_days: np.ndarray
    outcome: np.ndarray
    low: np.ndarray
    high: np.ndarray
    other: np.ndarray
    patients: int
    events: int
    others: int


def estimate_incidence(time_days: np.ndarray, cause: np.ndarray, confidence: float = 0.95) -> Incidence:
    """Aalen-Johansen estimate; the band is log-log with Aalen's variance, the value itself where there is none.

    cause [patient]: 0 censored, 1 the outcome, 2 a competing death. Deaths come before censorings of the same day.
    Raises ValueError for other causes.
    """
    causes = np.asarray(cause)
    if not np.isin(causes, (CENSORED, OUTCOME, OTHER)).all():
        message = f"causes are {CENSORED}, {OUTCOME} and {OTHER}, not {sorted(set(causes.tolist()))}"
        raise ValueError(message)
    counts = [int((causes == kind).sum()) for kind in (OUTCOME, OTHER)]
    found = _estimate(np.asarray(time_days, float), causes.astype(int), confidence)
    times, outcome, other, low, high = (np.concatenate([[0.0], values]) for values in found)
    return Incidence(times, outcome, low, high, other, len(causes), *counts)


def _estimate(time_days: np.ndarray, causes: np.ndarray, confidence: float) -> tuple[np.ndarray, ...]:
    """Times, incidences of the outcome and of the others, the outcome's band; all without the start.

    scikit-survival's estimator fails where all deaths are of one kind: then 1 minus Kaplan-Meier is the incidence.
    """
    from sksurv.nonparametric import cumulative_incidence_competing_risks

    kinds = {OUTCOME, OTHER} & set(causes.tolist())
    if len(kinds) < 2:
        curve = estimate_curve(time_days, np.isin(causes, list(kinds)), confidence)
        times, died, low, high = (values[1:] for values in (curve.time_days, 1 - curve.survival, *_band(curve)))
        nothing = np.zeros(len(times))
        return (times, nothing, died, nothing, nothing) if kinds == {OTHER} else (times, died, nothing, low, high)
    times, curves, bands = cumulative_incidence_competing_risks(
        causes, time_days, conf_level=confidence, conf_type="log-log"
    )
    low, high = (np.where(np.isfinite(band), band, curves[OUTCOME]) for band in bands[OUTCOME])
    return times, curves[OUTCOME], curves[OTHER], low, high


def _band(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Of 1 minus the curve, closed up where the curve's own band is nothing."""
    known = curve.high > 0
    died = 1 - curve.survival
    return np.where(known, 1 - curve.high, died), np.where(known, 1 - curve.low, died)


def with_causes(groups: pd.DataFrame, causes: pd.Series) -> pd.DataFrame:
    """``groups`` (one row a patient, see :func:`.kaplan_meier.split_by_risk`) with the column ``cause``.

    causes: patient -> what ended the follow-up.
    """
    return groups.assign(cause=causes.loc[groups["patient"]].to_numpy(int))
