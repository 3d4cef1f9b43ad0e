"""Anyone's predictions: what the rows alone show, and what they show against a split file."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.audit.findings import LEAK, WARNING, Finding, audit_protocol
from mirrorflow.cohorts.splits import Fold


def _examples(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names)[:5])


def audit_rows(rows: pd.DataFrame) -> Iterator[Finding]:
    """Predictions that cannot be right: a unit twice, no probabilities, no risk, an outcome that was filled in.

    rows of one fold: setting, seed, fold, patient, slide_id; prob_<class> and label, or risk, time_days and event.
    """
    number = int(rows["fold"].iloc[0])
    twice = rows.duplicated(["setting", "seed", "patient", "slide_id"])
    if twice.any():
        text = f"{int(twice.sum())} units are predicted more than once in a setting and seed"
        yield Finding(WARNING, "duplicate_predictions", text, number, int(twice.sum()), _some(rows, twice))
    probabilities = rows.filter(regex="^prob_")
    if len(probabilities.columns):
        off = (probabilities.sum(axis=1) - 1).abs() > 1e-3
        if off.any():
            text = f"probabilities of {int(off.sum())} rows do not add up to 1"
            yield Finding(WARNING, "probabilities", text, number, int(off.sum()), _some(rows, off))
    if "risk" in rows:
        yield from _audit_risks(rows, number)


def _audit_risks(rows: pd.DataFrame, number: int) -> Iterator[Finding]:
    known = rows.assign(**{name: np.nan for name in ("time_days", "event") if name not in rows})
    for kind, wrong, said in (
        ("no_risk", rows["risk"].isna(), "rows have no risk"),
        ("no_outcome", known["time_days"].isna() | known["event"].isna(), "rows have no outcome"),
        ("filled_in", known["time_days"] <= 0, "rows have a follow-up of 0 days or less: a missing outcome filled in?"),
    ):
        if wrong.any():
            yield Finding(WARNING, kind, f"{int(wrong.sum())} {said}", number, int(wrong.sum()), _some(rows, wrong))


def _some(rows: pd.DataFrame, which: pd.Series) -> tuple[str, ...]:
    return _examples(set(rows.loc[which, "patient"].astype(str)))


def audit_patients(rows: pd.DataFrame, number: int, fold: Fold, labels: Mapping[str, str]) -> Iterator[Finding]:
    """Predicted patients against the fold's split file: trained on, not in val, or lost (and of which class).

    labels: class of each patient, as far as known.
    """
    predicted, train, val = set(rows["patient"]), set(fold.train), set(fold.evaluated)
    part = "test" if fold.test else "val"
    for level, kind, patients, said in (
        (LEAK, "evaluated_in_training", predicted & train, "evaluated patients are training patients"),
        (WARNING, "evaluated_elsewhere", predicted - val - train, f"evaluated patients are not in {part}"),
        (WARNING, "lost_units", val - predicted, f"patients of {part} have no prediction"),
    ):
        if patients:
            text = f"{len(patients)} {said}{_by_class(patients, labels)}"
            yield Finding(level, kind, text, number, len(patients), _examples(patients))


def _by_class(patients: Iterable[str], labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    counts = Counter(labels.get(patient, "") or "class unknown" for patient in patients)
    return ": " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def audit_evaluated_twice(rows: pd.DataFrame) -> Iterator[Finding]:
    """Patients who are evaluated in more than one fold, over all folds of a method."""
    folds = rows.groupby("patient")["fold"].nunique()
    several = folds.index[folds > 1]
    if len(several):
        text = f"{len(several)} patients are evaluated in more than one fold"
        yield Finding(WARNING, "evaluation_overlap", text, None, len(several), _examples(map(str, several)))


MOSTLY_DISTINCT = 0.9
"""Share of units with predictions of their own from which on equal ones are remarkable: a constant method, or one of a
few clinical categories, has less."""


def audit_same_rows(rows: pd.DataFrame) -> Iterator[Finding]:
    """Patients of a fold who are predicted exactly as another one in every setting and seed: the same inputs twice?

    rows: of one file. Units that are predicted with certainty (0 and 1) alone say nothing and are passed over.
    """
    values = rows.filter(regex=r"^(prob_.*|risk|surv_\d+)$")
    predicted: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    keys = zip(rows["patient"], rows["slide_id"].fillna(""), rows["setting"], rows["seed"], strict=True)
    for (patient, slide, setting, seed), value in zip(keys, values.itertuples(index=False, name=None), strict=True):
        predicted.setdefault((str(patient), str(slide)), []).append((str(setting), seed, *value))
    units: dict[tuple[Any, ...], list[str]] = {}
    for (patient, _), said in predicted.items():
        units.setdefault(tuple(sorted(said)), []).append(patient)
    if len(units) < MOSTLY_DISTINCT * len(predicted):
        return
    unsure = [names for said, names in units.items() if not _certain(said)]
    same = [sorted(set(names)) for names in unsure if len(set(names)) > 1]
    if same:
        count = sum(map(len, same))
        text = (
            f"{count} patients are predicted exactly as another patient, in every setting and seed, though most are "
            "not: the same slides or expression under two names? Compare their files"
        )
        pairs = _examples(" = ".join(names[:2]) for names in same)
        yield Finding(WARNING, "same_predictions", text, int(rows["fold"].iloc[0]), count, pairs)


def _certain(said: Sequence[tuple[Any, ...]]) -> bool:
    return all(value in (0, 1) or value != value for _, _, *values in said for value in values)


def audit_targets(rows: pd.DataFrame, sheet: pd.DataFrame) -> Iterator[Finding]:
    """Labels and events of the rows against those of a patients' sheet (text), where both use the same words."""
    for name, what in (("label", "a label"), ("event", "an event")):
        if name not in rows or name not in sheet:
            continue
        known = dict(zip(sheet["patient"], sheet[name], strict=True))
        there = rows["patient"].map(known).fillna("")
        mine, theirs = (_written(column) for column in (rows[name], there))
        comparable = (mine != "") & (theirs != "")
        if not set(mine[comparable]) <= set(_written(sheet[name])):
            continue  # other words for the same
        patients = set(rows.loc[comparable & (mine != theirs), "patient"].astype(str))
        if patients:
            text = f"{len(patients)} patients are evaluated on {what} that the patients' sheet has otherwise"
            number = int(rows["fold"].iloc[0])
            yield Finding(LEAK, "other_targets", text, number, len(patients), _examples(patients))


