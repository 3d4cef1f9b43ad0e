"""What methods are given, whatever they make of it: features, expression, clinical columns, gene lists."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mirrorflow.audit.duplicates import Input, audit_duplicates, audit_encoders, audit_shared
from mirrorflow.audit.evidence import Seen
from mirrorflow.audit.findings import WARNING, Finding
from mirrorflow.audit.lists import audit_list
from mirrorflow.audit.tells import Targets, Tells, audit_columns
from mirrorflow.cohorts.patients import who_has
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.slide_kinds import COLUMNS
from mirrorflow.store.content import OUTLINES
from mirrorflow.store.expression import gene_groups
from mirrorflow.store.tables import read_text_sheet, read_users_sheet

SLIDES_FIX = "leave one of each out of the sheet of slides, or give both the patient they are of"
RNA_FIX = "leave one of each out of the matrix, or give both the patient they are of"
KINDS_FIX = "slides of the classes were made otherwise: scores may be of that, not of the tumour"
GENES_FIX = "check where they come from, or take them out of the matrix"


@dataclass(frozen=True)
class InputFiles:
    """What a protocol's methods are given on a cohort; any of it may be empty."""

    indexes: Mapping[str, str] = field(default_factory=dict)
    """Encoder -> index of its features."""
    matrix: str = ""
    """The expression in the store (parquet)."""
    columns: Sequence[str] = ()
    """Clinical columns that a method sees."""
    lists: Sequence[str] = ()
    """Files of genes that the user gave."""
    sheet: str = ""
    """The sheet of slides."""
    sheet_columns: Mapping[str, str] = field(default_factory=dict)
    """Our names of its columns and those of the sheet."""


def audit_inputs(files: InputFiles, frame: pd.DataFrame, folds: Sequence[Fold]) -> tuple[list[Finding], list[Seen]]:
    """Findings of all inputs on a cohort (``frame``), and who chose the gene lists."""
    findings = [*_features(files.indexes, frame)]
    if files.matrix:
        findings += _expression(files.matrix, who_has(frame, ["rna"]))
    findings += audit_columns(frame, files.columns)
    if files.sheet:
        findings += _kinds_of_slides(read_users_sheet(files.sheet)[0], files.sheet_columns, frame)
    seen: list[Seen] = []
    for path in files.lists:
        found, lines = audit_list(path, folds)
        findings += found
        seen += lines
    return findings, seen


def _kinds_of_slides(sheet: pd.DataFrame, columns: Mapping[str, str], frame: pd.DataFrame) -> Iterator[Finding]:
    """Columns of the sheet of slides (preparation, scanner, ...) of which one tells class or outcome: a model may have
    learned how slides were made.
    """
    patient = columns.get("patient", "patient")
    names = [name for name in COLUMNS if name in sheet and patient in sheet]
    if not names:
        return
    by_patient = sheet[names].groupby(sheet[patient].str.strip())
    most = by_patient.agg(_most_frequent)
    joined = frame[["patient", "label", "time_days", "event"]].join(most, on="patient")
    yield from audit_columns(joined, names, ("columns of the sheet of slides", "slides"), KINDS_FIX)


def _most_frequent(cells: pd.Series) -> str:
    return str(cells.str.strip().mode().iloc[0])


def _features(indexes: Mapping[str, str], frame: pd.DataFrame) -> Iterator[Finding]:
    """Slides of the cohort, by the digests in the indexes."""
    slides = frame[["patient", "slide_ids"]].explode("slide_ids").dropna()
    patient_of = dict(zip(slides["slide_ids"], slides["patient"], strict=True))
    digests: dict[str, dict[str, str]] = {}
    for encoder, path in indexes.items():
        index = read_text_sheet(path)
        index = index[index["slide_id"].isin(patient_of)]
        if "content" not in index:
            text = f"{path} was made before it held digests: delete it and run again, else duplicates go unseen"
            yield Finding(WARNING, "no_content", text)
            continue
        digests[encoder] = dict(zip(index["slide_id"], index["content"], strict=True))
        inputs = _slides(index, patient_of)
        yield from audit_duplicates("features", f"features of {encoder}", inputs, SLIDES_FIX)
    yield from audit_encoders(digests)


