"""Columns of the new patients' sheet, held against what the model of clinical columns learned of them."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence

import pandas as pd

from mirrorflow.cohorts.written import Said, with_points
from mirrorflow.config.unknown import counted
from mirrorflow.errors import InputError
from mirrorflow.learners.inputs.clinical import COVARIATES
from mirrorflow.learners.saved import SavedModel
from mirrorflow.probes.covariates import CovariateEncoder
from mirrorflow.reuse.feature_checks import DIFFERS, SAME, Check

CLINICAL, SITE = "clinical", "site"

logger = logging.getLogger(__name__)


def columns_of(names: Sequence[str], table: pd.DataFrame, wanted: Sequence[str]) -> pd.DataFrame:
    """The columns ``wanted`` of a table from Python, those that it has, one row a unit of ``names``.

    Its text is read as that of a cohort's sheet. Raises InputError for a unit that the table lacks or has twice.
    """
    if lacking := [name for name in names if name not in table.index]:
        message = f"columns has no row for {', '.join(map(str, lacking[:3]))}; its index names units"
        raise InputError(message)
    twice = table.index[table.index.duplicated()]
    if several := [name for name in names if name in twice]:
        message = f"columns has several rows for {several[0]}; keep one row a unit"
        raise InputError(message)
    found = table.loc[list(names), [name for name in wanted if name in table]].reset_index(drop=True)
    said = Said("columns")
    for name in found.columns.drop("site", errors="ignore"):
        if found[name].map(lambda cell: isinstance(cell, str)).any():
            found[name] = with_points(found[name].astype(str).str.strip(), str(name), said, needed=False)
    for line in said.lines:
        logger.warning("%s", line)
    return found


def require_numbers(saved: SavedModel, units: pd.DataFrame) -> None:
    """Raise InputError naming units that have a word where the training patients have numbers; say what is unknown."""
    wrong = without_numbers(saved, units)
    if wrong:
        unit, why = next(iter(wrong.items()))
        more = f" ({len(wrong)} units have such values)" if len(wrong) > 1 else ""
        message = f"columns of {unit}: {why}{more}"
        raise InputError(message)
    for check in check_columns(str(saved.config["method"]), [saved], units):
        if check.verdict == DIFFERS:
            logger.warning("%s: %s", check.what, check.new)


def asks_sheet(saved: SavedModel) -> bool:
    """Whether a model asks for columns of the sheet of patients."""
    return saved.config["inputs"]["kind"] in (CLINICAL, SITE)


def require_columns(saved: SavedModel, units: pd.DataFrame) -> None:
    """Raise InputError where the sheet lacks a column that the model asks for."""
    wanted = encoder_of(saved).columns if asks_sheet(saved) else []
    if lacking := [name for name in wanted if name not in units]:
        message = f"{saved.config['method']} needs the columns {', '.join(lacking)} of a sheet of the new patients"
        raise InputError(message)


def encoder_of(saved: SavedModel) -> CovariateEncoder:
    """What the model's training patients said of its columns; of a method ``site``, of their sites."""
    if saved.config["inputs"]["kind"] == SITE:
        return CovariateEncoder({}, {SITE: list(saved.config["inputs"]["sites"])})
    return CovariateEncoder.of_stored(saved.config["inputs"], saved.fitted(COVARIATES))


def without_numbers(saved: SavedModel, units: pd.DataFrame) -> dict[str, str]:
    """Unit -> why it is left out: it has a word where the training patients have numbers."""
    if saved.config["inputs"]["kind"] != CLINICAL:
        return {}
    unit = units["unit"].astype(str).to_dict()
    return {
        unit[row]: f"{name}: {value!r} is no number, as training's are; correct it, or leave it empty"
        for name, values in encoder_of(saved).no_numbers(units).items()
        for row, value in values.items()
    }


def check_columns(where: str, models: Sequence[SavedModel], frame: pd.DataFrame) -> list[Check]:
    """What columns of the new patients (``frame``, a row each) lack or say otherwise; none of other methods."""
    kind = models[0].config["inputs"]["kind"]
    if not asks_sheet(models[0]):
        return []
    encoders = [encoder for encoder in map(encoder_of, models) if set(encoder.columns) <= set(frame.columns)]
    if not encoders:
        return []
    counts = Counter(line for encoder in encoders for line in _said(encoder, frame, kind))
    told = [line + (f" ({n} of {len(encoders)} models)" if n < len(encoders) else "") for line, n in counts.items()]
    return [Check(f"columns ({where})", DIFFERS if told else SAME, ", ".join(encoders[0].columns), "; ".join(told))]


def _said(encoder: CovariateEncoder, frame: pd.DataFrame, kind: str) -> Iterator[str]:
    unseen = "the overall rate stands in" if kind == SITE else "counted as no category"
    for name, count in encoder.not_known(frame).items():
        instead = f"training median {encoder.medians[name]:g}" if name in encoder.medians else unseen
        yield f"{name}: {count} not known, {instead}"
    for name, new in encoder.never_seen(frame).items():
        told = f", {unseen}" if kind == SITE else ""
        yield f"{name}: never seen in training: {counted(new)}{told}"
