"""Rule draw_support: the support sets of k-shot learning, drawn once and stored."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mirrorflow.cohorts import patients as cohorts
from mirrorflow.cohorts import splits as folding
from mirrorflow.runtime.job import Job
from mirrorflow.store import tables


@dataclass(frozen=True)
class Inputs:
    """The cohort's frame and the split files of its folds."""

    cohort: Path
    splits: list[Path]


@dataclass(frozen=True)
class Outputs:
    """The sheet of support sets."""

    support: Path


@dataclass(frozen=True)
class SupportSettings:
    """Unit (slide or patient), units a group, bins of survival time, seed."""

    unit: str
    shots: list[int]
    bins: int
    seed: int


@dataclass(frozen=True)
class Params:
    """What is drawn."""

    settings: SupportSettings


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Draw the support sets of the model scope."""
    draw_support(inputs.cohort, inputs.splits, outputs.support, **asdict(params.settings))


def draw_support(
    cohort: Path,
    splits: Sequence[Path],
    destination: Path,
    *,
    unit: str,
    shots: Sequence[int],
    bins: int,
    seed: int,
) -> None:
    """Draw every support set that a protocol of this model scope may ask for, once, and store it.

    One row a drawn unit: setting, task, fold, replacement, survival_bins, group, patient, unit, k_real.
    """
    frame = cohorts.who_has_all(tables.read_cohort(cohort)[0])
    units = cohorts.to_units(frame, unit)
    rows = []
    for k, path in enumerate(splits):
        fold = tables.read_fold(path)
        for shot in shots:
            rows += _draw_fold(frame, units, fold, k, shot, bins, seed)
    columns = [
        "setting",
        "task",
        "fold",
        "replacement",
        "survival_bins",
        "group",
        "patient",
        "unit",
        "k_real",
    ]
    tables.write_sheet(
        destination, pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)
    )


def _draw_fold(
    frame: pd.DataFrame, units: pd.DataFrame, fold: folding.Fold, k: int, shot: int, bins: int, seed: int
) -> list[pd.DataFrame]:
    rows = []
    for number, (task, scope) in enumerate([("subtyping", "fold"), ("survival", "fold"), ("survival", "cohort")]):
        train = folding.training_units(units, fold, task)
        if train.empty:
            continue
        if task == "survival" and not (train["event"] == 1).any():
            continue
        edges = folding.training_edges(frame, fold, bins, scope) if task == "survival" else None
        groups = folding.support_groups(train, task, edges)
        for replacement in (False, True):
            rng = np.random.default_rng([seed, k, shot, number, replacement])
            drawn = folding.draw_support(train, groups, shot, rng, replacement=replacement)
            scopes = ["fold", "cohort"] if task == "subtyping" else [scope]
            rows += [
                drawn.assign(setting=f"{shot}-shot", task=task, fold=k, replacement=replacement, survival_bins=name)
                for name in scopes
            ]
    return rows
