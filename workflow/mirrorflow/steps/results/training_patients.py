"""The training patients of the folds that predictions are scored with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.cohorts.patients import PAIRED, has_label, who_has
from mirrorflow.evaluation import FoldRows, training_outcomes
from mirrorflow.store.tables import read_cohort, read_fold

ALL_DATA = "all"


def training_patients(cohort: Path, splits: Sequence[Path]) -> dict[int, pd.DataFrame]:
    """Outcomes of each fold's training patients, from the cohort and split files."""
    frame, _ = read_cohort(cohort)
    return {number: training_outcomes(frame, read_fold(path).train) for number, path in enumerate(splits)}


def training_counts(cohort: Path, splits: Sequence[Path]) -> dict[str, dict[int, int]]:
    """Task -> fold -> training patients whose label or outcome is known: the n_train of the corrected t-test."""
    frame, _ = read_cohort(cohort)
    labelled = frame.loc[has_label(frame), "patient"]
    trained = {number: read_fold(path).train for number, path in enumerate(splits)}
    return {
        "survival": {number: len(training_outcomes(frame, train)) for number, train in trained.items()},
        "subtyping": {number: int(labelled.isin(train).sum()) for number, train in trained.items()},
    }


@dataclass(frozen=True)
class Training:
    """By fold: outcomes of the training patients; how many there are, by task."""

    outcomes: Mapping[int, pd.DataFrame]
    counts: Mapping[str, Mapping[int, int]]
    alike: bool = True
    """Whether all methods were trained on the same patients; else each file says on how many."""

    @classmethod
    def read(cls, cohort: Path, splits: Sequence[Path]) -> "Training":
        """From the cohort and split files."""
        frame, _ = read_cohort(cohort)
        alike = all(len(who_has(frame, [one])) in (0, len(frame)) for one in PAIRED)
        return cls(training_patients(cohort, splits), training_counts(cohort, splits), alike)

    def beside(self, task: str, rows: pd.DataFrame, notes: Mapping[str, Any]) -> FoldRows:
        """A fold's predictions with what is known of its training patients."""
        fold = int(rows["fold"].iloc[0])
        noted = [note.get("train_patients") for note in notes["settings"] if note["setting"] == ALL_DATA]
        count = self.counts[task].get(fold) if self.alike or not noted else noted[0]
        return FoldRows(rows, notes, self.outcomes.get(fold), count)
