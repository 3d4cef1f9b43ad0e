"""Patients, labels and outcomes of a cohort, and the units that are evaluated.

A cohort's frame has one row per patient: ``patient``, ``label`` (class name or ""), ``time_days`` and
``event`` (NaN when unknown: an unknown outcome is not a censored one), ``site``, ``slide_ids`` (list; empty without
slides), where not everybody has expression ``has_rna``, and the sheet's further columns.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mirrorflow.cohorts.classes import check_classes
from mirrorflow.cohorts.column_names import require_event, require_unit
from mirrorflow.cohorts.endpoint import ANY_CAUSE
from mirrorflow.cohorts.vials import one_row_each
from mirrorflow.cohorts.written import (
    BY_THEIR_VALUES,
    LONGEST_DAYS,
    Said,
    as_events,
    days_between,
    require_no_thousands,
    with_points,
)
from mirrorflow.config.unknown import counted, is_unknown
from mirrorflow.errors import InputError
from mirrorflow.units import DAYS_PER_MONTH

TIME_UNITS = {"days": 1.0, "months": DAYS_PER_MONTH, "years": 365.25}
HAS_RNA = "has_rna"
"""Column of a cohort's frame, where not everybody has expression."""
OURS = ("slide_ids", "sheet_label", "time_days", HAS_RNA, *ANY_CAUSE)
"""Columns of a cohort's frame that no user's sheet gives, whatever its columns are called."""
PATIENT_LENGTH = 12
"""Characters of a TCGA barcode that name the patient."""
_BARCODE_SITE = r"^[A-Z0-9]{4}-([A-Z0-9]{2})-[A-Z0-9]{4}$"

logger = logging.getLogger("mirrorflow.cohorts.patients")


@dataclass(frozen=True)
class Written:
    """How a sheet is written: the unit of times, the order of dates, words for events; the lines of its rows."""

    time_unit: str = "days"
    dates: str = BY_THEIR_VALUES
    event_words: Mapping[str, int] = field(default_factory=dict)
    lines: Sequence[int] | None = None


def standard_sheet(
    sheet: pd.DataFrame,
    columns: Mapping[str, str],
    where: str,
    time_unit: str,
    written: Written | None = None,
    said: Said | None = None,
) -> pd.DataFrame:
    """A user's patients sheet in our columns and units.

    ``sheet`` holds strings; ``columns`` maps our names to the sheet's. said: is told what was converted
    (:mod:`.written`). Raises InputError naming the line (the header is line 1) of a duplicate patient, a time that is
    no number, is negative or longer than any follow-up, an event other than 0/1; and for what can be read in two ways.
    """
    written, said = written or Written(time_unit), said or Said(where)
    missing = [f"{ours} ({theirs})" for ours, theirs in columns.items() if theirs not in sheet]
    if missing:
        message = f"{where}: no column {', '.join(missing)}; the sheet has {', '.join(sheet.columns)}"
        raise InputError(message)
    taken = [name for name in sheet if name in OURS and name not in columns.values()]
    if taken:
        logger.warning("%s: columns with names that mean something else here are not read: %s", where, ", ".join(taken))
    others = [name for name in sheet if name not in [*columns, *columns.values(), *taken]]
    frame = sheet[others].assign(**{ours: sheet[theirs] for ours, theirs in columns.items()})
    if "patient" not in frame:
        message = f"{where}: no column `patient`; name it with `columns: {{patient: ...}}`"
        raise InputError(message)
    frame = frame.reset_index(drop=True).fillna("")
    numbers = written.lines or range(2, len(frame) + 2)
    lines = pd.Series([f"line {number}" for number in numbers], dtype=object)
    frame, unit = _in_numbers(frame, columns, written, said)
    for name in ("label", "site", "time", "event"):
        if name not in frame:
            frame[name] = ""
    return _checked(frame, lines, where, unit)


def _in_numbers(
    frame: pd.DataFrame, columns: Mapping[str, str], written: Written, said: Said
) -> tuple[pd.DataFrame, str]:
    """Decimal commas, words for an event and dates as numbers; with the unit of the times."""
    frame = frame.apply(lambda column: column.str.strip())
    for name in frame:
        if name not in ("patient", "label", "site", "event", "start", "end"):
            frame[name] = with_points(frame[name], str(name), said, needed=name == "time")
    if "event" in frame:
        require_event(columns.get("event", "event"), frame["event"], written.event_words, said.where)
        frame["event"] = as_events(frame["event"], written.event_words, said)
    named = {"start", "end"} & set(columns)
    if not named:
        require_unit(columns.get("time", "time"), written.time_unit, said.where)
        if "time" in frame and written.time_unit == "days":
            require_no_thousands(frame["time"], said)
        return frame, written.time_unit
    if len(named) == 1 or "time" in columns:
        message = (
            f"{said.where}: columns: start and end of follow-up go together, without `time`; it names "
            f"{', '.join(name for name in ('start', 'end', 'time') if name in columns)}"
        )
        raise InputError(message)
    names = columns["start"], columns["end"]
    days = days_between(frame["start"], frame["end"], names, written.dates, said)
    return frame.drop(columns=["start", "end"]).assign(time=days), "days"


