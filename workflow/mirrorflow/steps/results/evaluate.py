"""Rule evaluate: metrics and intervals of every method of a protocol and cohort, from predictions files. No torch."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.evaluation import Cell, FoldRows, score_method, with_verdicts
from mirrorflow.runtime.job import Job
from mirrorflow.runtime.progress import Progress
from mirrorflow.steps.audit.audit import is_withheld
from mirrorflow.steps.results.prediction_files import files_by_task, training_patients
from mirrorflow.store.predictions import read_predictions
from mirrorflow.store.tables import write_sheet
from mirrorflow.tables.results import CELL, ESTIMATE, FURTHER

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
    """How intervals and verdicts are made: see :func:`evaluate`."""

    settings: Mapping[str, Any]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Score the methods of the protocol and cohort."""
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
    seed, reference (the method that others are held against), label_smoothing (by method), strict.
    audit: the record of the protocol and cohort; one that claims to be honest and leaks gets no row. beside: manifests
    of the reference alone, where it was predicted under another cohort's name (an adapted one's target): no rows.
    """
    if audit and is_withheld(json.loads(Path(audit).read_text()), strict=settings["strict"]):
        logger.warning("%s: a leak under a claim of honesty; its numbers are withheld", audit)
        write_sheet(destination, pd.DataFrame(columns=CELL_COLUMNS))
        return
    train = training_patients(cohort, splits)
    progress = Progress("evaluate", len(manifests), "methods")
    cells: list[tuple[dict[str, str], Cell]] = []
    for manifest in manifests:
        cells += score_manifest(Path(manifest), train, settings)
        progress.step()
    if not cells:
        message = f"nothing was predicted that could be evaluated: {'; '.join(_reasons(manifests)) or 'no method ran'}"
        raise InputError(message)
    others = [cell for manifest in beside for cell in score_manifest(Path(manifest), train, settings)]
    rows = with_verdicts([*cells, *others], settings.get("reference", ""), settings["confidence"])
    write_sheet(destination, pd.DataFrame(rows[: len(cells)], columns=CELL_COLUMNS))


def _reasons(manifests: Sequence[Path]) -> list[str]:
    """Why methods left something out, each reason once."""
    return sorted({reason for path in manifests for reason in json.loads(Path(path).read_text())["skipped"].values()})


def score_manifest(
    manifest: Path, train: Mapping[int, pd.DataFrame], settings: Mapping[str, Any]
) -> list[tuple[dict[str, str], Cell]]:
    """The cells of a method, each with what names it in the long table. train: by fold."""
    protocol, cohort, encoder, method = manifest.parent.parts[-4:]
    where = {"protocol": protocol, "cohort": cohort, "encoder": encoder, "method": method}
    cells: list[tuple[dict[str, str], Cell]] = []
    for task, paths in files_by_task(manifest).items():
        stored = [read_predictions(path) for path in paths]
        folds = [FoldRows(one.rows, one.notes, train.get(int(one.rows["fold"].iloc[0]))) for one in stored]
        scored = score_method(
            task,
            folds,
            resamples=settings["bootstrap"],
            confidence=settings["confidence"],
            seed=settings["seed"],
            smoothing=settings.get("label_smoothing", {}).get(method, 0.0),
        )
        cells += [({**where, "predictions": str(manifest.parent / task)}, cell) for cell in scored]
    return cells
