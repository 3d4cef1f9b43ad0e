"""Rule make_tables: the main tables and those beyond them that the run has rows for. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mirrorflow.config.resources import RESOURCES
from mirrorflow.plan.paths import MainTable
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results import further_table
from mirrorflow.steps.results.main_table import Said, make_main_table
from mirrorflow.tables.further import MAIN_TITLE_OF_DSS, MAIN_TITLES


@dataclass(frozen=True)
class Inputs:
    """results.csv."""

    results: Path


@dataclass(frozen=True)
class Outputs:
    """Every table; .md and .tex lie beside it."""

    csv: list[Path]


@dataclass(frozen=True)
class Params:
    """Methods in order; the config's titles of cohorts, with a cause-specific outcome's name behind, and without."""

    methods: list[str]
    titles: Mapping[str, str]
    own_titles: Mapping[str, str]
    run: str
    left_out: list[str]
    """Methods that cohorts lack an input of, in words."""
    dss: list[str] = field(default_factory=list)
    """Cohorts whose outcome is disease-specific survival."""


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write every table."""
    main = {MainTable("", task, "csv").path.stem: task for task in MAIN_TITLES}
    for path in outputs.csv:
        if path.stem in main:
            _write_main(inputs.results, main[path.stem], path.with_suffix(""), params)
        else:
            _write_further(inputs.results, path.with_suffix(""), params)


def _write_main(results: Path, task: str, stem: Path, params: Params) -> None:
    """That of subtyping has no outcome: titles do not name one."""
    of_survival = task == "survival"
    said = Said(MAIN_TITLE_OF_DSS if of_survival and params.dss else MAIN_TITLES[task], params.left_out)
    titles = params.titles if of_survival else params.own_titles
    make_main_table(results, RESOURCES / "names.tsv", task, stem, params.methods, titles, params.run, said=said)


def _write_further(results: Path, stem: Path, params: Params) -> None:
    asked = further_table.Params(stem.name, params.methods, params.titles, params.run, params.dss)
    published, names = RESOURCES / "published_results.csv", RESOURCES / "names.tsv"
    further_table.make_further_table(asked, results, published, names, stem)