def _checked(
    frame: pd.DataFrame, lines: pd.Series, where: str, time_unit: str, outcomes: str | None = None
) -> pd.DataFrame:
    """Outcomes as numbers in days. ``lines`` says how a message names each row, ``outcomes`` the file of time and event
    where it is another one.

    Words for unknown (:mod:`.config.unknown`) become "" and are logged; ``sheet_label`` keeps what was written.
    """
    frame = frame.apply(lambda column: column.fillna("").str.strip())
    frame["sheet_label"] = frame["label"]
    places = dict.fromkeys(("time", "event"), outcomes or where)
    for name in ("label", "site", "time", "event"):
        frame[name] = _known(frame[name], name, places.get(name, where))

    def refuse(wrong: pd.Series, column: str, what: str, fix: str = "") -> None:
        if column == "time" and frame.loc[wrong, column].str.contains(",", regex=False).any():
            fix = "; write points for decimals and nothing between thousands"
        _refuse_lines(places.get(column, where), lines[wrong], frame.loc[wrong, column], what, fix)

    refuse(frame["patient"].map(is_unknown), "patient", "a patient without a name")
    refuse(frame["patient"].duplicated(), "patient", "a patient a second time")
    refuse(frame["patient"].str.casefold().duplicated(), "patient", "a patient a second time, in other case")
    numbers = {name: pd.to_numeric(frame[name], errors="coerce") for name in ("time", "event")}
    words = {"event": "; say what it means: event_words"}
    for name in numbers:
        wrong = (frame[name] != "") & ~np.isfinite(numbers[name])
        refuse(wrong, name, f"{name} is not a number", words.get(name, ""))
    refuse(numbers["time"] < 0, "time", "a negative time")
    days = numbers["time"] * TIME_UNITS[time_unit]
    unit = f"; time_unit is {time_unit}, set that of the column; leave an open end empty"
    refuse(days > LONGEST_DAYS, "time", f"a time of more than {LONGEST_DAYS:,} days", unit)
    refuse(numbers["event"].notna() & ~numbers["event"].isin([0, 1]), "event", "event is not 0 or 1", words["event"])
    frame = frame.assign(time_days=days, event=numbers["event"])
    return frame.drop(columns="time")


def xena_sheet(
    survival: pd.DataFrame, matrix: pd.DataFrame, label: str, outcome: str, where: str, survival_where: str
) -> pd.DataFrame:
    """Xena's survival table and clinicalMatrix (strings) as one row per patient.

    Primary tumour samples (type 01) only, a patient's vials as one; the clinicalMatrix says who belongs to the
    cohort, since the survival table may be that of all cancers. Raises InputError when a column is missing, and as
    :func:`standard_sheet` does, naming the patient and, of the two files ``where`` (clinicalMatrix) and
    ``survival_where``, the one at fault.
    """
    for file, name, frame, wanted in (
        (survival_where, "survival table", survival, ["sample", outcome, f"{outcome}.time"]),
        (where, "clinicalMatrix", matrix, ["sampleID", label]),
    ):
        lacking = [column for column in wanted if column not in frame]
        if lacking:
            message = f"{file}: the {name} lacks {', '.join(lacking)}; it has {', '.join(frame.columns[:20])}, ..."
            raise InputError(message)
    known = {"age_at_initial_pathologic_diagnosis": "age", "gender": "sex", "pathologic_stage": "stage"}
    extra = {ours: theirs for theirs, ours in known.items() if theirs in matrix}
    labels = _primary(matrix, "sampleID", {"label": label, **extra}, where)
    outcomes = _primary(survival, "sample", {"event": outcome, "time": f"{outcome}.time"}, survival_where)
    frame = labels.merge(outcomes, on="patient", how="left", validate="1:1").sort_values("patient", ignore_index=True)
    return _checked(frame.assign(site=""), frame["patient"], where, "days", survival_where)


def _primary(frame: pd.DataFrame, sample: str, columns: Mapping[str, str], where: str) -> pd.DataFrame:
    """One row a patient of the primary tumour's samples; what one vial does not know another may."""
    frame = frame[frame[sample].str.slice(13, 15).isin(["01", ""])]
    wanted = {ours: frame[theirs] for ours, theirs in columns.items()}
    return one_row_each(pd.DataFrame({"patient": frame[sample].str[:PATIENT_LENGTH], **wanted}), columns, where)


