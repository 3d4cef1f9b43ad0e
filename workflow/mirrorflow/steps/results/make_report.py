"""Rule make_report: everything of a run on one self-contained page."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mirrorflow.config.protocols import SINGLE_CHANGE, scope_of
from mirrorflow.config.resources import ROOT
from mirrorflow.config.schema import load_schema
from mirrorflow.report.attributions import attributions_sections
from mirrorflow.report.blocks import Section
from mirrorflow.report.cohorts import CohortTables, cohorts_section, folds_section
from mirrorflow.report.embeddings import embeddings_sections
from mirrorflow.report.further import further_sections
from mirrorflow.report.gene_sets import sets_sections
from mirrorflow.report.genes import genes_section
from mirrorflow.report.head import glance_section, notices
from mirrorflow.report.page import Page, build_page
from mirrorflow.report.pictures import Drawn, NotDrawn, figures_section, picture
from mirrorflow.report.protocols import audits_section, level_counts, protocols_section
from mirrorflow.report.results import main_section, results_section
from mirrorflow.report.retrieval import retrieval_section
from mirrorflow.report.running import Origin, cost_section, reproduce_section
from mirrorflow.report.slides import slides_section
from mirrorflow.runtime.files import write_text
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results import report_inputs
from mirrorflow.steps.results.cost_forecast import extent_of, forecast
from mirrorflow.store.tables import read_text_sheet

CHECKOUT = ROOT
"""The folder of the Snakefile, whose git commit the page names."""


@dataclass(frozen=True)
class Inputs:
    """Paths the page is made from: of the run, and the ledgers of its store."""

    results: Path
    main_tables: list[Path]
    audits: list[Path]
    cohorts: list[Path]
    """<cohort>.parquet; the flow and the dropped lie beside each."""
    summaries: list[Path]
    genes: list[Path]
    ledgers: list[Path]
    figures: list[Path]
    """Folders of draw_figures, draw_prototypes, explain_slides, map_embeddings and explain_genes."""
    models: list[Path]
    """done.json of every pretrained model; retrieval.json lies beside it."""
    further_tables: list[Path] = field(default_factory=list)
    """Further tables as written: only their .md and .csv are shown."""
    gene_sets: list[Path] = field(default_factory=list)
    """Pathways and families that methods take."""
    expressions: list[Path] = field(default_factory=list)
    """Expression of the cohorts, in which the genes of these sets are counted."""


@dataclass(frozen=True)
class Outputs:
    """The page."""

    page: Path


@dataclass(frozen=True)
class Params:
    """The config as resolved, the config files as given to Snakemake, the folder of benchmark files."""

    config: Mapping[str, Any]
    configfiles: list[str]
    benchmarks: str


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write the page of the run."""
    make_report(inputs, outputs.page, params.config, configfiles=params.configfiles, benchmarks=Path(params.benchmarks))


def make_report(
    files: Inputs, destination: Path, config: Mapping[str, Any], *, configfiles: Sequence[str], benchmarks: Path
) -> None:
    """Write the page of a run.

    config: as resolved; configfiles: as given to Snakemake, from the working directory (none: the demo's);
    benchmarks: the folder of benchmark files, what is there when the page is made.
    """
    audits = report_inputs.read_audits(files.audits)
    cohorts = report_inputs.read_cohorts(files.cohorts, config["cohorts"])
    sections = _sections(files, config, audits, cohorts)
    sections.append(reproduce_section(_origin(config, configfiles)))
    sections.append(_cost(files, benchmarks, config, cohorts))
    page = Page(
        f"mirrorflow: run {config['run']}",
        "From whole-slide images and RNA to results tables: data, patients, protocols, results.",
        notices(config, audits),
        sections,
    )
    write_text(destination, build_page(page))


