"""Rule make_further_table: MIRROR's tables beyond the main ones, and the variants that no table of it has."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mirrorflow.config.protocols import SINGLE_CHANGE
from mirrorflow.runtime.files import write_text
from mirrorflow.store.tables import read_numbers, read_text_sheet, write_sheet
from mirrorflow.tables.further import further_table
from mirrorflow.tables.main import ABSENT_CLASSES
from mirrorflow.tables.render import to_latex, to_markdown
from mirrorflow.tables.results import NUMBERS, published_key
from mirrorflow.tables.variants import variant_table


def make_further_table(
    name: str,
    results: str,
    published: str,
    names: str,
    stem: str,
    methods: Sequence[str],
    titles: Mapping[str, str],
    run: str,
) -> None:
    """Write ``<stem>.csv``, ``.md`` and ``.tex`` of one of FURTHER_TABLES.

    methods: of the run, in order; titles: the config's titles of cohorts, the others are shown by their published
    labels (``names``).
    """
    table, labels = further_table(name), read_text_sheet(names)
    shown = {kind: published_key(labels, kind, "title") for kind in ("cohort", "method")}
    cells = read_numbers(results, NUMBERS)
    cells = cells[~cells["protocol"].str.startswith(SINGLE_CHANGE)]
    known = read_numbers(published, ["mean", "sd"])
    wide = variant_table(table, cells, known, labels, methods, {**shown["cohort"], **titles})
    wide["method"] = [shown["method"].get(method, method) for method in wide["method"]]
    caption = (
        f"{table.title}, run {run}: mean ± standard deviation over folds (ddof 1), bootstrap interval and verdict "
        "against the reference, of each protocol, encoder and method; published values in brackets, suspect ones "
        f"marked. Whether the two may be compared: comparable and why_not in results.csv. Macro F1: {ABSENT_CLASSES}."
    )
    write_sheet(f"{stem}.csv", wide)
    write_text(f"{stem}.md", to_markdown(wide, caption))
    write_text(f"{stem}.tex", to_latex(wide, caption, Path(stem).name))
