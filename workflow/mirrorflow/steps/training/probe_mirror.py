"""Rule probe_mirror: linear heads on frozen embeddings, every task, setting, seed and fold."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.learners.inputs.vectors import Embedded
from mirrorflow.learners.predict import predict_method
from mirrorflow.plan.paths import EmbeddingsRecord, by_inner_fold
from mirrorflow.plan.records import write_plan
from mirrorflow.runtime.job import Job
from mirrorflow.steps.training.plan_inputs import PlanFiles, PlanParams, plan_of, texts


@dataclass(frozen=True, kw_only=True)
class Inputs(PlanFiles):
    """Records of the embeddings, one a seed; the same of k-shot settings and of every inner fold."""

    embeddings: list[Path]
    few_shot_embeddings: list[Path]
    inner_splits: list[Path]
    inner_embeddings: list[Path]


@dataclass(frozen=True)
class Outputs:
    """The manifest; predictions lie in its folder."""

    manifest: Path


@dataclass(frozen=True, kw_only=True)
class Params(PlanParams):
    """The family of the pretrained method, and the head's settings."""

    family: str
    probe: Mapping[str, Any]
    planned: Mapping[str, Any]
    """The record of these settings (``plan.records``)."""


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Fit heads and predict every task, setting, seed and fold."""
    plan = plan_of(inputs, params, {"family": params.family, "probe": params.probe}, inputs.inner_splits)
    vectors = embedded(texts(inputs.embeddings), params)
    few_shot = embedded(texts(inputs.few_shot_embeddings), params) if inputs.few_shot_embeddings else None
    inner = [embedded(records, params) for records in by_inner_fold(EmbeddingsRecord, inputs.inner_embeddings)]
    folder, manifest = str(outputs.manifest.parent), str(outputs.manifest)
    predict_method(plan, vectors, folder, manifest, params.method, few_shot=few_shot, inner=inner)
    write_plan(params.planned)


def embedded(records: list[str], params: PlanParams) -> Embedded:
    """Embeddings from the record of each seed, resampled where the protocol says so."""
    resampled = params.protocol["probe_features"] == "resampled_dropout"
    return Embedded.of_records(records, resampled=resampled)
