"""The papers' tables beyond the main ones, and the variants that no table of them has."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mirrorflow.steps.results.table_files import write_table
from mirrorflow.store.tables import read_numbers, read_text_sheet
from mirrorflow.tables.further import FurtherTable, further_table
from mirrorflow.tables.main import ABSENT_CLASSES
from mirrorflow.tables.results import NUMBERS, titles_of, without_single_changes
from mirrorflow.tables.variants import shown_in, variant_table
from mirrorflow.tables.verdict_notes import verdict_notes


@dataclass(frozen=True)
class Params:
    """Which table; methods in order; the config's titles of cohorts, the others are shown by their published labels;
    the run's name; cohorts whose outcome is disease-specific survival.
    """

    table: str
    methods: list[str]
    titles: Mapping[str, str]
    run: str
    dss: list[str] = field(default_factory=list)


def make_further_table(params: Params, results: Path, published: Path, names: Path, stem: Path) -> None:
    """Write ``<stem>.csv``, ``.md`` and ``.tex`` of one of FURTHER_TABLES."""
    table, labels = further_table(params.table), read_text_sheet(names)
    shown = titles_of(labels, "cohort", "method")
    cells = without_single_changes(read_numbers(results, NUMBERS))
    known = read_numbers(published, ["mean", "sd"])
    titles = {**shown["cohort"], **params.titles}
    wide = variant_table(table, cells, known, labels, params.methods, titles, params.dss)
    wide["method"] = [shown["method"].get(method, method) for method in wide["method"]]
    write_table(stem, wide, caption_of(table, params.run, verdict_notes(shown_in(table, cells, params.methods))))


OF_TTA = (
    "Published values are of disease-specific survival, cohorts of another outcome have none; their deviations have "
    "ddof 1, too (known of BLCA and COADREAD, else inferred). Which expression matrix they rest on is not published: "
    "no cell is comparable. Mean of the cohorts: of TTA's five, where the run has them all, without an interval."
)


def caption_of(table: FurtherTable, run: str, verdicts: str) -> str:
    """What the table's numbers are, and what its ``verdicts`` mean."""
    f1 = f"Macro F1: {ABSENT_CLASSES}."
    return (
        f"{table.title}, run {run}: mean ± standard deviation over folds (ddof 1), bootstrap interval and verdict "
        "against the reference, of each protocol, encoder and method; published values in brackets, suspect ones "
        f"marked. {verdicts}Whether the two may be compared: comparable and why_not in results.csv. "
        f"{OF_TTA if table.paper == 'tta' else f1}"
    )
