"""Which evaluation units of a method are explained, each by the model of its fold that was not trained on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.cohorts.patients import to_units, unit_names
from mirrorflow.cohorts.splits import left_out_said, not_trained_on
from mirrorflow.errors import InputError
from mirrorflow.evaluation import chosen
from mirrorflow.evaluation.chosen import Choice
from mirrorflow.learners.tasks import ALL_DATA
from mirrorflow.plan.model_paths import LabelledModel
from mirrorflow.store.method_predictions import Manifest, read_task
from mirrorflow.store.model_files import stored_config
from mirrorflow.store.tables import read_fold

TASKS = ("subtyping", "survival")


@dataclass(frozen=True)
class Case:
    """One unit to explain: its number within the task, its row of the units, its stored prediction, why it was chosen.

    classes: of the model, none for survival. trained_on: as :class:`Evaluated` has it.
    """

    task: str
    number: int
    unit: pd.DataFrame
    stored: Mapping[str, Any]
    why: str
    classes: tuple[str, ...]
    trained_on: int = 0

    @property
    def name(self) -> str:
        """What its files begin with."""
        return f"{self.task}_{self.number}"

    @property
    def unit_name(self) -> str:
        """The unit's name."""
        return str(self.stored["unit"])


@dataclass(frozen=True)
class Missing:
    """What is not explained, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Evaluated:
    """A task's predictions of one seed on all data, a row a unit with its name, and the units in the same order.

    trained_on: units of evaluation that are left out, since their own fold was trained on the patient, too.
    """

    task: str
    rows: pd.DataFrame
    units: pd.DataFrame
    classes: tuple[str, ...]
    trained_on: int = 0


def evaluated(
    manifest: Manifest, task: str, cohort: pd.DataFrame, unit: str, splits: Sequence[Path] = ()
) -> Evaluated | Missing | None:
    """What was predicted of a task; why nothing was; None where the method was not asked. splits: files, by fold."""
    parts = read_task(manifest, task, cohort)
    if not parts:
        why = manifest.why_without(task)
        return Missing(task, why) if why else None
    rows = pd.concat([one.rows for one in parts], ignore_index=True)
    rows = rows[rows["setting"] == ALL_DATA]
    rows = rows[rows["seed"] == rows["seed"].min()]
    if rows.empty:
        return Missing(task, manifest.why_without(task) or "nothing was predicted with all training data")
    apart = not_trained_on(rows, {fold: read_fold(path) for fold, path in enumerate(splits)})
    if not apart.any():
        return Missing(task, f"the models were trained on the patients of all {len(rows)} evaluation units")
    rows = rows[apart].reset_index(drop=True)
    rows.insert(0, "unit", rows["patient"] if unit == "patient" else unit_names(rows))
    units = to_units(cohort, unit).set_index("unit", drop=False).loc[rows["unit"].tolist()].reset_index(drop=True)
    classes = tuple(parts[0].notes["classes"]) if task == "subtyping" else ()
    return Evaluated(task, rows, units, classes, int((~apart).sum()))


def cases_of(of: Evaluated, patients: Sequence[str], most: int | None) -> tuple[list[Case], list[Missing]]:
    """The units that are explained: of named ``patients``, else by the rule; and what the rule has nothing for."""
    if patients:
        choices, missing = _named(of, patients)
    else:
        choices, missing = _by_rule(of, all_of_them=most is None)
    kept = chosen.merged(choices, most)
    return [_case(of, number, one) for number, one in enumerate(kept, 1)], missing


def _case(of: Evaluated, number: int, one: Choice) -> Case:
    return Case(
        of.task, number, of.units.iloc[[one.row]], _plain(of.rows.iloc[one.row]), one.why, of.classes, of.trained_on
    )


def _plain(row: pd.Series) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _named(of: Evaluated, patients: Sequence[str]) -> tuple[list[Choice], list[Missing]]:
    place = of.rows.groupby("patient", sort=False).indices  # of slides as units all of a patient's
    missing = [
        Missing(
            f"{of.task} {name}",
            "no evaluation patient of this task; correct explain.patients" + left_out_said(of.trained_on),
        )
        for name in patients
        if name not in place
    ]
    rows = [int(row) for name in patients if name in place for row in place[name]]
    return [Choice(row, "named in explain.patients") for row in rows], missing


def _by_rule(of: Evaluated, *, all_of_them: bool) -> tuple[list[Choice], list[Missing]]:
    """all_of_them: whether it is worth saying that there is no error; that one cannot be told always is."""
    tellable = True
    if of.task == "subtyping":
        typical, worst = chosen.typical_of_classes(of.rows, of.classes), chosen.worst_of_classes(of.rows, of.classes)
        none = "every evaluation unit's class is predicted rightly"
        seen = sorted(set(of.rows["label"]))
        said = f"every evaluation unit is of class {', '.join(seen)}: one class only"
        missing = [Missing("subtyping classes", said)] if len(seen) == 1 else []
    else:
        typical, worst, missing = chosen.typical_of_risks(of.rows), chosen.worst_of_risks(of.rows), []
        dead = (of.rows["event"] == 1).any()
        tellable = bool(dead)
        none = "no pair is ordered wrongly" if dead else "no event among the evaluation units: an error has no meaning"
    tell = not worst and (all_of_them or not tellable)
    return [*typical, *worst], [*missing, *([Missing(f"{of.task} errors", none)] if tell else [])]


def model_of_case(manifest: Manifest, case: Case) -> Path:
    """Folder of the model that predicted the unit. Raises InputError where it was not kept, or another lies there."""
    for name, digest in manifest.models.items():
        place = LabelledModel.parse(Path(name) / "config.json")
        wanted = (case.task, ALL_DATA, case.stored["seed"], case.stored["fold"])
        if (place.task, place.setting, place.seed, place.fold) == wanted:
            if stored_config(Path(name)).get("digest") != digest:
                message = f"{name}: not the model that {manifest.path} names; delete that manifest and run again"
                raise InputError(message)
            return Path(name)
    message = f"{manifest.path}: names no model of {case.task}, fold {case.stored['fold']}; delete it and run again"
    raise InputError(message)
