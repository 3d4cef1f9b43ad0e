"""Rule adapt: a source's frozen encoders on a target cohort, every task, fold and seed.

Fold k and seed of the target take the source's model of fold k and that seed, of the same scope.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mirrorflow.cohorts.patients import PAIRED, to_units, who_has
from mirrorflow.config.protocols import epoch_of_adaptation
from mirrorflow.learners.adapted import AdaptedInputs
from mirrorflow.learners.inputs.vectors import Embedded, PooledInputs
from mirrorflow.learners.predict import predict_method
from mirrorflow.learners.tasks import ModelPlace, Plan
from mirrorflow.plan.paths import ModelRecord
from mirrorflow.plan.records import write_plan
from mirrorflow.runtime.job import Job
from mirrorflow.steps.training.plan_inputs import Rna, texts
from mirrorflow.store.tables import read_cohort


def adapted_protocol(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """``protocol`` as adaptation follows it."""
    return {**protocol, "epoch": epoch_of_adaptation(protocol["epoch"])}


@dataclass(frozen=True)
class Inputs:
    """Files of the target's cohort, and of the source's models; a path a fold where there are several."""

    cohort: Path
    splits: list[Path]
    expression: Path
    genes: list[Path]
    embeddings: list[Path]
    """Records of rule embed_target, one a seed."""
    models: list[Path]
    """done.json of the source's models, of every seed and fold."""


@dataclass(frozen=True)
class Outputs:
    """The manifest; predictions lie in its folder."""

    manifest: Path


@dataclass(frozen=True)
class Params:
    """The pair's name and method, and what decides its predictions."""

    cohort: str
    method: str
    protocol: Mapping[str, Any]
    tasks: list[str]
    seeds: list[int]
    bins: int
    settings: Mapping[str, Any]
    """``family`` and ``adapt`` (learning rate and weight decay of the embedding)."""
    probe: Mapping[str, Any]
    """The head."""
    rna: Rna
    planned: Mapping[str, Any]
    """The record of these settings (``plan.records``)."""
    saved: ModelPlace | None = None
    """Where the adapted models go; None: nowhere."""


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Adapt and predict every task, fold and seed; write the predictions beside the manifest, and it.

    What is finished is known by its digest and kept. The setting is always that of all training data.
    """
    torch.set_num_threads(job.threads)
    protocol = adapted_protocol(params.protocol)
    resampled = protocol["probe_features"] == "resampled_dropout"
    models = {(record.seed, record.fold): record.folder for record in map(ModelRecord.parse, inputs.models)}
    slides = Embedded.of_records(texts(inputs.embeddings), resampled=resampled)
    adapted = AdaptedInputs(slides, _genes(inputs, params), models)
    folder, manifest = str(outputs.manifest.parent), str(outputs.manifest)
    label = f"adapt {params.cohort} {params.method}"
    predict_method(_plan(inputs, params, protocol), adapted, folder, manifest, label)
    write_plan(params.planned)


def _genes(inputs: Inputs, params: Params) -> PooledInputs:
    return PooledInputs(
        units=to_units(who_has(read_cohort(inputs.cohort)[0], PAIRED), params.protocol["unit"]),
        inputs=["rna"],
        pooling="mean",
        index=None,
        expression=str(inputs.expression),
        genes=texts(inputs.genes),
        rna_scaling=params.protocol["rna_scaling"],
        clip=params.rna.clip,
    )


def _plan(inputs: Inputs, params: Params, protocol: Mapping[str, Any]) -> Plan:
    adapt = {**params.settings["adapt"], "dropout": protocol["probe_features"] == "resampled_dropout"}
    return Plan(
        cohort=str(inputs.cohort),
        splits=texts(inputs.splits),
        support="",
        protocol=protocol,
        tasks=params.tasks,
        shots=[],
        seeds=params.seeds,
        bins=params.bins,
        method={**params.settings, "probe": params.probe, "adapt": adapt},
        genes=texts(inputs.genes),
        saved=params.saved,
    )
