"""Rule train_supervised: a network trained on labels, every task, setting, seed and fold."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mirrorflow.cohorts.patients import to_units, who_has
from mirrorflow.learners.inputs.bagged import BaggedInputs
from mirrorflow.learners.inputs.own_fit import own_fit_of
from mirrorflow.learners.predict import predict_method
from mirrorflow.plan.paths import GeneManifest, by_inner_fold
from mirrorflow.plan.records import write_plan
from mirrorflow.runtime.forks import Cores
from mirrorflow.runtime.job import Job
from mirrorflow.steps.training.plan_inputs import PlanFiles, PlanParams, Rna, plan_of, texts
from mirrorflow.steps.training.side_by_side import cores_of_calls
from mirrorflow.store.tables import read_cohort


@dataclass(frozen=True, kw_only=True)
class Inputs(PlanFiles):
    """The index of the features (of methods that see slides), expression, and what the epoch is chosen on: of every
    inner fold and fold.
    """

    index: Path | None
    expression: Path | None
    inner_splits: list[Path]
    inner_genes: list[Path]


@dataclass(frozen=True)
class Outputs:
    """The manifest; predictions lie in its folder."""

    manifest: Path


@dataclass(frozen=True, kw_only=True)
class Params(PlanParams):
    """The method's settings, and where expression is cut."""

    settings: Mapping[str, Any]
    rna: Rna
    planned: Mapping[str, Any]
    """The record of these settings (``plan.records``)."""


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Train and predict every task, setting, seed and fold; on a CPU folds side by side, a process and a core each."""
    cores = cores_of(params, job, len(inputs.splits))
    torch.set_num_threads(1 if cores.processes > 1 else job.threads)
    plan = plan_of(inputs, params, params.settings, inputs.inner_splits)
    bags = bagged(inputs, params)
    few_shot = bags.with_genes(texts(inputs.few_shot_genes)) if inputs.few_shot_genes else None
    inner_genes = by_inner_fold(GeneManifest, inputs.inner_genes) or [[]] * len(plan.inner_splits)
    inner = [bags.with_genes(genes) for genes in inner_genes]
    folder, manifest = str(outputs.manifest.parent), str(outputs.manifest)
    predict_method(plan, bags, folder, manifest, params.method, few_shot=few_shot, inner=inner, cores=cores)
    write_plan(params.planned)


def cores_of(params: Params, job: Job, folds: int) -> Cores:
    """How the job's folds share its threads and memory, each task of a fold by itself."""
    return cores_of_calls(job, len(params.tasks) * folds)


def bagged(inputs: Inputs, params: Params) -> BaggedInputs:
    """Bags of patches and genes of the cohort's units, as the method sees them."""
    method = params.settings
    return BaggedInputs(
        units=to_units(who_has(read_cohort(inputs.cohort)[0], method["inputs"]), params.protocol["unit"]),
        inputs=method["inputs"],
        index="" if inputs.index is None else str(inputs.index),
        expression="" if inputs.expression is None else str(inputs.expression),
        genes=texts(inputs.genes),
        rna_scaling=params.protocol["rna_scaling"],
        clip=params.rna.clip,
        feature_scaling=method["train"]["feature_scaling"],
        cache_gb=method["train"]["cache_gb"],
        gene_sets=method.get("gene_sets"),
        fit=own_fit_of(method["family"], method["network"]),
    )
