"""Rule explain_genes: which genes a method's models look at, by integrated gradients on evaluation patients."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mirrorflow.config.resources import RESOURCES
from mirrorflow.errors import InputError
from mirrorflow.expression.gene_sets import parse_gene_sets
from mirrorflow.plan.attributions import AttributionsFolder
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.plan.records import hold_predictions
from mirrorflow.runtime.files import write_text
from mirrorflow.runtime.job import Job
from mirrorflow.steps.explained.cases import TASKS, Evaluated, Missing, evaluated
from mirrorflow.steps.explained.fold_models import GeneFiles
from mirrorflow.steps.explained.gene_attributions import FoldFound, attribute, linear_of
from mirrorflow.steps.explained.gene_pictures import KIND, bars_figure
from mirrorflow.steps.explained.gene_tables import (
    Coefficients,
    census_table,
    for_readers,
    gene_table,
    measures,
    rounded,
    set_table,
)
from mirrorflow.steps.results.figure_files import Drawing, LeftOut, draw_all
from mirrorflow.steps.results.figure_tasks import Task, left_out
from mirrorflow.store.expression import read_names
from mirrorflow.store.gene_lists import Curated, curated_genes, read_list
from mirrorflow.store.method_predictions import Manifest, read_manifest
from mirrorflow.store.tables import read_cohort, write_sheet
from mirrorflow.tables.render import to_markdown

logger = logging.getLogger("mirrorflow.explained")


@dataclass(frozen=True)
class Inputs:
    """The cohort, the method's manifest, split files of the folds, and what its models see; manifests of linear
    methods, the census and gene sets, if there are any.
    """

    cohort: Path
    manifest: Path
    splits: list[Path]
    expression: Path
    index: Path | None = None
    embeddings: list[Path] = field(default_factory=list)
    linear: list[Path] = field(default_factory=list)
    census: Path | None = None
    gene_sets: Path | None = None


@dataclass(frozen=True)
class Outputs:
    """A figure and tables a task; captions in ``figures.json``."""

    folder: Path


@dataclass(frozen=True)
class Params:
    """The protocol; section ``explain.genes``; which genes of the census count."""

    protocol: Mapping[str, Any]
    settings: Mapping[str, Any]
    curated: Mapping[str, Any]
    planned: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Lists:
    """Symbols by gene id; curated genes and where they come from; gene sets by name."""

    symbols: Mapping[str, str]
    curated: frozenset[str]
    source: str
    sets: Mapping[str, Sequence[str]]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Attribute the answers of the method's models to their genes."""
    hold_predictions(params.planned)
    torch.set_num_threads(job.threads)
    explain_genes(inputs, params, outputs.folder)


def explain_genes(files: Inputs, params: Params, folder: Path) -> list[Drawing | LeftOut]:
    """Write into ``folder`` a figure and tables of each task; what cannot be attributed is listed with the reason."""
    place, manifest = AttributionsFolder.parse(folder), read_manifest(files.manifest)
    cohort, lists = read_cohort(files.cohort)[0], _lists(files, params.curated, place.cohort)
    data = GeneFiles(files.expression, files.index, files.embeddings)
    tasks = []
    for name in TASKS:
        of = evaluated(manifest, name, cohort, params.protocol["unit"], files.splits)
        if isinstance(of, Missing):
            tasks.append(left_out(name, KIND, of.why))
        elif of is not None:
            tasks.append(_task(of, manifest, cohort, data, files, params, lists, folder))
    return draw_all(tasks, place.cohort, folder, "explain_genes")


def _lists(files: Inputs, curated: Mapping[str, Any], cohort: str) -> Lists:
    _, ids, symbols = read_names(str(files.expression))
    found: Curated = curated_genes(curated, files.census, RESOURCES / "drivers.tsv", cohort, symbols)
    sets: Mapping[str, Sequence[str]] = {}
    if files.gene_sets is not None:
        sets = parse_gene_sets(read_list(files.gene_sets, "gene_sets"), where=str(files.gene_sets))
    named = dict(zip(ids, symbols, strict=True))
    return Lists(named, frozenset(ids[row] for row in found.rows), found.source, sets)


def _task(
    of: Evaluated,
    manifest: Manifest,
    cohort: pd.DataFrame,
    data: GeneFiles,
    files: Inputs,
    params: Params,
    lists: Lists,
    folder: Path,
) -> Task:
    """The task's tables written; its figure to come."""
    name = f"{of.task}_census"
    try:
        folds = list(attribute(of, manifest, cohort, files.splits, data, params.settings))
    except InputError as error:
        return left_out(name, KIND, str(error))
    linear = _linear(files.linear, of.task, folds)
    genes = gene_table(folds, lists.symbols, lists.curated, linear)
    stem = folder / of.task
    write_sheet(f"{stem}_genes.csv", genes)
    write_sheet(f"{stem}_measures.csv", measures(folds, linear, params.settings))
    write_sheet(f"{stem}_patients.csv", rounded(pd.DataFrame([row for one in folds for row in one.patients])))
    if lists.sets:
        write_sheet(f"{stem}_sets.csv", set_table(genes, lists.sets))
    place = AttributionsFolder.parse(folder)
    text = f"Census genes of {place.method}, {of.task}: shares and ranks among all {len(genes)} genes of the method."
    write_text(f"{stem}_census.md", to_markdown(for_readers(census_table(genes, params.settings["top"])), text))
    settings = {**params.settings, "trained_on": of.trained_on}
    return Task(name, KIND, partial(bars_figure, place, of.task, genes, folds, settings, lists.source))


def _linear(manifests: Sequence[Path], task: str, folds: Sequence[FoldFound]) -> Coefficients:
    """Coefficients of the linear methods that have some in any fold."""
    found = {}
    for path in manifests:
        coefficients = linear_of(read_manifest(path))
        by_fold = [coefficients(task, one.fold, one.seed) for one in folds]
        if any(by_fold):
            found[PredictionsManifest.parse(path).method] = by_fold
    return found
