"""Which columns of a matrix belong to which patient, and what is dropped."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.identifiers import PRIMARY_TUMOUR, named_sample, tcga_sample
from mirrorflow.expression.no_genes import ANNOTATION


@dataclass(frozen=True)
class SampleChoice:
    """Columns of each patient kept, patients sorted; the other columns counted by reason.

    dropped_by_type: counts by TCGA sample type code ("11" is normal tissue), "not TCGA" for other names;
    not_asked_for: columns of patients outside the cohort; annotation: columns that describe the gene.
    """

    columns: dict[str, list[int]]
    read: int
    dropped_by_type: dict[str, int] = field(default_factory=dict)
    not_asked_for: int = 0
    annotation: list[str] = field(default_factory=list)

    @property
    def patients(self) -> list[str]:
        """Patients kept, sorted."""
        return list(self.columns)

    @property
    def positions(self) -> list[int]:
        """Columns kept, ascending."""
        return sorted(position for columns in self.columns.values() for position in columns)

    def counts(self) -> dict[str, object]:
        """What happened to the samples, for the record."""
        several = [columns for columns in self.columns.values() if len(columns) > 1]
        return {
            "samples_read": self.read,
            "samples_kept": len(self.positions),
            "samples_dropped_by_type": self.dropped_by_type,
            "samples_of_other_patients": self.not_asked_for,
            "patients": len(self.columns),
            "patients_averaged": len(several),
            "samples_averaged": sum(map(len, several)),
            **({"annotation_columns": self.annotation} if self.annotation else {}),
        }

    def average(self, values: NDArray) -> NDArray[np.float32]:
        """One column a patient [gene, patient] from ``values`` [gene, kept column], NaN left out of means."""
        place = {position: column for column, position in enumerate(self.positions)}
        first = [place[columns[0]] for columns in self.columns.values()]
        averaged = np.ascontiguousarray(values[:, first], dtype=np.float32)
        for patient, columns in enumerate(self.columns.values()):
            if len(columns) > 1:
                averaged[:, patient] = _known_mean(values[:, [place[column] for column in columns]])
        return averaged


def choose_samples(
    names: Sequence[str], *, sample_ids: str, patients: Sequence[str] | None, where: str
) -> SampleChoice:
    """Decide which columns ``names`` are kept.

    sample_ids: "tcga" (barcodes: primary tumours, aliquots of a patient averaged) or "patient" (each name is a
    patient, once; a TCGA barcode of another sample type is left out here, too).
    Raises InputError for a repeated patient under "patient" and where no name belongs to one of ``patients``,
    ConfigError for another setting.
    """
    described = [position for position, name in enumerate(names) if name in ANNOTATION - set(patients or ())]
    if sample_ids == "tcga":
        columns, dropped = _by_barcode(names, described)
    elif sample_ids == "patient":
        columns, dropped = _by_name(names, patients, described, where)
    else:
        message = f"expression.sample_ids: {sample_ids!r} is neither 'tcga' nor 'patient'"
        raise ConfigError(message)
    wanted = columns if patients is None else {key: columns[key] for key in columns if key in set(patients)}
    if not wanted:
        raise InputError(_no_overlap(names, patients, sample_ids, dropped, where))
    kept = {patient: wanted[patient] for patient in sorted(wanted)}
    other = sum(map(len, columns.values())) - sum(map(len, kept.values()))
    annotation = [names[position] for position in described]
    return SampleChoice(kept, len(names) - len(described), dict(sorted(dropped.items())), other, annotation)


def _by_barcode(names: Sequence[str], aside: Sequence[int]) -> tuple[dict[str, list[int]], Counter[str]]:
    columns: dict[str, list[int]] = {}
    dropped: Counter[str] = Counter()
    for position in sorted(set(range(len(names))) - set(aside)):
        name = names[position]
        sample = tcga_sample(name)
        if sample is None or sample[1] != PRIMARY_TUMOUR:
            dropped[sample[1] if sample else "not TCGA"] += 1
        else:
            columns.setdefault(sample[0], []).append(position)
    return columns, dropped


def _by_name(
    names: Sequence[str], patients: Sequence[str] | None, aside: Sequence[int], where: str
) -> tuple[dict[str, list[int]], Counter[str]]:
    known = None if patients is None else frozenset(patients)
    columns: dict[str, list[int]] = {}
    dropped: Counter[str] = Counter()
    for position in sorted(set(range(len(names))) - set(aside)):
        patient, code = named_sample(names[position], known)
        if code == PRIMARY_TUMOUR:
            columns.setdefault(patient, []).append(position)
        else:
            dropped[code] += 1
    repeated = [patient for patient, positions in columns.items() if len(positions) > 1]
    if repeated:
        twice = ", ".join(f"{patient or repr(patient)} ({len(columns[patient])} times)" for patient in repeated[:3])
        message = (
            f"{where}: {len(repeated)} patients occur more than once, among them {twice}; under "
            "sample_ids: patient each occurs once (sample_ids: tcga averages the aliquots of a TCGA patient)"
        )
        raise InputError(message)
    return columns, dropped


def _no_overlap(
    names: Sequence[str], patients: Sequence[str] | None, sample_ids: str, dropped: Counter[str], where: str
) -> str:
    asked = ", ".join(list(patients or [])[:3]) or "any TCGA primary tumour"
    types = ", ".join(f"{code} ({count})" for code, count in sorted(dropped.items()))
    left_out = f". Sample types left out, since they are no primary tumour: {types}" if types else ""
    return (
        f"{where}: none of its {len(names)} samples belongs to the cohort. "
        f"Its samples: {', '.join(names[:3])}; the cohort's patients: {asked}. "
        f"Check the file, expression.orientation, and expression.sample_ids (now {sample_ids!r}){left_out}"
    )


def _known_mean(values: NDArray) -> NDArray:
    known = ~np.isnan(values)
    total = np.sum(values, axis=1, where=known, dtype=np.float64)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), np.nan)
