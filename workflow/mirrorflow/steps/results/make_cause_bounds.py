"""Rule make_cause_bounds: the C-index with all or none of the dead of unknown cause as events. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.cohorts import endpoint
from mirrorflow.config.resources import RESOURCES
from mirrorflow.evaluation.cause_bounds import FoldDeaths, cause_bounds
from mirrorflow.plan.causes import UnknownCauses
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.plan.records import hold_predictions
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results.table_files import write_table
from mirrorflow.store.method_predictions import read_manifest, read_task
from mirrorflow.store.tables import read_cohort, read_numbers, read_text_sheet
from mirrorflow.tables.cause_bounds import CAPTION, COLUMNS, shown
from mirrorflow.tables.results import titles_of

ALL_DATA = "all"


@dataclass(frozen=True)
class Inputs:
    """Risks of the dead of unknown cause, a sheet a protocol and cohort; manifests; cohorts; results.csv."""

    sheets: list[Path]
    manifests: list[Path]
    cohorts: list[Path]
    results: Path


@dataclass(frozen=True)
class Outputs:
    """The table; .md and .tex lie beside it."""

    csv: Path


@dataclass(frozen=True)
class Params:
    """Names of the cohorts, their titles, and what the predictions are planned with."""

    cohorts: list[str]
    titles: Mapping[str, str]
    planned: list[Mapping[str, Any]]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write the table."""
    hold_predictions(params.planned)
    cohorts = dict(zip(params.cohorts, inputs.cohorts, strict=True))
    make_cause_bounds(inputs, cohorts, RESOURCES / "names.tsv", params.titles, outputs.csv.with_suffix(""))


def make_cause_bounds(
    inputs: Inputs, cohorts: Mapping[str, Path], names: Path, titles: Mapping[str, str], stem: Path
) -> None:
    """Write ``<stem>.csv``, ``.md`` and ``.tex``: a row a protocol, cohort, encoder and method.

    cohorts: name -> parquet. What results.csv withholds of a protocol and cohort is withheld here as well.
    """
    results = read_text_sheet(inputs.results)
    allowed = set(zip(results["protocol"], results["cohort"], strict=True))
    frames = {name: read_cohort(path)[0] for name, path in cohorts.items()}
    sheets = {_place(path): read_numbers(path, ["seed", "fold", "risk"]) for path in inputs.sheets}
    rows = []
    for place in map(PredictionsManifest.parse, inputs.manifests):
        key = (place.protocol, place.cohort)
        folds = _folds(place, frames[place.cohort], sheets[key]) if key in allowed else []
        if folds:
            where = {name: getattr(place, name) for name in ("protocol", "cohort", "encoder", "method")}
            rows.append(where | cause_bounds(folds))
    table, labels = pd.DataFrame(rows, columns=COLUMNS), titles_of(read_text_sheet(names), "cohort", "method")
    labels["cohort"] = {**labels["cohort"], **titles}
    write_table(stem, table, CAPTION, shown(table, labels))


def _place(path: Path) -> tuple[str, str]:
    place = UnknownCauses.parse(path)
    return place.protocol, place.cohort


def _folds(place: PredictionsManifest, cohort: pd.DataFrame, sheet: pd.DataFrame) -> Sequence[FoldDeaths]:
    """The method's folds, of all training data; none where it predicted no survival."""
    people = cohort.set_index("patient")[[endpoint.DAYS, endpoint.EVENT]]
    mine = sheet[(sheet["encoder"] == place.encoder) & (sheet["method"] == place.method)].join(people, on="patient")
    found = []
    for stored in read_task(read_manifest(place.format()), "survival", cohort):
        rows = stored.rows[stored.rows["setting"] == ALL_DATA].join(people, on="patient")
        if len(rows):
            found.append(FoldDeaths(rows, mine[mine["fold"] == rows["fold"].iloc[0]]))
    return found