def _slides(index: pd.DataFrame, patient_of: Mapping[str, str]) -> list[Input]:
    outlines = [tuple(map(float, written.split())) for written in index["outline"]]
    rows = zip(index["slide_id"], index["content"], outlines, strict=True)
    return [Input(slide, patient_of[slide], digest, outline) for slide, digest, outline in rows if slide in patient_of]


def audit_source_inputs(
    source: str, theirs: Mapping[str, str], their_frame: pd.DataFrame, ours: Mapping[str, str], frame: pd.DataFrame
) -> Iterator[Finding]:
    """The evaluated cohort's slides among those of the encoders' ``source``, under other names.

    theirs, ours: encoder -> index, of which those of the same encoder are compared; the frames are the cohorts'.
    """
    for encoder in sorted(set(theirs) & set(ours)):
        sides = []
        for path, people in ((theirs[encoder], their_frame), (ours[encoder], frame)):
            index, slides = read_text_sheet(path), people[["patient", "slide_ids"]].explode("slide_ids").dropna()
            known = dict(zip(slides["slide_ids"], slides["patient"], strict=True))
            sides.append(_slides(index, known) if "content" in index else [])
        yield from audit_shared(sides[0], sides[1], source, f"features of {encoder}")


def _expression(path: str, frame: pd.DataFrame) -> Iterator[Finding]:
    """Patients with the same values, and genes that tell what is predicted: one pass over the matrix."""
    patients, targets, tells = frame["patient"].tolist(), Targets.of(frame), Tells()
    vectors = _Vectors(len(patients))
    for ids, values in gene_groups(path, patients):
        vectors.read(values)
        tells.read(ids, values, targets)
    yield from audit_duplicates("expression", "an expression", vectors.inputs(patients), RNA_FIX)
    yield from tells.findings("genes", "gene", GENES_FIX)


class _Vectors:
    """Digest and outline of every patient's expression, gene group after gene group."""

    def __init__(self, patients: int) -> None:
        self._hashes = [hashlib.sha256() for _ in range(patients)]
        self._outline = np.zeros((patients, OUTLINES))
        self._least, self._most = np.full(patients, np.inf), np.full(patients, -np.inf)
        self._groups = 0

    def read(self, values: NDArray[np.float32]) -> None:
        """Add ``values`` [gene, patient]."""
        for one, column in zip(self._hashes, np.ascontiguousarray(values.T), strict=True):
            one.update(np.where(np.isnan(column), np.float32(np.nan), column + 0).tobytes())
        there = np.isfinite(values)
        self._least = np.minimum(self._least, np.where(there, values, np.inf).min(0))
        self._most = np.maximum(self._most, np.where(there, values, -np.inf).max(0))
        directions = np.random.default_rng(self._groups).standard_normal((len(values), OUTLINES))
        self._outline += _standardised(values, there).T @ directions
        self._groups += 1

    def inputs(self, patients: Sequence[str]) -> list[Input]:
        """Of every patient; without a digest where nothing was measured, or one value only."""
        return [
            Input(name, name, one.hexdigest()[:16] if low < high else "", tuple(outline))
            for name, one, outline, low, high in zip(
                patients, self._hashes, self._outline.tolist(), self._least, self._most, strict=True
            )
        ]


def _standardised(values: NDArray[np.float32], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """By mean and deviation of each gene over the patients; 0 where nothing was measured or all are the same."""
    known = np.where(there, values, 0).astype(np.float64)
    count = np.maximum(there.sum(1, keepdims=True), 1)
    centred = np.where(there, known - known.sum(1, keepdims=True) / count, 0)
    deviation = np.sqrt((centred**2).sum(1, keepdims=True) / count)
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)
