"""Patients whom a finished run has not seen: their slides' features, their expression, columns of a sheet."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mirrorflow.cohorts.patients import to_units
from mirrorflow.config.unknown import is_unknown
from mirrorflow.errors import InputError
from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.expression import Expression
from mirrorflow.store.features import check_values, describe_features


@dataclass(frozen=True)
class NewPatients:
    """frame: ``patient``, ``slide_ids`` (a list, empty without slides) and columns of a sheet, one row a patient.

    files: slide -> its feature file. expression: unscaled, ids as in its source; None where nobody has any.
    other_scale: patient -> why its expression is on another scale than the training matrix, and is not used.
    """

    frame: pd.DataFrame
    files: Mapping[str, Path] = field(default_factory=dict)
    expression: Expression | None = None
    other_scale: Mapping[str, str] = field(default_factory=dict)
    unlisted: frozenset[str] = frozenset()
    """Patients without a row in the sheet of patients, where there is one."""

    @property
    def listed(self) -> pd.DataFrame:
        """Rows of the patients whom the sheet has."""
        return self.frame[~self.frame["patient"].isin(self.unlisted)]

    def units(self, unit: str) -> pd.DataFrame:
        """One row a unit as the run has them: a patient, or a slide. Patients without slides count as one unit."""
        if unit == "patient":
            return to_units(self.frame, unit)
        sliced = [self.frame["slide_ids"].map(len) > 0, self.frame["slide_ids"].map(len) == 0]
        slides, none = (self.frame[part] for part in sliced)
        return pd.concat([to_units(slides, "slide"), to_units(none, "patient")], ignore_index=True)

    def has_slides(self, units: pd.DataFrame) -> np.ndarray:
        """Which units [unit] have a feature file."""
        return np.array([any(slide in self.files for slide in ids) for ids in units["slide_ids"]], bool)

    def has_expression(self, units: pd.DataFrame) -> np.ndarray:
        """Which units [unit] have expression that can be used."""
        known = set(self.expression.patients if self.expression else ()) - set(self.other_scale)
        return units["patient"].isin(known).to_numpy(bool)

    def bags(self, units: pd.DataFrame, kept: "KeptArrays | None" = None) -> "KeptBags":
        """Bags of the units, which all have slides; ``kept``: what other calls read of these patients."""
        files = [[self.files[slide] for slide in ids if slide in self.files] for ids in units["slide_ids"]]
        return KeptBags(FeatureBags(files, 0, units["unit"].tolist()), kept or KeptArrays())

    def only(self, patients: set[str]) -> "NewPatients":
        """These patients alone."""
        kept = self.frame[self.frame["patient"].isin(patients)].reset_index(drop=True)
        return replace(self, frame=kept)


@dataclass
class KeptArrays:
    """Whole bags by unit, while ``left`` bytes of them fit in memory."""

    left: int = 4_000_000_000
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


class KeptBags:
    """Bags that many models look at whole: each is read once, and kept while there is room."""

    def __init__(self, bags: FeatureBags, kept: KeptArrays) -> None:
        self.bags, self.names, self.kept = bags, bags.names, kept

    def __len__(self) -> int:
        return len(self.bags)

    def __getitem__(self, i: int, /) -> np.ndarray:
        name = self.names[i]
        if name in self.kept.arrays:
            return self.kept.arrays[name]
        bag = self.bags[i]
        if bag.nbytes <= self.kept.left:
            self.kept.left -= bag.nbytes
            self.kept.arrays[name] = bag
        return bag

    def size(self, i: int) -> int:
        """Patches of unit ``i``."""
        return self.bags.size(i)

    def rows(self, i: int, index: np.ndarray) -> np.ndarray:
        """Patches ``index`` of unit ``i``: float32 [patch, feature]."""
        return self[i][index] if self.names[i] in self.kept.arrays else self.bags.rows(i, index)


def new_patients(
    slides: pd.DataFrame | None,
    files: Mapping[str, Path],
    expression: Expression | None,
    sheet: pd.DataFrame | None,
) -> NewPatients:
    """Everyone whom slides (columns slide_id, patient), expression or sheet (column patient) names.

    Raises InputError where that is nobody, and for a name that is unknown, or there in other case.
    """
    named = [] if slides is None else slides["patient"].tolist()
    named += expression.patients if expression else []
    listed = [] if sheet is None else sheet["patient"].tolist()
    patients = list(dict.fromkeys([*named, *listed]))
    if not patients:
        message = "no new patients: give a sheet of slides, a folder of features, an expression sheet or a sheet"
        raise InputError(message)
    _require_names(patients, [*(expression.patients if expression else []), *listed])
    of: dict[str, list[str]] = {name: [] for name in patients}
    for row in () if slides is None else slides.itertuples(index=False):
        of[str(row.patient)].append(str(row.slide_id))
    frame = pd.DataFrame({"patient": patients, "slide_ids": [of[name] for name in patients]})
    frame["slide_ids"] = frame["slide_ids"].astype(object)
    if sheet is not None:
        frame = frame.merge(sheet.drop(columns="slide_ids", errors="ignore"), on="patient", how="left")
    unlisted = frozenset() if sheet is None else frozenset(named) - set(listed)
    return NewPatients(frame, files, expression, unlisted=unlisted)


def _require_names(patients: list[str], written: list[str]) -> None:
    """written: those that a sheet or a matrix names, not a file alone."""
    if unknown := [name for name in written if is_unknown(name)]:
        message = f"a new patient is named {unknown[0]!r}, which says that nothing is known; give everyone a name"
        raise InputError(message)
    seen: dict[str, str] = {}
    for name in patients:
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            message = f"new patients {other!r} and {name!r} differ by case alone; write one patient's name one way"
            raise InputError(message)


@dataclass(frozen=True)
class FoundFeatures:
    """Slides (columns slide_id, patient), the file of each that can be used, and why one of the others cannot."""

    slides: pd.DataFrame
    files: dict[str, Path]
    faults: dict[str, str]


def features_of(folder: Path, slides: pd.DataFrame | None) -> FoundFeatures:
    """Slides of a folder of ``<slide_id>.h5``, values looked through; without a sheet each slide is a patient.

    Raises InputError for a folder that is not there, without such files, or without one of the sheet's slides.
    """
    found = {path.stem: path for path in sorted(folder.glob("*.h5"))}
    if not found:
        what = "no *.h5 files in it" if folder.is_dir() else "no such folder"
        message = f"{folder}: {what}; features lie there as <slide_id>.h5"
        raise InputError(message)
    if slides is None:
        slides = pd.DataFrame({"slide_id": list(found), "patient": list(found)})
    files = {slide: found[slide] for slide in slides["slide_id"] if slide in found}
    if not files:
        message = (
            f"{folder}: none of the {len(slides)} slides of the sheet has features there (looked for "
            f"{slides['slide_id'].iloc[0]}.h5; it holds {', '.join(list(found)[:3])})"
        )
        raise InputError(message)
    faults = {slide: f"{folder}: no {slide}.h5 there" for slide in slides["slide_id"] if slide not in files}
    faults |= {slide: fault for slide, path in files.items() if (fault := _fault(path))}
    return FoundFeatures(slides, {slide: path for slide, path in files.items() if slide not in faults}, faults)


def _fault(path: Path) -> str:
    """Why a feature file cannot be used; empty where it can."""
    try:
        if not describe_features(path).n:
            return f"{path}: no patches in it"
        check_values(path)
    except InputError as error:
        return str(error)
    return ""
