"""The training patients of the folds that predictions are scored with."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mirrorflow.evaluation import training_outcomes
from mirrorflow.store.tables import read_cohort, read_fold


def training_patients(cohort: Path, splits: Sequence[Path]) -> dict[int, pd.DataFrame]:
    """Outcomes of each fold's training patients, from the cohort and split files."""
    frame, _ = read_cohort(cohort)
    return {number: training_outcomes(frame, read_fold(path).train) for number, path in enumerate(splits)}
