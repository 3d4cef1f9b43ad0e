"""Rule make_inner_splits: inner folds of each fold's training patients, on which the epoch is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mirrorflow.cohorts import patients as cohorts
from mirrorflow.cohorts import splits as folding
from mirrorflow.cohorts.folds import inner_folds, keep_sites_apart
from mirrorflow.errors import InputError
from mirrorflow.learners.tasks import in_rows
from mirrorflow.runtime.job import Job
from mirrorflow.store import tables


@dataclass(frozen=True)
class Inputs:
    """The cohort's frame and the split files of its folds."""

    cohort: Path
    splits: list[Path]


@dataclass(frozen=True)
class Outputs:
    """Split files: all folds of the first inner fold, then of the next."""

    folds: list[Path]


@dataclass(frozen=True)
class InnerSettings:
    """The seed, and how many training patients of each class an inner fold needs."""

    seed: int
    per_class: int


@dataclass(frozen=True)
class Params:
    """How inner folds are drawn."""

    settings: InnerSettings


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write the inner folds of all folds."""
    rows, settings = in_rows(outputs.folds, len(inputs.splits)), params.settings
    make_inner_splits(inputs.cohort, inputs.splits, rows, seed=settings.seed, per_class=settings.per_class)


def make_inner_splits(
    cohort: Path, splits: Sequence[Path], outputs: Sequence[Sequence[Path]], *, seed: int, per_class: int = 0
) -> None:
    """Write the inner folds of each fold's training patients: ``outputs[inner][fold]`` (columns train, val).

    per_class: training patients that each class of the fold needs (the gene selection's cross-validation). Raises
    InputError with the fix where a class has fewer, or patients or sites are too few for the inner folds.
    """
    frame, _ = tables.read_cohort(cohort)
    outer = [tables.read_fold(path) for path in splits]
    by_site = keep_sites_apart(outer, frame)
    for k, (fold, path) in enumerate(zip(outer, splits, strict=True)):
        inner = inner_folds(frame, fold, len(outputs), seed, by_site=by_site, where=f"{path}, its training patients")
        for number, part in enumerate(inner):
            _check_classes(frame, fold, part, per_class, f"{path}, training part of inner fold {number}")
            tables.write_fold(outputs[number][k], part)


def _check_classes(frame: pd.DataFrame, fold: folding.Fold, part: folding.Fold, least: int, where: str) -> None:
    label = frame[cohorts.has_label(frame)].set_index("patient")["label"]
    wanted, counts = (label[label.index.isin(side)].value_counts() for side in (fold.train, part.train))
    few = [f"{name} ({counts.get(name, 0)})" for name in sorted(wanted.index) if counts.get(name, 0) < least]
    if few:
        message = (
            f"{where}: fewer than {least} patients of class {', '.join(few)}, too few to choose genes by labels; raise "
            "splits.inner_folds, draw folds with `splits: random`, join the class to another, or set epoch: last"
        )
        raise InputError(message)
