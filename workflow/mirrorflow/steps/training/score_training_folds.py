"""Rule score_training_folds: survival probes on the units that they were fitted on."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.audit.claims import is_withheld
from mirrorflow.evaluation import FoldRows, score_cells
from mirrorflow.learners.inputs.vectors import Representation
from mirrorflow.learners.predict import rows_of
from mirrorflow.learners.registry import predictor_of
from mirrorflow.learners.tasks import ALL_DATA, FoldTask, FoldTasks, Plan
from mirrorflow.plan.records import hold_predictions
from mirrorflow.probes.task import EpochRule
from mirrorflow.runtime.job import Job
from mirrorflow.runtime.progress import Progress
from mirrorflow.steps.results.training_patients import training_patients
from mirrorflow.steps.training.plan_inputs import PlanFiles, PlanParams, plan_of, texts
from mirrorflow.steps.training.probe_mirror import embedded
from mirrorflow.store.method_predictions import read_manifest, read_task
from mirrorflow.store.predictions import Predictions
from mirrorflow.store.tables import write_sheet
from mirrorflow.tables.training_folds import EVALUATION, METRICS, SCORED, TRAINING

logger = logging.getLogger("mirrorflow.evaluation")

TASK = "survival"


@dataclass(frozen=True, kw_only=True)
class Inputs(PlanFiles):
    """Records of the embeddings, one a seed; the method's manifest and the audit of its protocol and cohort."""

    embeddings: list[Path]
    manifest: Path
    audit: Path


@dataclass(frozen=True)
class Outputs:
    """A row a part of the folds and metric."""

    sheet: Path


@dataclass(frozen=True, kw_only=True)
class Params(PlanParams):
    """The family of the pretrained method, the head's settings, and whether broken claims are withheld."""

    family: str
    probe: Mapping[str, Any]
    strict: bool
    planned: Mapping[str, Any]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Score the method's survival probe on training and evaluation units."""
    hold_predictions([params.planned])
    score_training_folds(
        plan_of(inputs, params, {"family": params.family, "probe": params.probe}, []),
        embedded(texts(inputs.embeddings), params),
        inputs.manifest,
        inputs.audit,
        outputs.sheet,
        f"training folds {params.method}",
        strict=params.strict,
    )


def score_training_folds(
    plan: Plan,
    vectors: Representation,
    manifest: Path,
    audit: Path,
    destination: Path,
    label: str,
    *,
    strict: bool,
) -> None:
    """Write a row a part of the folds (training, evaluation) and metric: SCORED.

    manifest: of the method's predictions, which name the epoch of each head; the evaluation units are scored from
    them, the training units by the same head, fitted again. Folds that were left out there are left out here.
    audit: the record of the protocol and cohort; numbers of a broken claim are withheld here as in every table.
    """
    if is_withheld(json.loads(audit.read_text()), strict=strict):
        logger.warning("%s: a leak under a claim of honesty; its numbers are withheld", audit)
        write_sheet(destination, pd.DataFrame(columns=SCORED))
        return
    asked, outcomes = FoldTasks(plan), training_patients(Path(plan.cohort), [Path(path) for path in plan.splits])
    evaluated = read_task(read_manifest(manifest), TASK, asked.frame)
    progress = Progress(label, len(evaluated), "folds")
    parts: dict[str, list[FoldRows]] = {TRAINING: [], EVALUATION: []}
    for stored in evaluated:
        number = int(stored.rows["fold"].iloc[0])
        parts[EVALUATION].append(FoldRows(stored.rows, stored.notes, outcomes[number]).of(ALL_DATA))
        parts[TRAINING] += _training_part(asked, vectors, stored, number, outcomes[number])
        progress.step()
    write_sheet(destination, pd.DataFrame([row for part in parts.items() for row in _scored(*part)], columns=SCORED))


def _training_part(
    asked: FoldTasks, vectors: Representation, stored: Predictions, number: int, outcomes: pd.DataFrame
) -> list[FoldRows]:
    """The fold's training units as every seed's head predicts them; nothing where the setting was left out."""
    epochs = {note["seed"]: note["epoch"] for note in stored.notes["settings"] if note["setting"] == ALL_DATA}
    rows = [
        training_rows(asked, fold_task, vectors, epochs[fold_task.seed])
        for fold_task in asked.fold_tasks(TASK, number)
        if fold_task.setting == ALL_DATA and fold_task.seed in epochs
    ]
    # None of them is lost with a last batch.
    notes = stored.notes | {"settings": [note | {"lost_units": []} for note in stored.notes["settings"]]}
    return [FoldRows(pd.concat(rows, ignore_index=True), notes, outcomes)] if rows else []


def training_rows(asked: FoldTasks, fold_task: FoldTask, vectors: Representation, epoch: int) -> pd.DataFrame:
    """The training units of a fold task as its head after ``epoch`` predicts them, as rows of a predictions file.

    The head is fitted again as for the predictions (which does not depend on who is predicted); training units are
    predicted without dropout, as evaluation units are.
    """
    units, method = fold_task.train.units, asked.plan.method
    fitted_on = vectors.vectors(asked.folds[fold_task.fold], fold_task.fold, fold_task.seed, units, units)
    of_itself = replace(fold_task, evaluation=fold_task.train)
    trained = predictor_of(method)(fitted_on, of_itself, method, EpochRule(stop_after=epoch))
    return rows_of(of_itself, trained.prediction)


def _scored(part: str, folds: Sequence[FoldRows]) -> list[dict[str, Any]]:
    rows = score_cells(TASK, folds, resamples=0, confidence=0.95, seed=0)
    rows = [{**row, "part": part} for row in rows if row["metric"] in METRICS]
    if part == TRAINING:  # remarks speak of the scored units as those of the evaluation
        for row in rows:
            row |= {key: row[key].replace("evaluation", "training") for key in ("unstable", "why_undefined")}
    return rows
