"""The training patients of the folds that predictions are scored with."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mirrorflow.cohorts.patients import has_label
from mirrorflow.evaluation import training_outcomes
from mirrorflow.store.tables import read_cohort, read_fold


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
