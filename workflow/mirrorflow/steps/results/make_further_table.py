"""Rule make_further_table: MIRROR's tables beyond the main ones, and the variants that no table of it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirrorflow.config.resources import RESOURCES
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results.table_files import write_table
from mirrorflow.store.tables import read_numbers, read_text_sheet
from mirrorflow.tables.further import further_table
from mirrorflow.tables.main import ABSENT_CLASSES
from mirrorflow.tables.results import NUMBERS, titles_of, without_single_changes
from mirrorflow.tables.variants import shown_in, variant_table
from mirrorflow.tables.verdict_notes import verdict_notes


@dataclass(frozen=True)
class Inputs:
    """results.csv."""

    results: Path


@dataclass(frozen=True)
class Outputs:
    """The table; .md and .tex lie beside it."""

    csv: Path


@dataclass(frozen=True)
class Params:
    """Which table; methods in order; the config's titles of cohorts; the run's name."""

    table: str
    methods: list[str]
    titles: Mapping[str, str]
    run: str


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write one further table."""
    make_further_table(
        params.table,
        inputs.results,
        RESOURCES / "published_results.csv",
        RESOURCES / "names.tsv",
        outputs.csv.with_suffix(""),
        params.methods,
        params.titles,
        params.run,
    )


def make_further_table(
    name: str,
    results: Path,
    published: Path,
    names: Path,
    stem: Path,
    methods: Sequence[str],
    titles: Mapping[str, str],
    run: str,
) -> None:
    """Write ``<stem>.csv``, ``.md`` and ``.tex`` of one of FURTHER_TABLES.

    methods: of the run, in order; titles: the config's titles of cohorts, the others are shown by their published
    labels (``names``).
    """
    table, labels = further_table(name), read_text_sheet(names)
    shown = titles_of(labels, "cohort", "method")
    cells = without_single_changes(read_numbers(results, NUMBERS))
    known = read_numbers(published, ["mean", "sd"])
    wide = variant_table(table, cells, known, labels, methods, {**shown["cohort"], **titles})
    wide["method"] = [shown["method"].get(method, method) for method in wide["method"]]
    caption = (
        f"{table.title}, run {run}: mean ± standard deviation over folds (ddof 1), bootstrap interval and verdict "
        "against the reference, of each protocol, encoder and method; published values in brackets, suspect ones "
        f"marked. {verdict_notes(shown_in(table, cells, methods))}Whether the two may be compared: comparable and "
        f"why_not in results.csv. Macro F1: {ABSENT_CLASSES}."
    )
    write_table(stem, wide, caption)
