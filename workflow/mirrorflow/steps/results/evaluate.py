"""Rules evaluate and make_tables: from predictions files to results.csv and the main tables. No torch."""

import json
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.cohorts.splits import evaluated_part
from mirrorflow.config.protocols import SINGLE_CHANGE
from mirrorflow.errors import InputError
from mirrorflow.evaluation import Cell, FoldRows, score_method, training_outcomes, with_verdicts
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.runtime.files import write_text
from mirrorflow.runtime.progress import Progress
from mirrorflow.steps.audit.audit import is_withheld
from mirrorflow.store.method_predictions import read_manifest, read_task
from mirrorflow.store.tables import read_cohort, read_fold, read_numbers, read_text_sheet, write_sheet
from mirrorflow.tables.comparison import why_not_comparable
from mirrorflow.tables.further import MAIN_TITLES
from mirrorflow.tables.main import ABSENT_CLASSES, MAIN_METRICS, main_table
from mirrorflow.tables.render import to_latex, to_markdown
from mirrorflow.tables.results import CELL, COLUMNS, ESTIMATE, FURTHER, NUMBERS, beside_published, published_key

logger = logging.getLogger("mirrorflow.evaluation")

CELL_COLUMNS = [*CELL, *ESTIMATE, *FURTHER, "predictions"]


def evaluate(
    manifests: Sequence[str],
    cohort: str,
    splits: Sequence[str],
    destination: str,
    settings: Mapping[str, Any],
    *,
    audit: str = "",
    beside: Sequence[str] = (),
) -> None:
    """Score every method of a protocol and cohort from its predictions files.

    manifests: ``predictions/<protocol>/<cohort>/<encoder>/<method>/manifest.json``; cohort and splits: who the
    training patients are and how long they were followed (censoring weights); settings: bootstrap, confidence,
    seed, reference (the method that others are held against), label_smoothing (by method), strict.
    audit: the record of the protocol and cohort; one that claims to be honest and leaks gets no row. beside: manifests
    of the reference alone, where it was predicted under another cohort's name (an adapted one's target): no rows.
    """
    if audit and is_withheld(json.loads(Path(audit).read_text()), strict=settings["strict"]):
        logger.warning("%s: a leak under a claim of honesty; its numbers are withheld", audit)
        write_sheet(destination, pd.DataFrame(columns=CELL_COLUMNS))
        return
    frame, _ = read_cohort(cohort)
    train = training_patients(cohort, splits)
    progress = Progress("evaluate", len(manifests), "methods")
    cells: list[tuple[dict[str, str], Cell]] = []
    for manifest in manifests:
        cells += score_manifest(Path(manifest), frame, train, settings)
        progress.step()
    if not cells:
        message = f"nothing was predicted that could be evaluated: {'; '.join(_reasons(manifests)) or 'no method ran'}"
        raise InputError(message)
    others = [cell for manifest in beside for cell in score_manifest(Path(manifest), frame, train, settings)]
    rows = with_verdicts([*cells, *others], settings.get("reference", ""), settings["confidence"])
    if part := evaluated_part([read_fold(path) for path in splits]):
        rows = [{**row, "note": f"{row['note']}; {part}" if row["note"] else part} for row in rows]
    write_sheet(destination, pd.DataFrame(rows[: len(cells)], columns=CELL_COLUMNS))


def training_patients(cohort: str, splits: Sequence[str]) -> dict[int, pd.DataFrame]:
    """Outcomes of each fold's training patients, from the cohort and split files."""
    frame, _ = read_cohort(cohort)
    return {number: training_outcomes(frame, read_fold(path).train) for number, path in enumerate(splits)}


def _reasons(manifests: Sequence[str]) -> list[str]:
    """Why methods left something out, each reason once."""
    return sorted({reason for path in manifests for reason in read_manifest(path).skipped.values()})


def score_manifest(
    manifest: Path, frame: pd.DataFrame, train: Mapping[int, pd.DataFrame], settings: Mapping[str, Any]
) -> list[tuple[dict[str, str], Cell]]:
    """The cells of a method, each with what names it in the long table. frame: the cohort; train: by fold."""
    place = PredictionsManifest.parse(manifest)
    where = {name: getattr(place, name) for name in ("protocol", "cohort", "encoder", "method")}
    cells: list[tuple[dict[str, str], Cell]] = []
    written = read_manifest(manifest)
    for task in dict.fromkeys(name.split("/")[0] for name in written.names):
        stored = read_task(written, task, frame)
        folds = [FoldRows(one.rows, one.notes, train.get(int(one.rows["fold"].iloc[0]))) for one in stored]
        scored = score_method(
            task,
            folds,
            resamples=settings["bootstrap"],
            confidence=settings["confidence"],
            seed=settings["seed"],
            smoothing=settings.get("label_smoothing", {}).get(place.method, 0.0),
        )
        cells += [({**where, "predictions": str(manifest.parent / task)}, cell) for cell in scored]
    return cells


def make_results(
    metrics: Sequence[str], published: str, names: str, destination: str, config: Mapping[str, Any]
) -> None:
    """Join the scores of all protocols and cohorts with the published values.

    config: what comparisons need of it (:func:`mirrorflow.tables.compared.settings_compared`).
    """
    sheets = [read_numbers(path, NUMBERS) for path in metrics]
    whole = [sheet for sheet in sheets if len(sheet)]
    if not whole:  # every protocol's numbers are withheld
        write_sheet(destination, pd.DataFrame(columns=COLUMNS))
        return
    cells = pd.concat(whole, ignore_index=True)
    why_not = partial(why_not_comparable, config)
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

    titles: the config's titles of cohorts; the others are shown by their published labels (``names``). Protocols of
    single changes stand in the optimism table instead.
    """
    labels = read_text_sheet(names)
    shown = {kind: published_key(labels, kind, "title") for kind in ("cohort", "method")}
    numbers = read_numbers(results, NUMBERS)
    numbers = numbers[~numbers["protocol"].str.startswith(SINGLE_CHANGE)]
    table = main_table(numbers, task, methods, {**shown["cohort"], **titles})
    table["method"] = [shown["method"].get(name, name) for name in table["method"]]
    macro_f1 = f"Macro F1: {ABSENT_CLASSES}. " if "f1_macro" in MAIN_METRICS[task] else ""
    caption = (
        f"{MAIN_TITLES[task]}, run {run}: mean ± standard deviation over folds (ddof 1) and bootstrap interval over "
        f"patients of each protocol, encoder and method. {macro_f1}{_said_of(numbers)}In brackets: published values, "
        "suspect ones marked; whether the two may be compared: comparable and why_not in results.csv."
    )
    write_sheet(f"{stem}.csv", table)
    write_text(f"{stem}.md", to_markdown(table, caption))
    write_text(f"{stem}.tex", to_latex(table, caption, Path(stem).name))


def _said_of(results: pd.DataFrame) -> str:
    """What the verdicts of a table mean; empty without any."""
    names = sorted({name.split(" ")[0] for name in results["reference"] if name})
    if not names:
        return ""
    return (
        "Better, worse, not distinguishable (at this number of patients, or, where it says so, of resamples): against "
        f"{', '.join(names)} on the same patients, paired bootstrap, adjusted after Holm over the methods of a column. "
    )
