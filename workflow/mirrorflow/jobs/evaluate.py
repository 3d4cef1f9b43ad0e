"""Rules evaluate and make_tables: from predictions files to results.csv and the main tables. No torch."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.evaluation import FoldRows, score_cells
from mirrorflow.progress import Progress
from mirrorflow.store.files import write_text
from mirrorflow.store.predictions import read_predictions
from mirrorflow.store.tables import read_numbers, read_text_sheet, write_sheet
from mirrorflow.tables.comparison import differences
from mirrorflow.tables.main import main_table
from mirrorflow.tables.render import to_latex, to_markdown
from mirrorflow.tables.results import CELL, COLUMNS, ESTIMATE, FURTHER, NUMBERS, beside_published, published_key

CELL_COLUMNS = [*CELL, *ESTIMATE, *FURTHER, "predictions"]


def evaluate(manifests: Sequence[str], destination: str, settings: Mapping[str, Any]) -> None:
    """Score every method of a protocol and cohort from its predictions files.

    manifests: ``predictions/<protocol>/<cohort>/<encoder>/<method>/manifest.json``; settings: bootstrap,
    confidence, seed.
    """
    progress = Progress("evaluate", len(manifests), "methods")
    cells: list[dict[str, Any]] = []
    for manifest in manifests:
        cells += _score_method(Path(manifest), settings)
        progress.step()
    if not cells:
        message = f"nothing was predicted that could be evaluated: {'; '.join(_reasons(manifests)) or 'no method ran'}"
        raise InputError(message)
    write_sheet(destination, pd.DataFrame(cells, columns=CELL_COLUMNS))


def _reasons(manifests: Sequence[str]) -> list[str]:
    """Why methods left something out, each reason once."""
    return sorted({reason for path in manifests for reason in json.loads(Path(path).read_text())["skipped"].values()})


def _score_method(manifest: Path, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    protocol, cohort, encoder, method = manifest.parent.parts[-4:]
    where = {"protocol": protocol, "cohort": cohort, "encoder": encoder, "method": method}
    cells = []
    for task, paths in _files_by_task(manifest).items():
        stored = [read_predictions(path) for path in paths]
        folds = [FoldRows(one.rows, one.notes) for one in stored]
        scored = score_cells(
            task,
            folds,
            resamples=settings["bootstrap"],
            confidence=settings["confidence"],
            seed=settings["seed"],
        )
        cells += [{**where, **cell, "predictions": str(manifest.parent / task)} for cell in scored]
    return cells


def _files_by_task(manifest: Path) -> dict[str, list[Path]]:
    tasks: dict[str, list[Path]] = {}
    written = json.loads(manifest.read_text())["written"]
    for name in sorted(written, key=lambda name: (len(name), name)):  # fold 2 before fold 10
        path = manifest.parent / name
        if not path.exists():
            message = f"{path}: gone, though {manifest} names it; delete the manifest and run again"
            raise InputError(message)
        tasks.setdefault(path.parent.name, []).append(path)
    return tasks


def make_results(
    metrics: Sequence[str], published: str, names: str, destination: str, config: Mapping[str, Any]
) -> None:
    """Join the scores of all protocols and cohorts with the published values.

    config: cohorts, encoders, protocols and methods as resolved (what comparisons need).
    """
    cells = pd.concat([read_numbers(path, NUMBERS) for path in metrics], ignore_index=True)

    def why_not(cell: Mapping[str, Any]) -> list[str]:
        return differences(
            config["cohorts"][cell["cohort"]],
            config["encoders"].get(cell["encoder"]),
            config["protocols"][cell["protocol"]],
            config["methods"][cell["method"]],
            cell["note"],
            name=cell["method"],
        )

    table = beside_published(cells, read_numbers(published, ["mean", "sd"]), read_text_sheet(names), why_not)
    write_sheet(destination, table[COLUMNS])


def make_main_table(
    results: str,
    names: str,
    task: str,
    stem: str,
    methods: Sequence[str],
    titles: Mapping[str, str],
    run: str,
) -> None:
    """Write ``<stem>.csv``, ``.md`` and ``.tex``: methods down, cohorts across.

    titles: the config's titles of cohorts; the others are shown by their published labels (``names``).
    """
    labels = read_text_sheet(names)
    shown = {kind: published_key(labels, kind, "title") for kind in ("cohort", "method")}
    table = main_table(read_numbers(results, NUMBERS), task, methods, {**shown["cohort"], **titles})
    table["method"] = [shown["method"].get(name, name) for name in table["method"]]
    caption = (
        f"{task.capitalize()}, run {run}: mean ± standard deviation over folds (ddof 1) and bootstrap interval over "
        "patients of each protocol, encoder and method. Published values, where shown, were obtained under another "
        "protocol: see comparable and why_not in results.csv."
    )
    write_sheet(f"{stem}.csv", table)
    write_text(f"{stem}.md", to_markdown(table, caption))
    write_text(f"{stem}.tex", to_latex(table, caption, Path(stem).name))
