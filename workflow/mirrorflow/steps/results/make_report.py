"""Rule make_report: everything of a run on one self-contained page."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mirrorflow.config.protocols import SINGLE_CHANGE
from mirrorflow.config.resources import RESOURCES, ROOT
from mirrorflow.plan.records import hold_predictions
from mirrorflow.report.blocks import Section, counted
from mirrorflow.report.head import notices
from mirrorflow.report.main_tables import Titles
from mirrorflow.report.page import Page, build_page
from mirrorflow.report.running import Origin, cost_section, reproduce_section
from mirrorflow.runtime.files import write_text
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results import report_inputs
from mirrorflow.steps.results.cost_forecast import extent_of, forecast
from mirrorflow.steps.results.job_costs import read_benchmarks
from mirrorflow.steps.results.report_chapters import Chapters
from mirrorflow.steps.results.report_files import Inputs, Links
from mirrorflow.store.tables import read_text_sheet
from mirrorflow.tables.results import titles_of

CHECKOUT = ROOT
"""The folder of the Snakefile, whose git commit the page names."""


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
    planned: list[Mapping[str, Any]] = field(default_factory=list)
    """What the predictions are planned with."""


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write the page of the run."""
    hold_predictions(params.planned)
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
    chapters = Chapters(files, config, audits, cohorts, Links(destination.parent), _titles(config))
    provenance = (
        reproduce_section(_origin(config, configfiles)),
        _cost(files, benchmarks, config, [patients for patients, _ in chapters.sizes.values()]),
    )
    page = Page(
        f"mirrorflow: run {config['run']}", _subtitle(config), notices(config, audits), chapters.all(*provenance)
    )
    write_text(destination, build_page(page))


def _titles(config: Mapping[str, Any]) -> Titles:
    listed = titles_of(read_text_sheet(RESOURCES / "names.tsv"), "cohort", "method")
    own = {name: entry["title"] for name, entry in config["cohorts"].items() if "title" in entry}
    return Titles(listed["method"], {**listed["cohort"], **own})


def _subtitle(config: Mapping[str, Any]) -> str:
    return ", ".join(
        (
            counted(len(config["cohorts"]), "cohort"),
            counted(len(config["methods"]), "method"),
            counted(config["splits"]["folds"], "fold"),
            f"seed {', '.join(map(str, config['seeds']))}",
            f"protocol {', '.join(name for name in config['protocols'] if not name.startswith(SINGLE_CHANGE))}",
        )
    )


def _cost(files: Inputs, folder: Path, config: Mapping[str, Any], sizes: Sequence[int]) -> Section:
    benchmarks = read_benchmarks(folder)
    ledgers = [read_text_sheet(path) for path in files.ledgers]
    here = extent_of(config, ledgers, sizes, len(benchmarks.get("patch_slides", ())))
    return cost_section(benchmarks, forecast(benchmarks, here))


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
