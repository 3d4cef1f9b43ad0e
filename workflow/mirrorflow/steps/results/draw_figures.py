"""Rule draw_figures: every figure of a cohort as SVG and PNG, and a record with their captions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirrorflow.config.resources import RESOURCES
from mirrorflow.evaluation.bands import Resampling
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.plan.records import hold_predictions
from mirrorflow.runtime.forks import ONE_BY_ONE, Cores
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results.curve_figures import Drawn, curve_tasks
from mirrorflow.steps.results.figure_files import Drawing, LeftOut, draw_all
from mirrorflow.steps.results.figure_tasks import (
    Task,
    flow_task,
    forest_tasks,
    protocols_shown,
    rank_tasks,
    training_tasks,
)
from mirrorflow.steps.results.gene_figures import gene_tasks
from mirrorflow.steps.results.patient_sheet import patient_sheet
from mirrorflow.steps.results.survival_figures import LogRanks, published_tests, read_permuted, survival_task
from mirrorflow.store.tables import read_text_sheet, write_sheet
from mirrorflow.tables.results import published_key

PATIENTS = "patients.csv"
"""Every patient's predictions, in the folder of the figures."""
PUBLISHED_TESTS = "published_log_rank.csv"
"""Log-rank tests of published risk groups, in ``resources/``."""


@dataclass(frozen=True)
class Inputs:
    """What figures are drawn from. An adapted cohort has no flow, expression, genes and models of its own."""

    results: Path
    cohort: Path
    """Whose outcomes count: an adapted cohort's is its target's."""
    manifests: list[Path]
    """Of the predictions whose curves are drawn."""
    splits: list[Path] = field(default_factory=list)
    """Split files of the protocol ``curves_of``, in the order of the folds: whom each was trained on."""
    flow: Path | None = None
    models: list[Path] = field(default_factory=list)
    """done.json of the pretrained folds."""
    expression: Path | None = None
    genes: list[Path] = field(default_factory=list)
    """Manifests of the folds of every scope."""
    ledgers: list[Path] = field(default_factory=list)
    """Ledgers of slides, beside which their pictures lie."""
    permuted: list[Path] = field(default_factory=list)
    """Records of methods whose outcomes were traded."""


@dataclass(frozen=True)
class Outputs:
    """The figures, and their captions in ``figures.json``."""

    folder: Path


@dataclass(frozen=True)
class Params:
    """The cohort; methods in the order of the forest plots; where expression is cut for the models."""

    cohort: str
    methods: list[str]
    rna_clip: float | None
    by_task: Mapping[str, list[str]]
    """The methods that answer each task."""
    curves_of: str
    """The protocol whose curves over thresholds and days are drawn."""
    bands: Mapping[str, Any]
    """How bands of curves are resampled: resamples, seed, confidence."""
    planned: list[Mapping[str, Any]] = field(default_factory=list)
    """What the predictions are planned with."""


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Draw the figures of the cohort."""
    hold_predictions(params.planned)
    cores = Cores(job.threads, float(job.resources.get("mem_mb", "inf")))
    draw_figures(inputs, RESOURCES / "names.tsv", outputs.folder, params, cores)


def draw_figures(
    files: Inputs, names: Path, folder: Path, params: Params, cores: Cores = ONE_BY_ONE
) -> list[Drawing | LeftOut]:
    """Draw all figures of the cohort into ``folder`` and list them in ``figures.json`` there; beside them PATIENTS.

    cores: how many processes draw. What the data do not allow is left out, with the reason.
    """
    cohort, titles = params.cohort, _method_titles(names)
    tests = LogRanks(
        published_tests(RESOURCES / PUBLISHED_TESTS, read_text_sheet(names)), read_permuted(files.permuted)
    )
    shown = protocols_shown(cohort, files.results)
    drawn = Drawn(cohort, files.cohort, files.splits, Resampling(**params.bands), titles, shown)
    curved = [path for path in files.manifests if PredictionsManifest.parse(path).protocol == params.curves_of]
    tasks = [
        *([flow_task(cohort, files.flow)] if files.flow else []),
        *forest_tasks(cohort, files.results, params.methods, titles),
        *rank_tasks(cohort, files.results, titles),
        *curve_tasks(curved, params.by_task, drawn),
        *(survival_task(path, files.cohort, titles, shown, tests) for path in _surviving(files.manifests, params)),
        *training_tasks(files.models, titles),
        *_gene_tasks(cohort, files, params.rna_clip),
    ]
    write_sheet(folder / PATIENTS, patient_sheet(files.manifests, files.cohort, shown, files.ledgers))
    return draw_all(tasks, cohort, folder, "draw_figures", cores)


def _surviving(manifests: Sequence[Path], params: Params) -> list[Path]:
    """Those of methods that predict survival."""
    return [path for path in manifests if PredictionsManifest.parse(path).method in params.by_task.get("survival", ())]


def _gene_tasks(cohort: str, files: Inputs, clip: float | None) -> Iterator[Task]:
    if files.expression:
        yield from gene_tasks(cohort, files.cohort, files.expression, files.genes, clip)


def _method_titles(names: Path) -> dict[str, str]:
    return published_key(read_text_sheet(names), "method", "title")
