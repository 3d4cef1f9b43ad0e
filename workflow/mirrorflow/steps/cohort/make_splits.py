"""Rule make_splits: folds of patients, made here or read from published files."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from mirrorflow.cohorts import splits as folding
from mirrorflow.cohorts.folds import random_folds, site_preserved_folds
from mirrorflow.config.datasets import fold_files
from mirrorflow.config.protocols import REPAIRED
from mirrorflow.errors import InputError
from mirrorflow.runtime.job import Job
from mirrorflow.store import tables
from mirrorflow.units import DAYS_PER_MONTH

logger = logging.getLogger("mirrorflow.cohorts.patients")

MOVED = "moved"
"""Column of splits/summary.tsv where folds were repaired: patients who changed their part, by fold."""


@dataclass(frozen=True)
class Inputs:
    """The cohort's frame."""

    cohort: Path


@dataclass(frozen=True)
class Outputs:
    """A split file a fold, and what each fold holds and lost."""

    folds: list[Path]
    report: Path


@dataclass(frozen=True)
class Params:
    """A protocol's ``splits``, the folder of published split files where it names one, the seed, what is evaluated."""

    kind: str
    folder: str | None
    seed: int
    evaluate: str = "auto"
    """Which column of published files: see :func:`mirrorflow.cohorts.splits.choose_evaluated`."""


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write the folds of the model scope."""
    make_splits(inputs.cohort, outputs.folds, outputs.report, **asdict(params))


def make_splits(
    cohort: Path,
    outputs: Sequence[Path],
    report: Path,
    *,
    kind: str,
    folder: str | None,
    seed: int,
    evaluate: str = "auto",
) -> None:
    """Write the split files of a model scope and, beside them, what each fold holds and lost.

    kind: a protocol's ``splits``. Folds of ``folder`` that are to be repaired (``<name>-repaired``) are fixed whole,
    as ``mirrorflow audit --repair`` does, then cut to the cohort; the report's column ``moved`` counts the cohort's
    patients who changed their part. evaluate: which column of the files is evaluated (:func:`splits.choose_evaluated`).
    Split files that are there of an earlier config with more folds are removed.
    """
    frame, classes = tables.read_cohort(cohort)
    before: list[folding.Fold] = []
    if kind == "random":
        folds = random_folds(frame, len(outputs), seed, str(cohort))
    elif kind == "site_preserved":
        folds = site_preserved_folds(frame, len(outputs), seed, str(cohort))
    else:
        given = folding.choose_evaluated(tables.read_folds(str(folder), len(outputs)), evaluate, str(folder))
        hold_outcomes(str(folder), given, frame, tables.read_endpoint(cohort))
        folds = _restricted(given, frame, str(folder))
        if kind.endswith(REPAIRED):
            before, folds = folds, _restricted(folding.repair_folds(given), frame, str(folder))
    if said := folding.evaluated_part(folds := [folding.as_evaluated(fold) for fold in folds]):
        logger.warning("%s: %s", folder, said)
    for path, fold in zip(outputs, folds, strict=True):
        tables.write_fold(path, fold)
    for path in set(Path(outputs[0]).parent.glob("splits_*.csv")) - set(map(Path, outputs)):
        path.unlink()
    summary = pd.DataFrame([_describe(k, fold, frame, classes) for k, fold in enumerate(folds)])
    if before:
        were = [folding.as_evaluated(fold) for fold in before]
        moved = [len(folding.moved_patients(*both)) for both in zip(were, folds, strict=True)]
        logger.info("%s: folds repaired, patients moved by fold: %s", folder, ", ".join(map(str, moved)))
        summary.insert(3, MOVED, moved)
    tables.write_sheet(report, summary)


def hold_outcomes(folder: str, given: Sequence[folding.Fold], frame: pd.DataFrame, name: str) -> None:
    """Log what split files with outcomes of their own hold, and for whom the cohort says something else.

    given: the folds of ``folder``. name: of the cohort's cause-specific outcome (DSS); empty: death of any cause (OS).
    """
    sides = [fold_files(folder, fold) for fold in range(len(given))]
    if any(len(paths) == 1 for paths in sides):
        return
    found = [tables.read_side_outcomes(train, test, (name or "OS").lower()) for train, test in sides]
    if any(part.empty for part in found):
        return
    tests = [part[part["patient"].isin(fold.evaluated)] for part, fold in zip(found, given, strict=True)]
    logger.info(
        "%s: %d patients with an outcome; events in the parts evaluated: %s",
        folder,
        pd.concat(found)["patient"].nunique(),
        ", ".join(str(int(part["event"].sum())) for part in tests),
    )
    both = pd.concat(found).drop_duplicates("patient").merge(frame, on="patient", suffixes=("", "_here"))
    other = (both["event"] != both["event_here"]) | (
        (both["time_days"] - both["time_days_here"]).abs() > DAYS_PER_MONTH
    )
    if other.any():
        logger.warning(
            "%s: the outcome of %d of %d patients is another in the cohort (event, or time by more than a month), "
            "which counts: %s",
            folder,
            int(other.sum()),
            len(both),
            ", ".join(both.loc[other, "patient"].head(3)),
        )


def _restricted(given: Sequence[folding.Fold], frame: pd.DataFrame, folder: str) -> list[folding.Fold]:
    folds = [folding.restrict(fold, list(frame["patient"])) for fold in given]
    for k, fold in enumerate(folds):
        if not fold.train or not fold.evaluated:
            named = ", ".join(fold_files(folder, k))
            message = f"{named}: none of its patients is in the cohort on one side; check the ids"
            raise InputError(message)
    return folds


def _describe(k: int, fold: folding.Fold, frame: pd.DataFrame, classes: Sequence[str]) -> dict[str, object]:
    row: dict[str, object] = {"fold": k, "train": len(fold.train), "val": len(fold.val)}
    row["in_neither"] = len(set(frame["patient"]).difference(*fold.parts.values()))
    row |= {} if fold.choice is None else {"choice": len(fold.choice)}
    row |= {"unused": len(fold.unused)} if fold.unused else {}
    for side, patients in (("train", fold.train), ("val", fold.val)):
        part = frame[frame["patient"].isin(patients)]
        row |= {f"{side}_{name}": int((part["label"] == name).sum()) for name in classes}
        row[f"{side}_events"] = int(part["event"].fillna(0).sum())
    return row
