"""Rule evaluate: metrics and intervals of every method of a protocol and cohort, from predictions files. No torch."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.audit.claims import is_withheld
from mirrorflow.cohorts.endpoint import endpoint_title
from mirrorflow.cohorts.splits import evaluated_part
from mirrorflow.errors import InputError
from mirrorflow.evaluation import Cell, score_method, with_verdicts
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.plan.records import hold_predictions
from mirrorflow.runtime.job import Job
from mirrorflow.runtime.progress import Progress
from mirrorflow.steps.results.training_patients import Training
from mirrorflow.store.method_predictions import read_manifest, read_task
from mirrorflow.store.tables import read_cohort, read_endpoint, read_fold, write_sheet
from mirrorflow.tables.results import CELL, ESTIMATE, FURTHER, SAW

logger = logging.getLogger("mirrorflow.evaluation")

CELL_COLUMNS = [*CELL, *ESTIMATE, *FURTHER, "predictions"]


@dataclass(frozen=True)
class Inputs:
    """Manifests of the methods; those of an adapted cohort's reference; audit, cohort and split files."""

    manifests: list[Path]
    beside: list[Path]
    audit: Path
    cohort: Path
    splits: list[Path]


@dataclass(frozen=True)
class Outputs:
    """A row a method, setting, task and metric."""

    metrics: Path


@dataclass(frozen=True)
class Params:
    """How intervals and verdicts are made (see :func:`evaluate`); what the methods' predictions are planned with."""

    settings: Mapping[str, Any]
    planned: list[Mapping[str, Any]]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Score the methods of the protocol and cohort."""
    hold_predictions(params.planned)
    evaluate(
        inputs.manifests,
        inputs.cohort,
        inputs.splits,
        outputs.metrics,
        params.settings,
        audit=inputs.audit,
        beside=inputs.beside,
    )


def evaluate(
    manifests: Sequence[Path],
    cohort: Path,
    splits: Sequence[Path],
    destination: Path,
    settings: Mapping[str, Any],
    *,
    audit: Path | None = None,
    beside: Sequence[Path] = (),
) -> None:
    """Score every method of a protocol and cohort from its predictions files.

    manifests: ``predictions/<protocol>/<cohort>/<encoder>/<method>/manifest.json``; cohort and splits: who the
    training patients are and how long they were followed (censoring weights); settings: bootstrap, confidence,
    seed, reference (the method that others are held against), primary (the comparison named before the run),
    label_smoothing (by method), strict.
    audit: the record of the protocol and cohort; one that claims to be honest and leaks gets no row. beside: manifests
    of the reference alone, where it was predicted under another cohort's name (an adapted one's target): no rows.
    """
    record = json.loads(Path(audit).read_text()) if audit else {}
    if record and is_withheld(record, strict=settings["strict"]):
        logger.warning("%s: a leak under a claim of honesty; its numbers are withheld", audit)
        write_sheet(destination, pd.DataFrame(columns=CELL_COLUMNS))
        return
    frame, _ = read_cohort(cohort)
    train = Training.read(cohort, splits)
    progress = Progress("evaluate", len(manifests), "methods")
    cells: list[tuple[dict[str, str], Cell]] = []
    for manifest in manifests:
        cells += score_manifest(Path(manifest), frame, train, settings)
        progress.step()
    if not cells:
        message = f"nothing was predicted that could be evaluated: {'; '.join(_reasons(manifests)) or 'no method ran'}"
        raise InputError(message)
    others = [cell for manifest in beside for cell in score_manifest(Path(manifest), frame, train, settings)]
    rows = with_verdicts(
        [*cells, *others], settings.get("reference", ""), settings["confidence"], settings.get("primary")
    )
    name = read_endpoint(cohort)
    of_cause = {"survival": endpoint_title(name)} if name else {}
    part = evaluated_part([read_fold(path) for path in splits])
    for row in rows:
        row["note"] = "; ".join(filter(None, [str(row["note"]), part, of_cause.get(str(row["task"]))]))
    saw = record.get("encoder_saw", {})
    rows = [{**row, SAW: saw.get(row["encoder"], "")} for row in rows]
    write_sheet(destination, pd.DataFrame(rows[: len(cells)], columns=CELL_COLUMNS))


def _reasons(manifests: Sequence[Path]) -> list[str]:
    """Why methods left something out, each reason once."""
    return sorted({reason for path in manifests for reason in read_manifest(path).skipped.values()})


def score_manifest(
    manifest: Path, frame: pd.DataFrame, train: Training, settings: Mapping[str, Any]
) -> list[tuple[dict[str, str], Cell]]:
    """The cells of a method, each with what names it in the long table. frame: the cohort."""
    place = PredictionsManifest.parse(manifest)
    where = {name: getattr(place, name) for name in ("protocol", "cohort", "encoder", "method")}
    cells: list[tuple[dict[str, str], Cell]] = []
    written = read_manifest(manifest)
    for task in dict.fromkeys(name.split("/")[0] for name in written.names):
        stored = read_task(written, task, frame)
        folds = [train.beside(task, one.rows, one.notes) for one in stored]
        scored = score_method(
            task,
            folds,
            resamples=settings["bootstrap"],
            confidence=settings["confidence"],
            seed=settings["seed"],
            smoothing=settings.get("label_smoothing", {}).get(place.method, 0.0),
        )
        cells += [({**where, "predictions": str(manifest.parent / task)}, cell) for cell in scored]
    return cells
