"""Anyone's predictions: what the rows alone show, and what they show against a split file."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from mirrorflow.audit import LEAK, WARNING, Finding
from mirrorflow.splits import Fold


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
    predicted, train, val = set(rows["patient"]), set(fold.train), set(fold.val)
    for level, kind, patients, said in (
        (LEAK, "evaluated_in_training", predicted & train, "evaluated patients are training patients"),
        (WARNING, "evaluated_elsewhere", predicted - val - train, "evaluated patients are not in val"),
        (WARNING, "lost_units", val - predicted, "patients of val have no prediction"),
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
