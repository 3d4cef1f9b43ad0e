"""Patients, labels, outcomes and slides joined; what falls out on the way is counted, with the reason.

A cohort's frame has one row per patient: ``patient``, ``label`` (class name or ""), ``time_days`` and
``event`` (NaN when unknown: an unknown outcome is not a censored one), ``site``, ``slide_ids`` (list), and
the sheet's further columns.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from mirrorflow.cohorts import endpoint
from mirrorflow.cohorts.classes import check_classes
from mirrorflow.cohorts.flow import Flow
from mirrorflow.cohorts.other_samples import not_listed
from mirrorflow.cohorts.vials import one_row_each
from mirrorflow.config.unknown import counted, is_unknown
from mirrorflow.errors import InputError
from mirrorflow.units import DAYS_PER_MONTH

TIME_UNITS = {"days": 1.0, "months": DAYS_PER_MONTH, "years": 365.25}
PATIENT_LENGTH = 12
"""Characters of a TCGA barcode that name the patient."""
NO_CAUSE = "dead, cause unknown: kept for pretraining and subtyping, bounded in tables/cause_bounds"
_BARCODE_SITE = r"^[A-Z0-9]{4}-([A-Z0-9]{2})-[A-Z0-9]{4}$"

logger = logging.getLogger("mirrorflow.cohorts.patients")


def standard_sheet(sheet: pd.DataFrame, columns: Mapping[str, str], where: str, time_unit: str) -> pd.DataFrame:
    """A user's patients sheet in our columns and units.

    ``sheet`` holds strings; ``columns`` maps our names to the sheet's. Raises InputError naming the line (the
    header is line 1) of a duplicate patient, a time that is no number or is negative, an event other than 0/1.
    """
    missing = [f"{ours} ({theirs})" for ours, theirs in columns.items() if theirs not in sheet]
    if missing:
        message = f"{where}: no column {', '.join(missing)}; the sheet has {', '.join(sheet.columns)}"
        raise InputError(message)
    others = [name for name in sheet if name not in columns and name not in columns.values()]
    frame = sheet[others].assign(**{ours: sheet[theirs] for ours, theirs in columns.items()})
    if "patient" not in frame:
        message = f"{where}: no column `patient`; name it with `columns: {{patient: ...}}`"
        raise InputError(message)
    for name in ("label", "site", "time", "event"):
        if name not in frame:
            frame[name] = ""
    lines = pd.Series([f"line {number + 2}" for number in range(len(frame))], dtype=object)
    return _checked(frame.reset_index(drop=True), lines, where, time_unit)


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

    def refuse(wrong: pd.Series, column: str, what: str) -> None:
        _refuse_lines(places.get(column, where), lines[wrong], frame.loc[wrong, column], what)

    refuse(frame["patient"].map(is_unknown), "patient", "a patient without a name")
    refuse(frame["patient"].duplicated(), "patient", "a patient a second time")
    refuse(frame["patient"].str.casefold().duplicated(), "patient", "a patient a second time, in other case")
    numbers = {name: pd.to_numeric(frame[name], errors="coerce") for name in ("time", "event")}
    for name in numbers:
        refuse((frame[name] != "") & ~np.isfinite(numbers[name]), name, f"{name} is not a number")
    refuse(numbers["time"] < 0, "time", "a negative time")
    refuse(numbers["event"].notna() & ~numbers["event"].isin([0, 1]), "event", "event is not 0 or 1")
    frame = frame.assign(time_days=numbers["time"] * TIME_UNITS[time_unit], event=numbers["event"])
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


def _refuse_lines(where: str, lines: pd.Series, values: pd.Series, what: str) -> None:
    if len(lines):
        named = [f"{line}: {value!r}" for line, value in zip(lines.head(5), values, strict=False)]
        message = f"{where}: {what}: {'; '.join(named)}{' ...' if len(lines) > 5 else ''}"
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


def assemble(
    patients: pd.DataFrame,
    indexes: Mapping[str, pd.DataFrame],
    rna_patients: Sequence[str],
    where: str,
    left_aside: Mapping[str, str] | None = None,
) -> tuple[pd.DataFrame, Flow]:
    """Join patients, slides with features of every encoder, and expression into the cohort's frame.

    ``indexes`` holds one frame per encoder with slide_id, patient, status, reason; a slide counts when all
    encoders have features of it, so that every encoder is compared on the same patients. ``left_aside``: patients whom
    the clinical tables know and ``patients`` does not, with the types of their samples. Raises InputError when nobody
    is left, showing names of each side.
    """
    flow = Flow()
    every = pd.concat([index[["slide_id", "patient"]] for index in indexes.values()]).drop_duplicates("slide_id")
    flow.count("patients in the sheet", len(patients), int(every["patient"].isin(patients["patient"]).sum()))
    slides = _with_features(every, indexes, flow)
    listed = slides["patient"].isin(patients["patient"])
    unlisted = slides[~listed]
    reasons = [not_listed((left_aside or {}).get(patient)) for patient in unlisted["patient"]]
    flow.drop("clinical data", unlisted["patient"], reasons, unlisted["slide_id"])
    by_patient = {name: sorted(group) for name, group in slides[listed].groupby("patient")["slide_id"]}
    kept = patients[patients["patient"].isin(list(by_patient))]
    flow.drop("slides", sorted(set(patients["patient"]) - set(kept["patient"])), "no slide with features")
    flow.count("with slides", len(kept), sum(len(by_patient[patient]) for patient in kept["patient"]))
    with_rna = kept[kept["patient"].isin(list(rna_patients))]
    flow.drop("expression", sorted(set(kept["patient"]) - set(with_rna["patient"])), "no expression")
    if with_rna.empty:
        message = (
            f"{where}: nobody has slides, clinical data and expression: clinical data name "
            f"{_some(patients['patient'])}, slides {_some(every['patient'])}, expression {_some(rna_patients)}; "
            "check the ids (`columns:`, `sample_ids:`)"
        )
        raise InputError(message)
    frame = with_rna.sort_values("patient", ignore_index=True)
    frame["slide_ids"] = [by_patient[patient] for patient in frame["patient"]]
    flow.count("with slides and expression", len(frame), int(frame["slide_ids"].map(len).sum()))
    _count_known(frame, flow)
    return frame, flow


def _with_features(slides: pd.DataFrame, indexes: Mapping[str, pd.DataFrame], flow: Flow) -> pd.DataFrame:
    """The slides that every encoder has features of."""
    for encoder, index in indexes.items():
        bad = index[index["status"] != "ok"]
        reasons = bad["status"] + ": " + bad["reason"]
        absent = slides[~slides["slide_id"].isin(index["slide_id"])]
        flow.drop(f"features of {encoder}", bad["patient"], reasons, bad["slide_id"])
        flow.drop(f"features of {encoder}", absent["patient"], "missing: not in its index", absent["slide_id"])
    good = [set(index.loc[index["status"] == "ok", "slide_id"]) for index in indexes.values()]
    return slides[slides["slide_id"].isin(set.intersection(*good))]


def _some(names: Iterable[str]) -> str:
    names = sorted(set(names))
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "nobody"


def _count_known(frame: pd.DataFrame, flow: Flow) -> None:
    slides = frame["slide_ids"].map(len)
    labelled, followed = has_label(frame), has_outcome(frame)
    flow.count("of these with a label (subtyping)", int(labelled.sum()), int(slides[labelled].sum()))
    flow.count("of these with a known outcome (survival)", int(followed.sum()), int(slides[followed].sum()))
    for what, rows in endpoint.deaths_by_cause(frame).items():
        flow.count(what, int(rows.sum()), int(slides[rows].sum()))
    if (frame["site"] != "").any() and (frame["site"] == "").any():
        known = frame["site"] != ""
        flow.count("of these with a known site", int(known.sum()), int(slides[known].sum()))
    unlabelled, unfollowed = frame[~labelled], frame[~followed]
    flow.drop("subtyping", unlabelled["patient"], unlabelled["sheet_label"].map(_no_class))
    reasons = unfollowed["time_days"].map(_no_outcome).mask(endpoint.died_of_unknown_cause(unfollowed), NO_CAUSE)
    flow.drop("survival", unfollowed["patient"], reasons)


def _no_class(sheet_label: str) -> str:
    what = "stands for unknown" if is_unknown(sheet_label) else "is not among `classes`"
    why = f"label {sheet_label!r} {what}" if sheet_label else "no label"
    return f"{why}: kept for pretraining and survival"


def _no_outcome(time_days: float) -> str:
    why = "follow-up of 0 days" if time_days == 0 else "outcome unknown"
    return f"{why}: kept for pretraining and subtyping"


def has_label(frame: pd.DataFrame) -> pd.Series:
    """Rows that can take part in subtyping."""
    return frame["label"].fillna("") != ""


def has_outcome(frame: pd.DataFrame) -> pd.Series:
    """Rows that can take part in survival: time above 0 and event both known."""
    return frame["time_days"].gt(0) & frame["event"].notna()


def eligible(frame: pd.DataFrame, task: str) -> pd.Series:
    """Rows that can take part in ``task``."""
    return has_label(frame) if task == "subtyping" else has_outcome(frame)


def to_units(frame: pd.DataFrame, unit: str) -> pd.DataFrame:
    """One row per evaluated unit: ``unit`` (its name), ``patient``, ``slide_id`` ("" for patients), ...

    ``patient``: one bag of all slides of a patient. ``slide``: every slide with its patient's expression,
    label and outcome (as published).
    """
    if unit == "patient":
        return frame.assign(unit=frame["patient"], slide_id="").reset_index(drop=True)
    slides = frame.explode("slide_ids", ignore_index=True)
    alone = pd.Series([[slide] for slide in slides["slide_ids"]], index=slides.index, dtype=object)
    return slides.assign(unit=slides["slide_ids"], slide_id=slides["slide_ids"], slide_ids=alone)


def survival_arrays(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Times in days (float) and events (bool) of rows with a known outcome."""
    return frame["time_days"].to_numpy(float), frame["event"].to_numpy(float) == 1
