"""Patients whose sites may decide their hazard, and what the method `site` makes of them on folds."""

from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.cohorts.splits import Fold
from mirrorflow.learners.inputs.site import SiteCodes
from mirrorflow.metrics import c_index
from mirrorflow.probes import site
from mirrorflow.probes.task import Asked, survival_targets

ENDS = np.array([200.0, 500.0, 900.0])
EDGES = np.array([0, *ENDS[:-1], np.inf])
PRIOR = {"pseudo_patients": 10.0}


def cohort(count: int = 400, sites: int = 20, effect: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Patients whose log hazard has a part of their site's own, of deviation ``effect``; a quarter is censored."""
    rng = np.random.default_rng(seed)
    where = rng.integers(0, sites, count)
    hazard = np.exp(rng.normal(0, effect, sites)[where]) if effect else np.ones(count)
    time, gone = rng.exponential(800 / hazard), rng.exponential(2400, count)
    return pd.DataFrame(
        {
            "patient": [f"P{number:04d}" for number in range(count)],
            "unit": [f"P{number:04d}" for number in range(count)],
            "site": [f"S{number:02d}" for number in where],
            "label": rng.choice(["a", "b"], count),
            "time_days": np.minimum(time, gone) + 1,
            "event": (time <= gone).astype(float),
        }
    )


def answer(frame: pd.DataFrame, fold: Fold, settings: dict[str, Any] = PRIOR) -> tuple[Any, pd.DataFrame]:
    """Survival of the fold's evaluation patients, and their rows."""
    sides = [frame[frame["patient"].isin(part)].reset_index(drop=True) for part in (fold.train, fold.val)]
    inputs = SiteCodes(frame).vectors(fold, 0, 0, *sides)
    asked = Asked(0, ENDS)
    fitted = site.fit(inputs.train[0], survival_targets(sides[0], EDGES), asked, settings)
    return fitted.predict(inputs.evaluation[0], asked), sides[1]


def mean_c(frame: pd.DataFrame, folds: list[Fold]) -> float:
    found = []
    for fold in folds:
        prediction, rows = answer(frame, fold)
        times, events = rows["time_days"].to_numpy(), rows["event"].to_numpy() == 1
        found.append(c_index(prediction.risk, times, events, np.ones((1, len(rows))))[0])
    return float(np.mean(found))
