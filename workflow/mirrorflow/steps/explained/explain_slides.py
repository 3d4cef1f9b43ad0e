"""Rule explain_slides: weights of patches and the effect of their removal, of chosen evaluation patients."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mirrorflow.errors import InputError
from mirrorflow.plan.explained import ExplainedFolder
from mirrorflow.plan.records import hold_predictions
from mirrorflow.runtime.files import written_whole
from mirrorflow.runtime.job import Job
from mirrorflow.steps.explained.cases import TASKS, Case, Missing, cases_of, evaluated, model_of_case
from mirrorflow.steps.explained.files import table_of, write_geojson, write_parquet
from mirrorflow.steps.explained.on_unit import Files, explain
from mirrorflow.steps.explained.pictures import KIND, Subject, tasks_of
from mirrorflow.steps.explained.slides import SlideFile, placed
from mirrorflow.steps.prototypes.slide_tiles import slide_parts
from mirrorflow.steps.results.figure_files import Drawing, LeftOut, draw_all
from mirrorflow.steps.results.figure_tasks import Task, left_out
from mirrorflow.store.method_predictions import Manifest, read_manifest
from mirrorflow.store.slide_sheet import read_slide_sheet
from mirrorflow.store.tables import read_cohort

logger = logging.getLogger("mirrorflow.explained")


@dataclass(frozen=True)
class Inputs:
    """The cohort, the method's manifest, and what its models see; the ledger, beside whose folder thumbnails lie; split
    files of the folds.
    """

    cohort: Path
    manifest: Path
    index: Path
    expression: Path | None = None
    embeddings: list[Path] = field(default_factory=list)
    ledger: Path | None = None
    splits: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class Outputs:
    """Pictures, raw values, tiles for QuPath; captions in ``figures.json``, a row a patient in ``explained.tsv``."""

    folder: Path


@dataclass(frozen=True)
class Params:
    """The protocol; the sheet of slides and its columns; patients, most, groups, covers."""

    protocol: Mapping[str, Any]
    slides: Mapping[str, Any]
    settings: Mapping[str, Any]
    planned: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Data:
    """Where everything lies, and what a unit is; slides: their files by name; thumbnails: folder of the store's."""

    cohort: Path
    manifest: Path
    unit: str
    files: Files
    slides: Mapping[str, SlideFile] = field(default_factory=dict)
    thumbnails: Path | None = None
    splits: Sequence[Path] = ()


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Explain the method's chosen patients."""
    hold_predictions(params.planned)
    torch.set_num_threads(job.threads)
    data = Data(
        inputs.cohort,
        inputs.manifest,
        params.protocol["unit"],
        Files(inputs.index, inputs.expression, inputs.embeddings),
        slide_files(params.slides),
        inputs.ledger.parent / "overlays" if inputs.ledger else None,
        inputs.splits,
    )
    explain_slides(data, params.settings, outputs.folder)


def slide_files(named: Mapping[str, Any]) -> dict[str, SlideFile]:
    """Files of the slides as the sheet names them; none where the sheet is gone: then each slide's is."""
    try:
        rows = read_slide_sheet(named["sheet"], named["columns"])
    except InputError as error:
        logger.warning("%s; slides are looked for in the store alone", error)
        return {}
    return {row.slide_id: SlideFile(row.path, row.mpp) for row in rows}


def explain_slides(data: Data, settings: Mapping[str, Any], folder: Path) -> list[Drawing | LeftOut]:
    """Write into ``folder`` what was asked for; what cannot be explained is listed with the reason."""
    place = ExplainedFolder.parse(folder)
    cohort, manifest = read_cohort(data.cohort)[0], read_manifest(data.manifest)
    tasks: list[Task] = []
    rows: list[dict[str, Any]] = []
    for task in TASKS:
        of = evaluated(manifest, task, cohort, data.unit, data.splits)
        if isinstance(of, Missing):
            tasks.append(_left_out(of))
        elif of is not None:
            cases, missing = cases_of(of, settings["patients"], settings["most"])
            tasks += map(_left_out, missing)
            found = [_subject(case, manifest, data, settings, place) for case in cases]
            tasks += [task for one in found for task in _written(one, folder)]
            rows += [_row(one) for one in found if isinstance(one, Subject)]
    with written_whole(folder / "explained.tsv") as temporary:
        pd.DataFrame(rows).to_csv(temporary, sep="\t", index=False)
    return draw_all(tasks, place.cohort, folder, "explain_slides")


def _left_out(of: Missing) -> Task:
    """An entry of what is not drawn."""
    return left_out(of.name, KIND, of.why)


def _subject(
    case: Case, manifest: Manifest, data: Data, settings: Mapping[str, Any], place: ExplainedFolder
) -> Subject | Missing:
    """The case explained, or why it cannot be."""
    try:
        model = model_of_case(manifest, case)
        found = explain(case, model, data.files, groups=settings["groups"], covers=settings["covers"])
        parts = slide_parts(found.slides, found.files, found.looked_at, data.thumbnails)
        places = [placed(part, data.slides.get(part.slide, SlideFile())) for part in parts]
    except InputError as error:
        return Missing(f"{case.name} ({case.unit_name})", str(error))
    return Subject(place, case, found, places, data.slides)


def _written(of: Subject | Missing, folder: Path) -> list[Task]:
    """Raw values and tiles written; the figures to come."""
    if isinstance(of, Missing):
        return [_left_out(of)]
    write_parquet(folder / f"{of.case.name}.parquet", table_of(of.found, of.places))
    for place in of.places:
        write_geojson(folder / f"{of.case.name}_{place.part.slide}.geojson.gz", place, of.found)
    return list(tasks_of(of))


def _row(of: Subject) -> dict[str, Any]:
    """A line of explained.tsv."""
    found, stored = of.found, of.case.stored
    main = found.weights[0].values if found.weights else np.full(1, np.nan)
    return {
        "name": of.case.name,
        "patient": stored["patient"],
        "unit": of.case.unit_name,
        "why": of.case.why,
        "fold": stored["fold"],
        "seed": stored["seed"],
        "asked": found.asked.name,
        "answer": found.whole,
        "patches": found.patches,
        "groups": int(found.group.max()) + 1,
        "weights": found.weights[0].name if found.weights else "",
        "least_weight": main.min(),
        "largest_weight": main.max(),
        "least_effect": np.nanmin(found.effect),
        "largest_effect": np.nanmax(found.effect),
        "deletion_area": found.curve.area,
    }