def _written(column: pd.Series) -> pd.Series:
    """Values as text; numbers without a needless ``.0``, nothing for a missing one."""
    text = column.astype("object").where(column.notna(), "").astype(str).str.strip()
    return text.str.replace(r"\.0+$", "", regex=True)


# What our own predictions files say of themselves.


@dataclass(frozen=True)
class Notes:
    """The notes in the metadata of a predictions file of ours: of which fold and task it is, and what they say."""

    fold: int
    subtyping: bool
    protocol: Mapping[str, Any]
    settings: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, rows: pd.DataFrame, notes: Mapping[str, Any]) -> "Notes":
        """From a file's rows and notes."""
        labelled = any(str(name).startswith("prob_") for name in rows)
        return cls(int(rows["fold"].iloc[0]), labelled, notes.get("protocol", {}), notes.get("settings", ()))


def audit_notes(files: Sequence[Notes], label_of: Callable[[str], str]) -> Iterator[Finding]:
    """What the files of a method and task say they were made with: protocol, bins, genes, epochs, lost units.

    label_of: class of a unit, "" where it is unknown.
    """
    found = [finding for notes in files if notes.protocol for finding in audit_protocol(notes.protocol)]
    found += [finding for notes in files for finding in _audit_file_notes(notes, label_of)]
    yield from dict.fromkeys(found)
    yield from _same_bins(files)


def _audit_file_notes(notes: Notes, label_of: Callable[[str], str]) -> Iterator[Finding]:
    for note in notes.settings:
        setting = str(note["setting"])
        if lost := note.get("lost_units"):
            counts = _by_class(lost, {unit: label_of(unit) for unit in lost})
            text = f"{setting}: {len(lost)} evaluation units were lost with the last incomplete batch{counts}"
            yield Finding(WARNING, "lost_units", text, notes.fold, len(lost), _examples(lost))
        chosen = notes.protocol.get("epoch") == "nested" and setting == "all" and note.get("epoch") is not None
        if chosen and "epoch_choice" not in note:
            text = f"{setting}: the epoch was chosen on nothing that the file names"
            yield Finding(LEAK, "epoch_choice", text, notes.fold)
        yield from _gene_labels(notes, note, setting)


def _gene_labels(notes: Notes, note: Mapping[str, Any], setting: str) -> Iterator[Finding]:
    """Genes that were chosen with more labels than the setting may have seen. A survival file's trained units do not
    count labels: it is told by the protocol alone."""
    labels, trained = note.get("gene_labels") or 0, note.get("train_patients") or 0
    if not labels:
        return
    if setting != "all":
        if labels > trained:
            text = f"{setting}: genes were chosen with {labels} labels, it trains on {trained} patients"
            yield Finding(WARNING, "few_shot_gene_labels", text, notes.fold, labels)
    elif notes.protocol.get("gene_selection") == "cohort":
        text = f"genes were chosen with {labels} subtype labels of the whole cohort, evaluation patients among them"
        yield Finding(LEAK, "gene_labels", text, notes.fold, labels)
    elif notes.subtyping and labels > trained:
        text = f"genes were chosen with {labels} subtype labels, more than the {trained} training patients have"
        yield Finding(LEAK, "gene_labels", text, notes.fold, labels - trained)


def _same_bins(files: Sequence[Notes]) -> Iterator[Finding]:
    """Survival bins that are the same in every fold, where the protocol does not say so itself."""
    edges = [
        tuple(note["bin_edges_days"]) for notes in files for note in notes.settings[:1] if note.get("bin_edges_days")
    ]
    if len(edges) > 1 and len(set(edges)) == 1 and files[0].protocol.get("survival_bins") != "cohort":
        text = f"survival bins are the same in all {len(edges)} folds: set with the outcomes of evaluation patients"
        yield Finding(LEAK, "survival_bins", text, None, len(edges))
