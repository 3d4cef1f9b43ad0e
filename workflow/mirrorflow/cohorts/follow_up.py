"""How long patients were followed: the median by reverse Kaplan-Meier (Schemper and Smith 1996)."""

import numpy as np
import pandas as pd

from mirrorflow.cohorts.patients import has_outcome

LEAST = 5
"""Patients of a site that is named by itself."""
ROUNDING = 1e-9
"""Of a Kaplan-Meier estimate: a running product that is a half on paper may be 0.5000000000000001."""


def median_follow_up(times: np.ndarray, events: np.ndarray) -> float:
    """Days at which half of the patients would still be followed, deaths censoring the follow-up.

    The event is the end of follow-up, so that early deaths do not make it look short. NaN where the curve stays above
    a half. times [patient] in days; events [patient]: whether the outcome came.
    """
    order = np.lexsort((~np.asarray(events, bool), times))  # at one time the outcome comes first
    times, ended = np.asarray(times, float)[order], ~np.asarray(events, bool)[order]
    left = len(times) - np.arange(len(times))
    curve = np.cumprod(1 - ended / left)
    reached = np.flatnonzero(curve <= 0.5 + ROUNDING)
    return float(times[reached[0]]) if len(reached) else float("nan")


def follow_up_line(frame: pd.DataFrame) -> str:
    """Median follow-up of all and by site, in months; empty where no outcome is known."""
    known = frame[has_outcome(frame)]
    if known.empty:
        return ""
    by_site = {str(site): part for site, part in known.groupby("site") if str(site) and len(part) >= LEAST}
    sites = ", ".join(f"{site} {_months(part)} ({len(part)})" for site, part in by_site.items())
    return f"median follow-up (reverse Kaplan-Meier) {_months(known)} months" + (f"; by site: {sites}" if sites else "")


def _months(frame: pd.DataFrame) -> str:
    days = median_follow_up(frame["time_days"].to_numpy(float), frame["event"].to_numpy(float) == 1)
    return "not reached" if np.isnan(days) else f"{days / 30.4375:.1f}"
