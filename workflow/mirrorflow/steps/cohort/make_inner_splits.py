"""Rule make_inner_splits: inner folds of each fold's training patients, on which the epoch is chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mirrorflow.cohorts import patients as cohorts
from mirrorflow.cohorts import splits as folding
from mirrorflow.cohorts.folds import inner_folds, keep_sites_apart
from mirrorflow.errors import InputError
from mirrorflow.plan.paths import SplitFile, by_inner_fold
from mirrorflow.runtime.job import Job
from mirrorflow.store import tables


@dataclass(frozen=True)
class Inputs:
    """The cohort's frame and the split files of its folds."""

    cohort: Path
    splits: list[Path]


@dataclass(frozen=True)
class Outputs:
    """Split files of every inner fold and fold; their names say of which."""

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
    parts = [[Path(path) for path in paths] for paths in by_inner_fold(SplitFile, outputs.folds)]
    settings = params.settings
    make_inner_splits(inputs.cohort, inputs.splits, parts, seed=settings.seed, per_class=settings.per_class)


def make_inner_splits(
    cohort: Path, splits: Sequence[Path], outputs: Sequence[Sequence[Path]], *, seed: int, per_class: int = 0
) -> None:
    """Write the inner folds of each fold's training patients: ``outputs[inner][fold]`` (columns train, val).

    A fold that has patients to choose epochs on (``choice``) has them as every inner fold's val, and its training
    patients as train.

    per_class: training patients that each class of the fold needs (the gene selection's cross-validation). Raises
    InputError with the fix where a class has fewer, or patients or sites are too few for the inner folds.
    """
    frame, _ = tables.read_cohort(cohort)
    outer = [tables.read_fold(path) for path in splits]
    by_site = keep_sites_apart(outer, frame)
    for k, (fold, path) in enumerate(zip(outer, splits, strict=True)):
        where = f"{path}, its training patients"
        inner = (
            [choice_fold(fold, str(path))] * len(outputs)
            if fold.choice
            else inner_folds(frame, fold, len(outputs), seed, by_site=by_site, where=where)
        )
        for number, part in enumerate(inner):
            _check_classes(frame, fold, part, per_class, f"{path}, training part of inner fold {number}")
            tables.write_fold(outputs[number][k], part)


def choice_fold(fold: folding.Fold, where: str) -> folding.Fold:
    """Training patients against those that epochs are chosen on; nobody who is evaluated is among either.

    Raises InputError where the latter are all trained on or evaluated, too.
    """
    train = tuple(name for name in fold.train if name not in set(fold.val))
    choice = tuple(name for name in fold.choice or () if name not in {*fold.train, *fold.val})
    if not choice:
        message = f"{where}: all patients to choose epochs on are trained on or evaluated, too; fix the column val"
        raise InputError(message)
    return folding.Fold(train, choice)


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
