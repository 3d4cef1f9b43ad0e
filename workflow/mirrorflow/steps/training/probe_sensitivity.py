"""Rule probe_sensitivity: s1 and s2 of every pretrained model under a linear head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.learners.inputs.paired import load_paired
from mirrorflow.learners.inputs.vectors import Embedded
from mirrorflow.learners.tasks import ALL_DATA, FoldTask, FoldTasks, Plan
from mirrorflow.plan.paths import ModelRecord
from mirrorflow.probes.linear_head import HeadSettings, last_head
from mirrorflow.runtime.job import Job
from mirrorflow.runtime.progress import Progress
from mirrorflow.steps.training.plan_inputs import PlanFiles, PlanParams, plan_of, texts
from mirrorflow.store.models import load_model
from mirrorflow.store.tables import write_sheet
from mirrorflow.tables.sensitivity import METRICS
from mirrorflow.training.embedding import EmbedSettings
from mirrorflow.training.sensitivity import KnownUnits, sensitivities


@dataclass(frozen=True, kw_only=True)
class Inputs(PlanFiles):
    """Features, expression, records of frozen embeddings (one a seed) and of models (every seed and fold)."""

    index: Path
    expression: Path
    embeddings: list[Path]
    models: list[Path]


@dataclass(frozen=True)
class Outputs:
    """A row an evaluation unit, fold and seed."""

    sheet: Path


@dataclass(frozen=True, kw_only=True)
class Params(PlanParams):
    """The family of the pretrained method, and the head's settings."""

    family: str
    probe: Mapping[str, Any]


@dataclass(frozen=True)
class SensitivityFiles:
    """Index of the features, expression, and the folder of each (seed, fold)'s model."""

    index: Path
    expression: Path
    models: Mapping[tuple[int, int], Path]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Measure s1 and s2 of the evaluation units of every fold and seed."""
    probe_sensitivity(
        plan_of(inputs, params, {"family": params.family, "probe": params.probe}, []),
        Embedded.of_records(texts(inputs.embeddings), resampled=False),
        SensitivityFiles(inputs.index, inputs.expression, model_folders(inputs.models)),
        outputs.sheet,
        f"sensitivity {params.method}",
        threads=job.threads,
    )


def probe_sensitivity(
    plan: Plan,
    embedded: Embedded,
    files: SensitivityFiles,
    destination: Path,
    label: str,
    *,
    threads: int,
    device: str = "auto",
) -> None:
    """Write one row an evaluation unit, fold and seed: seed, fold, unit, patient, then the metrics.

    The head is that of the subtyping probe with all training data after
    its last epoch on frozen embeddings, whatever the protocol reports.
    """
    torch.set_num_threads(threads)
    asked = FoldTasks(plan)
    progress = Progress(label, len(files.models), "models")
    rows = []
    for fold in range(len(plan.splits)):
        for fold_task in asked.fold_tasks("subtyping", fold):
            if fold_task.setting == ALL_DATA:
                rows.append(_of_model(asked, fold_task, embedded, files, device))
                progress.step()
    write_sheet(destination, pd.concat(rows, ignore_index=True))


def _of_model(
    asked: FoldTasks, fold_task: FoldTask, embedded: Embedded, files: SensitivityFiles, device: str
) -> pd.DataFrame:
    fold, units = asked.folds[fold_task.fold], fold_task.evaluation.units
    vectors = embedded.vectors(fold, fold_task.fold, fold_task.seed, fold_task.train.units, units)
    head = HeadSettings.of_probe(asked.plan.method["probe"], fold_task.task, fold_task.seed)
    weight, bias = last_head(vectors.train, fold_task.train, len(fold_task.classes), head)
    paired = load_paired(units, files.index, files.expression, Path(asked.plan.genes[fold_task.fold]))
    stored = load_model(files.models[fold_task.seed, fold_task.fold])
    found = sensitivities(
        stored.network,
        (weight, bias),
        KnownUnits(
            paired.names,
            paired.bags(0),
            RnaScaler.from_arrays(stored.rna_scaler).transform(paired.expression),
            np.asarray(fold_task.evaluation.classes),
        ),
        EmbedSettings.as_trained(stored.made_with["training"]),
        seed=fold_task.seed,
        device=device,
    )
    named = {"seed": fold_task.seed, "fold": fold_task.fold, "unit": paired.names, "patient": paired.patients}
    return pd.DataFrame({**named, **{name: found[name] for name in METRICS}})


def model_folders(records: Sequence[Path]) -> dict[tuple[int, int], Path]:
    """Folder of each (seed, fold) from the records of pretraining."""
    return {(model.seed, model.fold): model.folder for model in map(ModelRecord.parse, records)}
