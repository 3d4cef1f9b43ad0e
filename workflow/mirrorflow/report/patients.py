"""Who was predicted how: a row a patient, by the methods that are ahead and by the reference."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from mirrorflow.report.blocks import Block, Cell, Heading, Section, Table, Text, data_uri
from mirrorflow.report.verdicts import named

SHOWN_PATIENTS = 1500
"""Longest table of a cohort on the page."""
ALL_DATA = "all"


@dataclass(frozen=True)
class PatientTable:
    """A cohort's patients under a protocol.

    frame: the cohort (patient, label, time_days, event, slide_ids). predicted: method -> a row an evaluated patient
    (patient, fold, predicted, probability of the predicted class). groups: method -> patient, fold and group of risk.
    pictures: patient -> JPEG bytes of a small picture of the first slide.
    """

    protocol: str
    frame: pd.DataFrame
    predicted: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    groups: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    pictures: Mapping[str, bytes] = field(default_factory=dict)


def predicted_classes(rows: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Class of highest probability of each patient: a mean over seeds and slides, in the first fold that has it.

    rows: subtyping predictions of all folds (setting, fold, seed, patient, prob_<class>). Columns: patient, fold,
    predicted, probability.
    """
    columns = [f"prob_{name}" for name in classes]
    mine = rows[rows["setting"] == ALL_DATA]
    means = mine.groupby(["fold", "patient"], sort=True)[columns].mean().reset_index().drop_duplicates("patient")
    values = means[columns].to_numpy(float)
    return pd.DataFrame(
        {
            "patient": means["patient"].to_numpy(),
            "fold": means["fold"].to_numpy(),
            "predicted": [classes[place] for place in values.argmax(1)],
            "probability": values.max(1),
        }
    )


def patients_section(tables: Mapping[str, PatientTable], titles: Mapping[str, str]) -> Section:
    """A table a cohort. titles: of methods."""
    blocks: list[Block] = []
    for cohort, table in tables.items():
        if table.predicted or table.groups:
            blocks += [Heading(cohort), _table(cohort, table, titles)]
    about = "prediction, class, risk group, fold and slide of each patient; sort and filter"
    none = "No prediction with all training data is shown for the patients of this run."
    return Section("patients", "Patient by patient", blocks or [Text(none)], folded=True, about=about)


def _table(cohort: str, table: PatientTable, titles: Mapping[str, str]) -> Table:
    records = table.frame.sort_values("patient").head(SHOWN_PATIENTS).to_dict("records")
    header = [
        "patient",
        "slide",
        "fold",
        "class",
        *(f"predicted by\n{named(name, titles)}" for name in table.predicted),
    ]
    header += ["days", "event", *(f"risk by\n{named(name, titles)}" for name in table.groups)]
    folds = _folds(table)
    found = [{str(row["patient"]): row for row in one.to_dict("records")} for one in table.predicted.values()]
    groups = [dict(zip(one["patient"], one["group"], strict=True)) for one in table.groups.values()]
    rows = [
        [
            *_who(row, table, folds),
            *(_predicted(one.get(str(row["patient"])), row["label"]) for one in found),
            *_outcome(row),
            *(Cell(str(one.get(row["patient"], ""))) for one in groups),
        ]
        for row in records
    ]
    days = 4 + len(found)
    choices = {2, 3, *range(4, days), days + 1, *range(days + 2, len(header))}
    return Table(
        _caption(cohort, table, len(rows)),
        header,
        rows,
        frozenset({2, days}),
        filterable=True,
        choices=frozenset(choices),
    )


def _caption(cohort: str, table: PatientTable, shown: int) -> str:
    more = "" if shown == len(table.frame) else f" The first {shown}; the files of the predictions have all."
    return (
        f"Patients of {cohort}, n = {len(table.frame)}, protocol {table.protocol}, all training data: each predicted "
        "by the model of a fold that evaluates them (a mean over seeds and slides), which was not trained on them "
        "unless published folds share patients, as the audit then says; by the method ahead in "
        "each task and by the reference. High risk: above the median of the patient's own fold, as the curves have "
        f"it.{more} Rule make_report."
    )


def _folds(table: PatientTable) -> dict[str, int]:
    found: dict[str, int] = {}
    for frame in (*table.predicted.values(), *table.groups.values()):
        for patient, fold in zip(frame["patient"], frame["fold"], strict=True):
            found.setdefault(str(patient), int(fold))
    return found


def _who(row: Mapping[Hashable, object], table: PatientTable, folds: Mapping[str, int]) -> list[Cell]:
    patient, fold = str(row["patient"]), folds.get(str(row["patient"]))
    content = table.pictures.get(patient)
    slide = Cell(f"slide of {patient}", image=data_uri(content, "image/jpeg")) if content else Cell("no picture")
    return [Cell(patient), slide, Cell("" if fold is None else str(fold)), Cell(_text(row["label"]))]


def _outcome(row: Mapping[Hashable, object]) -> list[Cell]:
    days, event = row["time_days"], row["event"]
    if pd.isna(days) or pd.isna(event):  # type: ignore[call-overload]
        return [Cell(""), Cell("unknown")]
    return [Cell(f"{float(str(days)):,.0f}"), Cell("event" if float(str(event)) == 1 else "none")]


def _predicted(found: Mapping[Hashable, object] | None, label: object) -> Cell:
    if found is None:
        return Cell("")
    below = f"p {float(str(found['probability'])):.2f}"
    wrong = _text(label) not in ("", str(found["predicted"]))
    return Cell(str(found["predicted"]), below=f"{below}, wrong" if wrong else below, strong=wrong)


def _text(value: object) -> str:
    return "" if pd.isna(value) else str(value)  # type: ignore[call-overload]
