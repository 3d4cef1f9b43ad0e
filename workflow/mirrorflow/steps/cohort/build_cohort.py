"""Rule build_cohort: patients, labels, outcomes, slides and expression joined; who was dropped and why."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.cohorts import patients as cohorts
from mirrorflow.cohorts.among_genes import clinical_columns, refusal, told_by, warning
from mirrorflow.cohorts.assembly import assemble
from mirrorflow.cohorts.site_codes import differing_codes, sites_in_two_cases, unnamed_codes
from mirrorflow.config.modalities import COMMON
from mirrorflow.config.queries import endpoint_of
from mirrorflow.errors import InputError
from mirrorflow.runtime.job import Job
from mirrorflow.steps.cohort.clinical_tables import clinical_sheet, left_aside, matrices
from mirrorflow.store import tables
from mirrorflow.store.expression import read_expression, read_names

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inputs:
    """Indexes of the features, an encoder each, and the expression file; none where the cohort has none."""

    indexes: list[Path]
    expression: Path | None


@dataclass(frozen=True)
class Outputs:
    """The cohort's frame, who was dropped at which step and why, and how many were left after each."""

    cohort: Path
    dropped: Path
    flow: Path


@dataclass(frozen=True)
class Params:
    """The config's section ``clinical``; classes, site and institutions; encoders in the order of the indexes."""

    clinical: Mapping[str, Any]
    settings: Mapping[str, Any]
    encoders: list[str]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Build the cohort of the rule."""
    indexes = dict(zip(params.encoders, inputs.indexes, strict=True))
    build_cohort(params.clinical, params.settings, indexes, inputs.expression, outputs)


def build_cohort(
    clinical: Mapping[str, Any],
    settings: Mapping[str, Any],
    indexes: Mapping[str, Path],
    expression: Path | None,
    outputs: Outputs,
) -> None:
    """Join patients, slides and expression into the cohort's frame; write who was dropped and why.

    clinical: the config's section; settings: classes, site and, where given, a table of institutions (or the word
    tcga), whose names take the place of the sites' codes; indexes: encoder -> index of its features.
    """
    where = clinical.get("sheet") or ", ".join(matrices(clinical))
    converted: list[str] = []
    sheet = clinical_sheet(clinical, converted)
    if expression:
        _require_no_answers(sheet, clinical.get("columns", {}), expression)
    patients = cohorts.name_classes(sheet, settings["classes"], settings["site"])
    if settings["site"] == "column" and (differ := differing_codes(patients)):
        logger.warning("%s: %s", where, differ)
    names: dict[str, str] = {}
    if named := settings.get("institutions"):
        names = tables.read_institutions(named)
        if lost := unnamed_codes(patients["site"], names):
            logger.warning("%s: %s", named, lost)
    if twice := sites_in_two_cases(patients["site"], names):
        message = f"{', '.join(filter(None, (where, named)))}: {twice[0]}"
        raise InputError(message)
    patients["site"] = patients["site"].map(lambda site: names.get(site, site))
    frames = {encoder: tables.read_text_sheet(path) for encoder, path in indexes.items()}
    rna = read_names(expression)[0] if expression else None
    train_on = settings.get("train_on", COMMON)
    frame, flow = assemble(patients, frames, rna, where, left_aside(clinical), train_on)
    classes = cohorts.class_names(frame, settings["classes"])
    theirs = set(frame["site"])
    codes = {code: name for code, name in names.items() if name in theirs}
    tables.write_cohort(outputs.cohort, frame, classes, endpoint_of({"clinical": clinical}), converted, codes)
    tables.write_sheet(outputs.dropped, pd.DataFrame(flow.dropped, columns=["step", "patient", "slide_id", "reason"]))
    tables.write_sheet(outputs.flow, pd.DataFrame(flow.steps))


def _require_no_answers(sheet: pd.DataFrame, columns: Mapping[str, str], expression: Path) -> None:
    """Raise InputError where genes tell label, outcome or site; further columns among the genes are logged."""
    everyone, ids, _ = read_names(expression)
    known = clinical_columns(sheet, columns)
    found = read_expression(expression, everyone, [name for name in ids if name in known])
    told = told_by(sheet, columns, pd.DataFrame(found.values, found.patients, found.ids))
    if said := refusal(told, str(expression)):
        raise InputError(said)
    if said := warning(told, str(expression)):
        logger.warning("%s", said)
