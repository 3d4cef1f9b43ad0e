"""Rule permute_outcomes: a classical method where outcomes were traded, the whole cross-validation each time."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.figures.kaplan_meier import log_rank, split_by_risk
from mirrorflow.learners.permutation import WholeCrossValidation
from mirrorflow.metrics import c_index
from mirrorflow.runtime.files import write_text
from mirrorflow.runtime.job import Job
from mirrorflow.runtime.progress import Progress
from mirrorflow.steps.training.fit_baseline import Inputs, Settings, representation
from mirrorflow.steps.training.plan_inputs import plan_of

__all__ = ["Inputs", "Outputs", "Params", "run"]
logger = logging.getLogger("mirrorflow.permutation")


@dataclass(frozen=True)
class Outputs:
    """The record."""

    record: Path


@dataclass(frozen=True, kw_only=True)
class Params(Settings):
    """As of rule fit_baseline; how many times outcomes are traded."""

    permutations: int


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Repeat the cross-validation and write what was found."""
    plan = plan_of(inputs, params, params.settings, [])
    whole = WholeCrossValidation(plan, representation(inputs, params))
    progress = Progress(params.method, params.permutations, "permutations")
    record = permuted(whole, params.permutations, progress.step)
    write_text(outputs.record, json.dumps(record, indent=1))


def permuted(
    whole: WholeCrossValidation, permutations: int, told: Callable[[], object]
) -> dict[str, float | int | str]:
    """C-index and log-rank p as they are, and the share of permutations (and the truth) that do as well.

    undefined: permutations in which a fold could not be fitted, or none be scored; they count as doing as well. Where
    the truth cannot be asked or scored, ``why`` says so and there is no p.
    """
    try:
        own = found(whole.predictions())
    except InputError as error:
        return {"permutations": 0, "why": str(error)}
    if np.isnan(own[0]):
        return {"permutations": 0, "why": "no fold has a comparable pair: no C-index"}
    drawn = []
    for seed in range(1, permutations + 1):
        try:
            drawn.append(found(whole.predictions(seed)))
        except InputError:
            drawn.append((np.nan, np.nan))
        told()
    c, p = np.array(drawn).reshape(-1, 2).T
    as_well = (1 + int((~(c < own[0])).sum()), 1 + int((~(p > own[1])).sum()))
    return {
        "permutations": permutations,
        "undefined": int(np.isnan(c).sum()),
        "c_index": own[0],
        "p_c_index": as_well[0] / (1 + permutations),
        "log_rank": own[1],
        "p_log_rank": as_well[1] / (1 + permutations),
    }


def found(rows: pd.DataFrame) -> tuple[float, float]:
    """Mean C-index over folds that have a comparable pair, NaN where none has; p of the log-rank test of the pooled
    groups, which is no valid test by itself.
    """
    values = []
    for _, fold in rows.groupby("fold"):
        times, events = fold["time_days"].to_numpy(float), fold["event"].to_numpy() == 1
        values.append(float(c_index(fold["risk"].to_numpy(float), times, events, np.ones((1, len(fold))))[0]))
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else np.nan, log_rank(split_by_risk(rows))
