"""A method's predictions files, and the training patients of the folds that they are scored with."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.evaluation import training_outcomes
from mirrorflow.store.tables import read_cohort, read_fold


def training_patients(cohort: Path, splits: Sequence[Path]) -> dict[int, pd.DataFrame]:
    """Outcomes of each fold's training patients, from the cohort and split files."""
    frame, _ = read_cohort(cohort)
    return {number: training_outcomes(frame, read_fold(path).train) for number, path in enumerate(splits)}


def files_by_task(manifest: Path) -> dict[str, list[Path]]:
    """Task -> a method's predictions files in the order of the folds. Raises InputError where one is gone."""
    tasks: dict[str, list[Path]] = {}
    written = json.loads(manifest.read_text())["written"]
    for name in sorted(written, key=lambda name: (len(name), name)):  # fold 2 before fold 10
        path = manifest.parent / name
        if not path.exists():
            message = f"{path}: gone, though {manifest} names it; delete the manifest and run again"
            raise InputError(message)
        tasks.setdefault(path.parent.name, []).append(path)
    return tasks