def _known(column: pd.Series, name: str, where: str) -> pd.Series:
    """A column with "" for what is unknown; which words stood for it, and how often, goes to the log."""
    unknown = column.map(is_unknown).astype(bool)
    if (column[unknown] != "").any():
        logger.warning("%s: %s is unknown of %d: %s", where, name, int(unknown.sum()), counted(column[unknown]))
    return column.where(~unknown, "")


def _refuse_lines(where: str, lines: pd.Series, values: pd.Series, what: str, fix: str) -> None:
    if len(lines):
        named = [f"{line}: {value!r}" for line, value in zip(lines.head(5), values, strict=False)]
        message = f"{where}: {what}: {'; '.join(named)}{' ...' if len(lines) > 5 else ''}{fix}"
        raise InputError(message)


def barcode_sites(patients: pd.Series) -> pd.Series:
    """Tissue source site of each patient: characters 6 and 7 of a TCGA barcode, "" for other names."""
    return patients.str.extract(_BARCODE_SITE, expand=False).fillna("")


def name_classes(frame: pd.DataFrame, classes: Mapping[str, str], site: str) -> pd.DataFrame:
    """Labels as class names ("" when not in ``classes``; ``sheet_label`` keeps what was written) and sites.

    site: ``barcode`` (see :func:`barcode_sites`), ``column`` or ``none``. Raises MirrorflowError as
    :func:`.classes.check_classes`.
    """
    check_classes(set(frame["label"]) - {""}, classes)
    if "sheet_label" not in frame:
        frame = frame.assign(sheet_label=frame["label"])
    if classes:
        frame["label"] = frame["label"].map(classes).fillna("")
    if site == "barcode":
        frame["site"] = barcode_sites(frame["patient"])
    elif site == "none":
        frame["site"] = ""
    return frame


def class_names(frame: pd.DataFrame, classes: Mapping[str, str]) -> list[str]:
    """Classes in the order of the config (else of the alphabet), whether or not a patient has them."""
    if classes:
        return list(dict.fromkeys(classes.values()))
    return sorted(set(frame["label"]) - {""})


def has_label(frame: pd.DataFrame) -> pd.Series:
    """Rows that can take part in subtyping."""
    return frame["label"].fillna("") != ""


def has_outcome(frame: pd.DataFrame) -> pd.Series:
    """Rows that can take part in survival: time above 0 and event both known."""
    return frame["time_days"].gt(0) & frame["event"].notna()


def eligible(frame: pd.DataFrame, task: str) -> pd.Series:
    """Rows that can take part in ``task``."""
    return has_label(frame) if task == "subtyping" else has_outcome(frame)


PAIRED = ("slides", "rna")
"""What pretrained methods see."""


def who_has(frame: pd.DataFrame, inputs: Collection[str]) -> pd.DataFrame:
    """The patients who have what a method sees: slides, expression (``rna``), both or, for other inputs, all."""
    kept = pd.Series(data=True, index=frame.index)
    if "slides" in inputs:
        kept &= frame["slide_ids"].map(len) > 0
    if "rna" in inputs and HAS_RNA in frame:
        kept &= frame[HAS_RNA].astype(bool)
    return frame if kept.all() else frame[kept].reset_index(drop=True)


def who_has_all(frame: pd.DataFrame) -> pd.DataFrame:
    """The patients who have every modality that anyone of the cohort has."""
    there = [name for name in ("slides", "rna") if len(who_has(frame, [name]))]
    return who_has(frame, there)


def unit_names(rows: pd.DataFrame) -> pd.Series:
    """Names of the units of slides that were predicted (patient, slide_id): a patient without slides is one himself."""
    return rows["slide_id"].where(rows["slide_id"].fillna("") != "", rows["patient"])


def to_units(frame: pd.DataFrame, unit: str) -> pd.DataFrame:
    """One row per evaluated unit: ``unit`` (its name), ``patient``, ``slide_id`` ("" for patients), ...

    ``patient``: one bag of all slides of a patient. ``slide``: every slide with its patient's expression,
    label and outcome (as published); a patient without slides is a unit by himself.
    """
    if unit == "patient":
        return frame.assign(unit=frame["patient"], slide_id="").reset_index(drop=True)
    whole = frame.assign(slide_ids=frame["slide_ids"].map(lambda ids: list(ids) or [""]))
    slides = whole.explode("slide_ids", ignore_index=True)
    alone = pd.Series([[slide] if slide else [] for slide in slides["slide_ids"]], index=slides.index, dtype=object)
    names = slides["slide_ids"].where(slides["slide_ids"] != "", slides["patient"])
    return slides.assign(unit=names, slide_id=slides["slide_ids"], slide_ids=alone)


def survival_arrays(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Times in days (float) and events (bool) of rows with a known outcome."""
    return frame["time_days"].to_numpy(float), frame["event"].to_numpy(float) == 1
