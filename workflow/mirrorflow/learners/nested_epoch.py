"""Nested choice of the epoch (``epoch: nested``): by inner folds of the training patients, never the evaluation fold.

On each inner fold everything is fitted again on its training part: genes, scalers and pretraining by the rules
before this job (files named ``inner<j>-...``), bins and the probe or network here. The epoch with the best mean
is taken, and the model trained on the whole training fold reports that epoch.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.learners.base import Checkpoint
from mirrorflow.learners.curves import best_epoch, mean_curve
from mirrorflow.learners.inputs.vectors import Representation
from mirrorflow.learners.registry import measure_on, predictor_of
from mirrorflow.learners.tasks import FoldTask, FoldTasks
from mirrorflow.probes.task import EpochRule, Prediction
from mirrorflow.runtime.files import write_text
from mirrorflow.store.digest import digest


class NoEpochError(MirrorflowError):
    """No inner fold can answer a task: the setting is left out, with the reason."""


@dataclass(frozen=True)
class EpochChoice:
    """The chosen epoch (from 1) and the mean inner metric after each epoch, of the inner folds that have one."""

    epoch: int
    curve: tuple[float, ...]
    folds: tuple[int, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    """Inner folds that cannot answer the task, with the reason."""

    def note(self) -> dict[str, Any]:
        """As the predictions file keeps it."""
        return {
            "epoch": self.epoch,
            "mean": list(self.curve),
            "inner_folds": list(self.folds),
            "left_out": self.left_out,
        }

    @classmethod
    def of_note(cls, note: Mapping[str, Any]) -> "EpochChoice":
        """From its note."""
        return cls(note["epoch"], tuple(note["mean"]), tuple(note["inner_folds"]), dict(note["left_out"]))


FILE = "epoch_choice.json"
"""Beside a training's checkpoint, where its model is kept: a training that goes on is of the epoch that was chosen for
it, and no inner fold is trained on again. On a GPU a second choice may be another.
"""


def write_choice(place: Checkpoint | None, choice: EpochChoice) -> None:
    """Keep the choice until its training is finished."""
    if place is not None:
        write_text(place.folder / FILE, json.dumps({"made_from": digest(place.made_from), "choice": choice.note()}))


def read_choice(place: Checkpoint | None) -> EpochChoice | None:
    """The choice of an attempt at the same training that was killed."""
    if place is None or not (path := place.folder / FILE).exists():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    return EpochChoice.of_note(stored["choice"]) if stored["made_from"] == digest(place.made_from) else None


def forget_choice(place: Checkpoint | None) -> None:
    """The training is finished: its model says what was chosen."""
    if place is not None:
        (place.folder / FILE).unlink(missing_ok=True)


def choose_epoch(asked: FoldTasks, fold_task: FoldTask, inner: Sequence[Representation]) -> EpochChoice:
    """The epoch with the best mean accuracy or C-index over inner validation parts, the first of equals.

    ``inner``: what each inner fold's vectors come from. An inner fold that cannot answer the task (no unit on one
    side, no event, no pair to rank) is left out. Raises NoEpochError when none is left, InputError for vectors
    that cannot be had.
    """
    curves: dict[int, list[float]] = {}
    left_out: dict[str, str] = {}
    for number, representation in enumerate(inner):
        try:
            part = asked.inner_fold_task(fold_task, number)
        except InputError as error:
            left_out[str(number)] = str(error)
            continue
        # Outside of the `try`: vectors that cannot be had stop the job.
        fold = asked.inner_folds[number][part.fold]
        vectors = representation.vectors(fold, part.fold, part.seed, part.train.units, part.evaluation.units)
        try:
            curves[number] = _curve(vectors, part, asked.plan.method, units=len(fold_task.train))
        except InputError as error:
            left_out[str(number)] = str(error)
    if not curves:
        reasons = "; ".join(f"inner fold {number}: {reason}" for number, reason in left_out.items())
        message = f"no epoch can be chosen, no inner fold answers {fold_task.task} ({reasons}); set epoch: last"
        raise NoEpochError(message)
    mean = mean_curve(list(curves.values()))
    return EpochChoice(best_epoch(mean), tuple(mean), tuple(curves), left_out)


def _curve(vectors: Any, part: FoldTask, method: Mapping[str, Any], *, units: int) -> list[float]:
    """The metric on the inner validation part after each epoch. Raises InputError where it is undefined."""
    measure, curve = measure_on(part.evaluation), []

    def record(prediction: Prediction) -> float:
        curve.append(measure(prediction))
        return curve[-1]

    predictor_of(method)(vectors, part, method, EpochRule(scorer=record, units=units))
    if not np.isfinite(curve).all():
        message = f"the metric of {part.task} is undefined on its {len(part.evaluation)} validation units"
        raise InputError(message)
    return curve
