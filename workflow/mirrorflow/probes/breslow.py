"""Breslow's cumulative baseline hazard of units whose log hazard ratios are known.

Breslow 1974, "Covariance Analysis of Censored Survival Data". scikit-survival's estimator takes units out of the sum
of those at risk as time goes on; where one of them outweighs the rest, what is left is its rounding error, or nothing
(findings/sksurv_breslow_cancels.sh). Here units are added from the end of time on, and none is taken out.
"""

import numpy as np

CLIP = 50.0
"""Bounds log hazard ratios, so that no hazard overflows."""


def cumulative_hazard(risk: np.ndarray, time_days: np.ndarray, event: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct times [step], ascending, and the cumulative hazard after each, of a unit whose risk is 0.

    risk [unit] log hazard ratios, those beyond ±:data:`CLIP` as at it; time_days [unit], event [unit] bool.
    """
    order = np.argsort(time_days, kind="stable")
    days, first = np.unique(np.asarray(time_days, float)[order], return_index=True)
    weight = np.exp(np.clip(np.asarray(risk, float)[order], -CLIP, CLIP))
    at_risk = np.cumsum(weight[::-1])[::-1][first]
    events = np.add.reduceat(np.asarray(event, bool)[order].astype(float), first)
    return days, np.cumsum(events / at_risk)
