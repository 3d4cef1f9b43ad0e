"""Figures as files: SVG, PNG and the table behind each, and figures.json with captions and what was left out."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.figures.style import to_png, to_svg
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.files import write_text, written_whole
from mirrorflow.runtime.forks import ONE_BY_ONE, Cores, run_each
from mirrorflow.runtime.progress import Progress
from mirrorflow.steps.results.figure_tasks import Task

logger = logging.getLogger("mirrorflow.figures")


@dataclass(frozen=True)
class Drawing:
    """A figure of the record: ``name``.svg, of some .png and .csv lie beside it; ``caption``: rule, n, protocol."""

    name: str
    kind: str
    title: str
    alt: str
    caption: str


@dataclass(frozen=True)
class LeftOut:
    """A figure that could not be drawn, and why."""

    name: str
    kind: str
    why: str


def draw_all(
    tasks: Sequence[Task], cohort: str, folder: Path, rule: str, cores: Cores = ONE_BY_ONE
) -> list[Drawing | LeftOut]:
    """Draw every figure into ``folder`` and list them in ``figures.json`` there; what cannot be drawn, with the reason.

    rule: named at the end of each caption. cores: figures are dealt out to as many processes.
    """
    dealt = [range(first, len(tasks), cores.processes) for first in range(cores.processes)]
    labels = [f"figures of {cohort}, part {part + 1} of {len(dealt)}" for part in range(len(dealt))]
    given = [([tasks[i] for i in some], folder, rule, label) for some, label in zip(dealt, labels, strict=True)]
    calls = [Call(_draw_some, arguments, {}, label) for arguments, label in zip(given, labels, strict=True)]
    made = run_each(calls, cores, logger.debug)
    by_number = {i: entry for some, part in zip(dealt, made, strict=True) for i, entry in zip(some, part, strict=True)}
    drawn = [by_number[i] for i in range(len(tasks))]
    record = {
        "cohort": cohort,
        "figures": [asdict(entry) for entry in drawn if isinstance(entry, Drawing)],
        "left_out": [asdict(entry) for entry in drawn if isinstance(entry, LeftOut)],
    }
    write_text(folder / "figures.json", json.dumps(record, indent=1, ensure_ascii=False))
    return drawn


def _draw_some(tasks: Sequence[Task], folder: Path, rule: str, label: str) -> list[Drawing | LeftOut]:
    progress, drawn = Progress(label, len(tasks), "figures"), []
    for task in tasks:
        drawn.append(_draw(task, folder, rule))
        progress.step()
    return drawn


def _draw(task: Task, folder: Path, rule: str) -> Drawing | LeftOut:
    try:
        spec = task.draw()
    except InputError as error:
        return LeftOut(task.name, task.kind, str(error))
    for ending, content in (("svg", to_svg), *([] if spec.vectors_only else [("png", to_png)])):
        with written_whole(folder / f"{task.name}.{ending}") as temporary:
            temporary.write_bytes(content(spec.figure))
    if spec.table is not None:
        _write_table(folder / task.name, spec.table, parquet=spec.parquet)
    return Drawing(task.name, task.kind, spec.title, spec.alt, f"{spec.caption} Rule {rule}.")


def _write_table(stem: Path, table: pd.DataFrame, *, parquet: bool) -> None:
    if not parquet:
        write_text(stem.with_name(f"{stem.name}.csv"), table.to_csv(index=False))
        return
    with written_whole(stem.with_name(f"{stem.name}.parquet")) as temporary:
        table.to_parquet(temporary, index=False)
