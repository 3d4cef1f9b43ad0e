"""Main tables: methods down, cohorts across, as CSV, Markdown and LaTeX. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirrorflow.config.queries import CAUSE_SPECIFIC
from mirrorflow.steps.results.table_files import write_table
from mirrorflow.store.tables import read_numbers, read_text_sheet
from mirrorflow.tables.further import MAIN_TITLES
from mirrorflow.tables.main import (
    ABSENT_CLASSES,
    MAIN_METRICS,
    encoders_that_saw,
    main_table,
    patients_note,
    shown_rows,
)
from mirrorflow.tables.results import NUMBERS, titles_of, without_single_changes
from mirrorflow.tables.verdict_notes import verdict_notes


@dataclass(frozen=True)
class Said:
    """What a caption says: the table's title, else the task's; lines on methods that cannot be run."""

    title: str = ""
    left_out: Sequence[str] = ()

    @property
    def lines(self) -> str:
        """The lines as sentences, with a space behind."""
        return "".join(f"{line[:1].upper()}{line[1:]}. " for line in self.left_out)


NOTHING = Said()


def make_main_table(
    results: Path,
    names: Path,
    task: str,
    stem: Path,
    methods: Sequence[str],
    titles: Mapping[str, str],
    run: str,
    *,
    said: Said = NOTHING,
) -> None:
    """Write ``<stem>.csv``, ``.md`` and ``.tex``: methods down, cohorts across.

    titles: the config's titles of cohorts; the others are shown by their published labels (``names``). Protocols of
    single changes stand in the optimism table instead.
    """
    labels = read_text_sheet(names)
    shown = titles_of(labels, "cohort", "method")
    numbers = without_single_changes(read_numbers(results, NUMBERS))
    table = main_table(numbers, task, methods, {**shown["cohort"], **titles})
    table["method"] = [shown["method"].get(name, name) for name in table["method"]]
    macro_f1 = f"Macro F1: {ABSENT_CLASSES}. " if "f1_macro" in MAIN_METRICS[task] else ""
    verdicts = verdict_notes(shown_rows(numbers, task))
    whose = patients_note(shown_rows(numbers, task))
    caption = (
        f"{said.title or MAIN_TITLES[task]}, run {run}: mean ± standard deviation over folds (ddof 1) and bootstrap "
        f"interval over patients of each protocol, encoder and method. {macro_f1}{_of_causes(titles)}{verdicts}"
        f"{whose}{encoders_that_saw(numbers, task)}{said.lines}In brackets: published values, suspect ones marked; "
        "whether the two may be compared: comparable and why_not in results.csv."
    )
    write_table(stem, table, caption)


def _of_causes(titles: Mapping[str, str]) -> str:
    """What a cause-specific outcome is, where a cohort's title says that it has one."""
    if not any(CAUSE_SPECIFIC in title for title in titles.values()):
        return ""
    return (
        f"{CAUSE_SPECIFIC.capitalize()}: deaths of other causes censor the outcome, the dead of unknown cause are left "
        "out (tables/cause_bounds says what they could change). "
    )
