"""Clinical tables of a cohort: a sheet of one's own, or Xena's."""

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from mirrorflow.cohorts import patients as cohorts
from mirrorflow.cohorts.endpoint import with_any_cause
from mirrorflow.cohorts.other_samples import without_primary
from mirrorflow.cohorts.written import Said
from mirrorflow.config.queries import endpoint_of
from mirrorflow.errors import InputError
from mirrorflow.store import tables

logger = logging.getLogger(__name__)


def clinical_sheet(clinical: Mapping[str, Any], converted: list[str] | None = None) -> pd.DataFrame:
    """One row per patient, from the config section `clinical`: a sheet of one's own, or Xena's tables.

    With ``cause_specific`` deaths of any cause stand beside the outcome. converted: is told how a sheet of one's own
    was read where that was not as expected.
    """
    read = partial(_own_sheet, converted=converted) if "sheet" in clinical else _xena_sheet
    frame, said = read(clinical), clinical.get("cause_specific")
    if said is None:
        return frame
    where = clinical.get("sheet") or clinical["survival"]
    name = endpoint_of({"clinical": clinical})
    return with_any_cause(frame, read(_of_any_cause(clinical, said)), where, name)


def _of_any_cause(clinical: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """The section with death of any cause as its outcome; where the sheet has dates, its times stay as they are."""
    if "sheet" not in clinical:
        return {**clinical, "outcome": "OS"}
    columns = {key: said[key] for key in ("time", "event") if key in said}
    return {**clinical, "columns": {**clinical["columns"], **columns}}


def _own_sheet(clinical: Mapping[str, Any], converted: list[str] | None = None) -> pd.DataFrame:
    where, unit = clinical["sheet"], clinical["time_unit"]
    sheet, lines, recognised = tables.read_users_sheet(where)
    said, further = Said(where, recognised), {key: clinical[key] for key in ("dates", "event_words") if key in clinical}
    written = cohorts.Written(unit, lines=lines, **further)
    frame = cohorts.standard_sheet(sheet, clinical["columns"], where, unit, written, said)
    for line in said.lines:
        logger.warning("%s", line)
    if converted is not None:
        converted += [line for line in said.lines if line not in converted]
    return frame


def _xena_sheet(clinical: Mapping[str, Any]) -> pd.DataFrame:
    survival = tables.read_text_sheet(clinical["survival"])
    paths = matrices(clinical)
    frames = _matrix_frames(clinical)
    for path, frame in zip(paths, frames, strict=True):
        if clinical["label"] not in frame:
            message = f"{path}: no column {clinical['label']} (`label`); it has {', '.join(frame.columns[:20])}, ..."
            raise InputError(message)
    matrix = pd.concat(frames, ignore_index=True).fillna("")
    named = clinical["label"], clinical["outcome"]
    return cohorts.xena_sheet(survival, matrix, *named, ", ".join(paths), clinical["survival"])


def left_aside(clinical: Mapping[str, Any]) -> dict[str, str]:
    """Patients of Xena's tables without a primary tumour, with the types of their samples; none of one's own sheet."""
    samples = [frame["sampleID"] for frame in _matrix_frames(clinical) if "sampleID" in frame]
    return without_primary(pd.concat(samples)) if samples else {}


def _matrix_frames(clinical: Mapping[str, Any]) -> list[pd.DataFrame]:
    return [tables.read_text_sheet(path) for path in matrices(clinical)]


def matrices(clinical: Mapping[str, Any]) -> list[str]:
    """Paths of the clinical matrices that make the cohort."""
    named = clinical.get("matrix", [])
    return [named] if isinstance(named, str) else list(named)