def _sections(
    files: Inputs,
    config: Mapping[str, Any],
    audits: Sequence[Mapping[str, Any]],
    cohorts: Mapping[str, CohortTables],
) -> list[Section]:
    results = report_inputs.read_results(files.results)
    drawn, left_out = report_inputs.read_figures(files.figures)
    scopes = {name: scope_of(protocol) for name, protocol in config["protocols"].items()}
    used_by = {scope: [name for name in scopes if scopes[name] == scope] for scope in scopes.values()}
    levels = {name: level_counts([r for r in audits if r["protocol"] == name]) for name in scopes}
    return [
        glance_section(config, {name: _size(tables) for name, tables in cohorts.items()}, audits),
        main_section(report_inputs.read_main_tables(files.main_tables), results, levels, audits),
        *further_sections(report_inputs.read_further_tables(files.further_tables)),
        figures_section("forest", "Methods side by side", "forest", drawn, left_out),
        figures_section("ranks", "Ranks within folds", "ranks", drawn, left_out),
        protocols_section(_whole_protocols(config), _key_descriptions(), scopes),
        audits_section(audits),
        cohorts_section(cohorts, _flow_pictures(drawn)),
        folds_section(report_inputs.read_summaries(files.summaries), used_by),
        slides_section(report_inputs.read_ledgers(files.ledgers)),
        genes_section(report_inputs.read_genes(files.genes), used_by),
        *sets_sections(report_inputs.read_set_counts(files.gene_sets, files.expressions)),
        figures_section("expression", "Expression of the selected genes", "genes", drawn, left_out),
        retrieval_section(report_inputs.read_retrieval(files.models)),
        *embeddings_sections(drawn, left_out),
        *attributions_sections(files.figures, drawn, left_out),
        *_more_figures(drawn, left_out),
        results_section(results),
    ]


def _cost(files: Inputs, folder: Path, config: Mapping[str, Any], cohorts: Mapping[str, CohortTables]) -> Section:
    benchmarks = report_inputs.read_benchmarks(folder)
    ledgers = [read_text_sheet(path) for path in files.ledgers]
    sizes = [_size(tables)[1] for tables in cohorts.values()]
    here = extent_of(config, ledgers, sizes, len(benchmarks.get("patch_slides", ())))
    return cost_section(benchmarks, forecast(benchmarks, here))


def _whole_protocols(config: Mapping[str, Any]) -> dict[str, Any]:
    """Protocols less those that differ from the base in a single published choice."""
    return {name: keys for name, keys in config["protocols"].items() if not name.startswith(SINGLE_CHANGE)}


def _more_figures(drawn: Sequence[Drawn], left_out: Sequence[NotDrawn]) -> list[Section]:
    seen = {one.kind for one in drawn} | {one.kind for one in left_out}
    asked = {"explained": "What the models saw on slides", "prototypes": "Prototypes of TTA"}
    return [
        *(figures_section(kind, title, kind, drawn, left_out) for kind, title in asked.items() if kind in seen),
        figures_section("training", "Training curves", "training_curves", drawn, left_out),
        figures_section("classification", "Classifiers at every threshold", "classification", drawn, left_out),
        figures_section("survival", "Survival of predicted risk groups", "survival_curves", drawn, left_out),
        figures_section("over-time", "Survival predictions by day", "over_time", drawn, left_out),
    ]


def _flow_pictures(drawn: Sequence[Drawn]) -> dict[str, list[Any]]:
    return {one.cohort: [picture(one)] for one in drawn if one.kind == "cohort_flow"}


def _size(tables: CohortTables) -> tuple[int, int]:
    return len(tables.frame), int(tables.frame["slide_ids"].map(len).sum())


def _key_descriptions() -> dict[str, str]:
    keys = load_schema()["properties"]["protocols"]["additionalProperties"]["properties"]
    return {name: entry.get("description", "") for name, entry in keys.items()}


def _origin(config: Mapping[str, Any], configfiles: Sequence[str]) -> Origin:
    given = shlex.join(configfiles)
    command = "snakemake --cores 8 --resources gpu=1" + (f" --configfile {given}" if given else "")
    return Origin(
        command,
        yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True, width=100),
        report_inputs.package_versions(),
        report_inputs.git_commit(str(CHECKOUT)),
    )


def _plain(value: Any) -> Any:
    """Mappings and lists of Snakemake as YAML's own."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
