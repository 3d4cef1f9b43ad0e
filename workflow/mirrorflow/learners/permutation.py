"""The whole cross-validation of a classical method with survival outcomes dealt out anew, many times.

Patients trade their outcomes (time and event together); folds, inputs and who is trained on stay. Every fold is fitted
and predicted again, so that what is found where nothing is to be found is known of the very procedure. Genes chosen by
class labels are not chosen again: these labels stay.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mirrorflow.cohorts.patients import eligible, to_units
from mirrorflow.errors import InputError
from mirrorflow.learners.inputs.vectors import FoldVectors, Representation
from mirrorflow.learners.predict import rows_of
from mirrorflow.learners.registry import predictor_of
from mirrorflow.learners.tasks import ALL_DATA, FoldTask, FoldTasks, Plan
from mirrorflow.probes.task import LAST

TASK = "survival"
OUTCOME = ["time_days", "event"]


@dataclass
class WholeCrossValidation:
    """A classical method's folds, whose vectors are made once: outcomes do not decide them."""

    plan: Plan
    inputs: Representation

    def __post_init__(self) -> None:
        self._asked = FoldTasks(self.plan)
        self._vectors: dict[int, FoldVectors] = {}
        self._frame = self._asked.frame

    def predictions(self, seed: int | None = None) -> pd.DataFrame:
        """Rows of all folds' evaluation units (as a predictions file has them); with a seed after outcomes were traded.

        Raises InputError where a fold cannot be asked, or be fitted.
        """
        asked = self._asked
        asked.frame = self._frame if seed is None else traded(self._frame, seed)
        asked.units = to_units(asked.frame, self.plan.protocol["unit"])
        return pd.concat(list(self._folds(asked)), ignore_index=True)

    def _folds(self, asked: FoldTasks) -> Iterator[pd.DataFrame]:
        for number in range(len(asked.folds)):
            fold_task = next(one for one in asked.fold_tasks(TASK, number) if one.setting == ALL_DATA)
            vectors = self._of(fold_task, asked)
            trained = predictor_of(self.plan.method)(vectors, fold_task, self.plan.method, LAST)
            yield rows_of(fold_task, trained.prediction)

    def _of(self, fold_task: FoldTask, asked: FoldTasks) -> FoldVectors:
        number = fold_task.fold
        if number not in self._vectors:
            sides = (fold_task.train.units, fold_task.evaluation.units)
            self._vectors[number] = self.inputs.vectors(asked.folds[number], number, fold_task.seed, *sides)
        return self._vectors[number]


def traded(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The frame with the outcomes of the patients who have one dealt out among them."""
    known = np.flatnonzero(eligible(frame, TASK).to_numpy())
    if len(known) < 2:
        message = f"{len(known)} patients have an outcome: there is nothing to trade"
        raise InputError(message)
    order = np.random.default_rng(seed).permutation(len(known))
    dealt = frame.copy()
    for name in OUTCOME:
        values = frame[name].to_numpy(copy=True)
        values[known] = values[known[order]]
        dealt[name] = values
    return dealt
