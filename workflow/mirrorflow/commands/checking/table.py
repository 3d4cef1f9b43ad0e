"""The table at the end of a check: what will run on how many patients, what will not, and why."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from mirrorflow.cohorts.patients import eligible, who_has
from mirrorflow.config.modalities import left_out
from mirrorflow.config.queries import encoders_of

HEADER = ("cohort", "method", "encoder", "task", "patients", "why not")
LATER = "told at the first run"


def table_lines(config: Mapping[str, Any], frames: Mapping[str, pd.DataFrame | None]) -> list[str]:
    """The table, a line a row. frames: cohort -> who would be in it; None where that cannot be told yet."""
    rows = [HEADER, *_rows(config, frames)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEADER))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _rows(config: Mapping[str, Any], frames: Mapping[str, pd.DataFrame | None]) -> Iterator[Sequence[str]]:
    reasons = {(one.cohort, one.method): one.why for one in left_out(config)}
    for cohort in config["cohorts"]:
        for method, entry in config["methods"].items():
            if why := reasons.get((cohort, method)):
                yield cohort, method, "", "", "", why
            for encoder in encoders_of(config, cohort, method):
                for task in config["evaluation"]["tasks"]:
                    yield cohort, method, encoder, task, *_patients(frames.get(cohort), entry, task)


def _patients(frame: pd.DataFrame | None, entry: Mapping[str, Any], task: str) -> tuple[str, str]:
    """How many take part, and why nobody does."""
    if task not in entry["tasks"]:
        return "", "no task of the method"
    if frame is None:
        return LATER, ""
    seen = who_has(frame, entry["inputs"])
    known = seen[eligible(seen, task)]
    if known.empty:
        return "0", "nobody has a label" if task == "subtyping" else "nobody has a known outcome"
    if task == "survival" and not (known["event"] == 1).any():
        return str(len(known)), "no event: it is left out"
    if task == "subtyping" and known["label"].nunique() < 2:
        return str(len(known)), "one class"
    return str(len(known)), ""
