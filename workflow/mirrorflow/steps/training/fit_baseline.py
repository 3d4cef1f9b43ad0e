"""Rule fit_baseline: a classical method on pooled features, genes, clinical columns or sites, every task and fold."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.cohorts.patients import to_units, who_has
from mirrorflow.learners.inputs.clinical import ClinicalColumns
from mirrorflow.learners.inputs.site import SiteCodes
from mirrorflow.learners.inputs.vectors import NoInputs, PooledInputs, Representation
from mirrorflow.learners.predict import predict_method
from mirrorflow.plan.records import write_plan
from mirrorflow.runtime.job import Job
from mirrorflow.steps.training.plan_inputs import PlanFiles, PlanParams, Rna, plan_of, texts
from mirrorflow.store.tables import read_cohort


@dataclass(frozen=True, kw_only=True)
class Inputs(PlanFiles):
    """The index of the features where the method sees slides, and the expression file."""

    index: Path | None
    expression: Path | None


@dataclass(frozen=True)
class Outputs:
    """The manifest; predictions lie in its folder."""

    manifest: Path


@dataclass(frozen=True, kw_only=True)
class Settings(PlanParams):
    """The method's settings, and where expression is cut."""

    settings: Mapping[str, Any]
    rna: Rna


@dataclass(frozen=True, kw_only=True)
class Params(Settings):
    """These, and their record."""

    planned: Mapping[str, Any]
    """The record of these settings (``plan.records``)."""


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Fit and predict every task, setting and fold."""
    vectors, few_shot = representation(inputs, params), None
    if inputs.few_shot_genes and isinstance(vectors, PooledInputs):
        few_shot = vectors.with_genes(texts(inputs.few_shot_genes))
    plan = plan_of(inputs, params, params.settings, [])
    folder, manifest = str(outputs.manifest.parent), str(outputs.manifest)
    predict_method(plan, vectors, folder, manifest, params.method, few_shot=few_shot)
    write_plan(params.planned)


def representation(inputs: Inputs, params: Settings) -> Representation:
    """What the method sees of the units: nothing, columns of the cohort, sites, or pooled slides and genes."""
    method = params.settings
    units = to_units(who_has(read_cohort(inputs.cohort)[0], method["inputs"]), params.protocol["unit"])
    if not method["inputs"]:
        return NoInputs()
    if method["inputs"] == ["clinical"]:
        return ClinicalColumns(units, method["columns"])
    if method["inputs"] == ["site"]:
        return SiteCodes(units)
    return PooledInputs(
        units=units,
        inputs=method["inputs"],
        pooling=method.get("pooling", "mean"),
        index=str(inputs.index) if inputs.index else None,
        expression=str(inputs.expression),
        genes=texts(inputs.genes),
        rna_scaling=params.protocol["rna_scaling"],
        clip=params.rna.clip,
    )
