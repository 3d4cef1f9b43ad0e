"""Whom methods, scalers and encoders were fitted on, as the notes of their predictions say, against the split files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.audit.evidence import Group, Seen, audit_fitted
from mirrorflow.audit.findings import Finding
from mirrorflow.cohorts.patients import eligible
from mirrorflow.cohorts.splits import Fold, training_units
from mirrorflow.learners.tasks import ALL_DATA
from mirrorflow.plan.model_paths import LabelledModel, model_of
from mirrorflow.store.digest import names_digest, patients_digest
from mirrorflow.store.model_records import read_config


def units_group(units: pd.DataFrame) -> Group:
    """Units in the cohort's order (columns unit, patient), as a training notes them."""
    return Group(names_digest(units["unit"]), frozenset(units["patient"]))


def patients_group(patients: frozenset[str]) -> Group:
    """Patients, as a scaler notes them."""
    return Group(patients_digest(patients), patients)


@dataclass
class Fits:
    """Findings and lines of all methods of a protocol on a cohort; methods that agree share a line.

    units: of the cohort, or of its patients who have what the method sees (``replace(fits, units=...)``: findings and
    lines are the same); support: the protocol's support sets (columns setting, task, fold, unit), empty without any.
    """

    units: pd.DataFrame
    support: pd.DataFrame
    findings: list[Finding] = field(default_factory=list)
    _methods: dict[Seen, set[str]] = field(default_factory=dict)

    def read(self, method: str, task: str, number: int, fold: Fold, notes: Mapping[str, Any]) -> None:
        """Add what the notes of a method's predictions on a fold say."""
        for note in notes["settings"]:
            setting = str(note["setting"])
            units = self._groups(task, number, setting, fold)
            self._add(method, f"training on {task}, {setting}", number, fold, note.get("trained_on"), units)
            known = frozenset(self.units["patient"])
            for scaler, recorded in note.get("fitted_on", {}).items():
                groups = patients_group(known & set(fold.train)), patients_group(known)
                self._add(method, scaler, number, fold, recorded, groups, kind="scaler")

    def read_model(self, method: str, folder: Path, folds: Sequence[Fold]) -> None:
        """Add what the record of a network trained on labels says of its training patients, if it says so."""
        place, record = model_of(folder), read_config(folder)
        if not isinstance(place, LabelledModel) or "trained_on" not in record or place.fold >= len(folds):
            return
        fold = folds[place.fold]
        units = self._groups(place.task, place.fold, place.setting, fold)
        what = f"weights kept for {place.task}, {place.setting}"
        self._add(method, what, place.fold, fold, record["trained_on"], units, folder=folder)

    def lines(self) -> Iterator[Seen]:
        """The lines "who was seen", each with how many methods it stands for."""
        for seen, methods in self._methods.items():
            count = f"{len(methods)} methods" if len(methods) > 1 else next(iter(methods))
            yield replace(seen, detail=f"{seen.detail}; {count}")

    def _groups(self, task: str, number: int, setting: str, fold: Fold) -> tuple[Group, Group]:
        """Units that a training should have seen, and all of the cohort."""
        all_units = self.units[eligible(self.units, task)]
        return units_group(self._trained_on(task, number, setting, fold)), units_group(all_units)

    def _trained_on(self, task: str, number: int, setting: str, fold: Fold) -> pd.DataFrame:
        training = training_units(self.units, fold, task)
        if setting == ALL_DATA or self.support.empty:
            return training
        support = self.support
        drawn = (support["setting"] == setting) & (support["task"] == task) & (support["fold"] == str(number))
        return training[training["unit"].isin(support.loc[drawn, "unit"])]

    def _add(
        self,
        method: str,
        what: str,
        number: int,
        fold: Fold,
        recorded: str | None,
        groups: tuple[Group, Group],
        *,
        kind: str = "training",
        folder: Path | None = None,
    ) -> None:
        """groups: whom ``what`` should have seen, and all; folder: of the model that the record lies in."""
        name = f"{what} of {method}" + (f" ({folder})" if folder else "")
        findings, seen = audit_fitted(name, number, fold.val, recorded, *groups, kind=kind)
        self.findings += [one for one in findings if one not in self.findings]
        self._methods.setdefault(replace(seen, what=what), set()).add(method)
