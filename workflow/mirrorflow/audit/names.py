"""Whose the names of anyone's split files are: patients, or slides and samples of patients."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mirrorflow.cohorts.patients import PATIENT_LENGTH
from mirrorflow.cohorts.splits import Fold
from mirrorflow.errors import InputError
from mirrorflow.store.tables import read_text_sheet

_LONGER_BARCODE = re.compile(r"TCGA-[A-Za-z0-9]{2}-[A-Za-z0-9]{4}[-.]")


def short_barcode(name: str) -> str:
    """A TCGA barcode cut to its patient's characters, any other name as it is."""
    return name[:PATIENT_LENGTH] if _LONGER_BARCODE.match(name) else name


def patients_of_slides(path: Path | None) -> dict[str, str]:
    """Slide -> patient, from a sheet with slide_id and patient. Raises InputError without these columns."""
    if path is None:
        return {}
    sheet = read_text_sheet(path)
    if missing := {"slide_id", "patient"} - set(sheet):
        message = f"{path}: no column {', '.join(sorted(missing))}; the sheet has {', '.join(sheet.columns)}"
        raise InputError(message)
    return dict(zip(sheet["slide_id"], sheet["patient"], strict=True))


@dataclass
class Names:
    """Names as files have them -> patients: by the sheet of slides; TCGA barcodes are cut to the patient."""

    of_slide: Mapping[str, str]
    looked_up: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)

    def patient(self, name: str) -> str:
        """The patient that a name belongs to."""
        if listed := name in self.of_slide:
            self.looked_up.add(name)
            name = self.of_slide[name]
        if _LONGER_BARCODE.match(name):
            self.cut.add(name)
        elif not listed:
            self.kept.add(name)
        return short_barcode(name)

    def fold(self, fold: Fold) -> Fold:
        """The fold in patients. Slides of one patient are no duplicates; a name that is listed twice stays one."""
        return Fold(*(self._patients(part) for part in (fold.train, fold.val, fold.test)))

    def _patients(self, part: Sequence[str]) -> tuple[str, ...]:
        first: dict[str, str] = {}
        return tuple(who for name in part if first.setdefault(who := self.patient(name), name) == name)

    def lines(self) -> Iterator[str]:
        """What was done with the names, where it was anything."""
        if self.looked_up:
            yield f"{len(self.looked_up)} names are slides of the sheet, taken for their patients"
        if self.cut:
            example = min(self.cut)
            yield (
                f"{len(self.cut)} names are longer TCGA barcodes, cut to their patient's {PATIENT_LENGTH} characters "
                f"({example} -> {example[:PATIENT_LENGTH]})"
            )
        known = {short_barcode(patient) for patient in self.of_slide.values()}
        if self.of_slide and (strange := self.kept - known):
            yield f"{len(strange)} names are not in the sheet of slides, taken for patients (e.g. {min(strange)})"


def to_names(fixed: Fold, before: Sequence[Fold], names: Names) -> Fold:
    """A repaired fold of patients in the names that the files had: all that any fold lists of a patient, together."""
    listed: dict[str, list[str]] = {}
    for name in sorted({name for fold in before for part in fold.parts.values() for name in part}):
        listed.setdefault(names.patient(name), []).append(name)
    parts = (fixed.train, fixed.val, fixed.test)
    return Fold(*(tuple(name for patient in part for name in listed[patient]) for part in parts))
