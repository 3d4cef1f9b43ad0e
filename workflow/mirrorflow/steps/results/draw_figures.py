"""Rule draw_figures: every figure of a cohort as SVG and PNG, and a record with their captions."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mirrorflow.errors import InputError
from mirrorflow.figures.style import to_png, to_svg
from mirrorflow.runtime.files import write_text, written_whole
from mirrorflow.runtime.progress import Progress
from mirrorflow.steps.results.figure_tasks import (
    Task,
    flow_task,
    forest_tasks,
    protocols_shown,
    rank_tasks,
    survival_task,
    training_tasks,
)
from mirrorflow.steps.results.gene_figures import gene_tasks
from mirrorflow.store.tables import read_text_sheet
from mirrorflow.tables.results import published_key


@dataclass(frozen=True)
class Drawing:
    """A figure of the record: ``name``.svg and .png lie beside it; ``caption`` says rule, n and protocol."""

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


def draw_figures(
    cohort: str,
    flow: str,
    manifests: Sequence[str],
    models: Sequence[str],
    results: str,
    names: str,
    folder: str,
    *,
    methods: Sequence[str],
    frame: str,
    expression: str = "",
    genes: Sequence[str] = (),
    clip: float | None = None,
) -> list[Drawing | LeftOut]:
    """Draw all figures of ``cohort`` into ``folder`` and list them in ``figures.json`` there.

    flow: the cohort's flow.tsv, empty for an adapted cohort: its patients, genes and models are drawn elsewhere;
    manifests: of the predictions whose risk groups are drawn; models: done.json of the pretrained folds;
    results: results.csv; methods: their order in the forest plots; frame: the cohort's parquet (an adapted cohort's is
    its target's), whose outcomes count; genes: manifests of the folds of every scope. What the data do not allow is
    left out, with the reason.
    """
    titles, shown = _method_titles(names), protocols_shown(cohort, results)
    tasks = [
        *([flow_task(cohort, flow)] if flow else []),
        *forest_tasks(cohort, results, methods, titles),
        *rank_tasks(cohort, results, titles),
        *(survival_task(Path(manifest), frame, titles, shown) for manifest in manifests),
        *training_tasks(models, titles),
        *gene_tasks(cohort, frame, expression, genes, clip),
    ]
    progress = Progress(f"figures of {cohort}", len(tasks), "figures")
    drawn: list[Drawing | LeftOut] = []
    for task in tasks:
        drawn.append(_draw(task, Path(folder)))
        progress.step()
    record = {
        "cohort": cohort,
        "figures": [asdict(entry) for entry in drawn if isinstance(entry, Drawing)],
        "left_out": [asdict(entry) for entry in drawn if isinstance(entry, LeftOut)],
    }
    write_text(Path(folder) / "figures.json", json.dumps(record, indent=1, ensure_ascii=False))
    return drawn


def _draw(task: Task, folder: Path) -> Drawing | LeftOut:
    try:
        sketch = task.draw()
    except InputError as error:
        return LeftOut(task.name, task.kind, str(error))
    for ending, content in (("svg", to_svg(sketch.figure)), ("png", to_png(sketch.figure))):
        with written_whole(folder / f"{task.name}.{ending}") as temporary:
            temporary.write_bytes(content)
    return Drawing(task.name, task.kind, sketch.title, sketch.alt, f"{sketch.caption} Rule draw_figures.")


def _method_titles(names: str) -> dict[str, str]:
    return published_key(read_text_sheet(names), "method", "title")
