"""What the dead of unknown cause could change: the C-index with all or none of them as events of the outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.metrics import c_index

REPORTED, NONE, ALL, ANY = "reported", "none", "all", "any_cause"
"""Without them; with none of them an event (all censored), with all of them; with them, against death of any cause."""
KINDS = (REPORTED, NONE, ALL, ANY)


@dataclass(frozen=True)
class FoldDeaths:
    """A fold's predictions of a method.

    known: seed, risk, time_days, event, and any_cause_days, any_cause_event of evaluated units; unknown: seed, risk
    and any_cause_days of the dead of unknown cause.
    """

    known: pd.DataFrame
    unknown: pd.DataFrame


def cause_bounds(folds: Sequence[FoldDeaths]) -> dict[str, Any]:
    """Mean and sd (ddof 1) over folds of the C-index of each of KINDS, by fold too; counts of units and deaths.

    Seeds of training are averaged within a fold; a fold without a comparable pair is left out of a mean.
    """
    one_seed = [_of_seed(fold, min(fold.known["seed"])) for fold in folds]
    found: dict[str, Any] = {
        "n": sum(len(fold.known) for fold in one_seed),
        "events": int(sum((fold.known["event"] == 1).sum() for fold in one_seed)),
        "unknown": sum(len(fold.unknown) for fold in one_seed),
    }
    values = [_fold_values(fold) for fold in folds]
    for kind in KINDS:
        by_fold = np.array([one[kind] for one in values])
        defined = by_fold[~np.isnan(by_fold)]
        found[kind] = float(defined.mean()) if len(defined) else np.nan
        found[f"{kind}_sd"] = float(defined.std(ddof=1)) if len(defined) > 1 else np.nan
        found[f"{kind}_by_fold"] = " ".join(f"{value:.4f}" for value in by_fold)
    return found


def _of_seed(fold: FoldDeaths, seed: int) -> FoldDeaths:
    return FoldDeaths(*(part[part["seed"] == seed] for part in (fold.known, fold.unknown)))


def _fold_values(fold: FoldDeaths) -> Mapping[str, float]:
    seeds = [_values(_of_seed(fold, seed)) for seed in sorted(set(fold.known["seed"]))]
    return {kind: float(np.mean([one[kind] for one in seeds])) for kind in KINDS}


def _values(fold: FoldDeaths) -> Mapping[str, float]:
    known, unknown = fold.known, fold.unknown
    risk = np.concatenate([known["risk"], unknown["risk"]])
    days = np.concatenate([known["time_days"], unknown["any_cause_days"]])
    any_days = np.concatenate([known["any_cause_days"], unknown["any_cause_days"]])
    event, any_event = (known[name].to_numpy(float) == 1 for name in ("event", "any_cause_event"))
    none, every = np.zeros(len(unknown), bool), np.ones(len(unknown), bool)
    return {
        REPORTED: _c(known["risk"].to_numpy(float), known["time_days"].to_numpy(float), event),
        NONE: _c(risk, days, np.concatenate([event, none])),
        ALL: _c(risk, days, np.concatenate([event, every])),
        ANY: _c(risk, any_days, np.concatenate([any_event, every])),
    }


def _c(risk: np.ndarray, days: np.ndarray, event: np.ndarray) -> float:
    return float(c_index(risk, days, event, np.ones((1, len(risk))))[0])
