"""Rule make_optimism: what each published choice is worth, from the predictions of its protocol and of the base."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.config.resources import RESOURCES
from mirrorflow.evaluation import FoldRows, FoldScores, with_training
from mirrorflow.evaluation.optimism import single_change_effect
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.plan.records import hold_predictions
from mirrorflow.runtime.job import Job
from mirrorflow.runtime.progress import Progress
from mirrorflow.steps.results.table_files import write_table
from mirrorflow.store.method_predictions import read_checked, read_manifest
from mirrorflow.store.tables import read_cohort, read_text_sheet
from mirrorflow.tables.main import MAIN_METRICS
from mirrorflow.tables.optimism import COLUMNS, TOGETHER, optimism_table
from mirrorflow.tables.results import published_key


@dataclass(frozen=True)
class Inputs:
    """Manifests of the base's protocol and of those that are held against it, cohorts, and results.csv."""

    manifests: list[Path]
    cohorts: list[Path]
    results: Path


@dataclass(frozen=True)
class Outputs:
    """The table; .md and .tex lie beside it."""

    csv: Path


@dataclass(frozen=True)
class Params:
    """Names of the cohorts; change -> its protocol; base, protocols, titles, intervals: see :func:`make_optimism`."""

    cohorts: list[str]
    single_changes: Mapping[str, str]
    settings: Mapping[str, Any]
    planned: list[Mapping[str, Any]]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write the optimism table."""
    hold_predictions(params.planned)
    names, stem = RESOURCES / "names.tsv", outputs.csv.with_suffix("")
    cohorts = dict(zip(params.cohorts, inputs.cohorts, strict=True))
    make_optimism(inputs.manifests, cohorts, inputs.results, names, stem, params.single_changes, params.settings)


def make_optimism(
    manifests: Sequence[Path],
    cohorts: Mapping[str, Path],
    results: Path,
    names: Path,
    stem: Path,
    single_changes: Mapping[str, str],
    settings: Mapping[str, Any],
) -> None:
    """Write ``<stem>.csv`` (long), ``.md`` and ``.tex`` (changes across).

    manifests: of the base's protocol, of each single change's, and of all together; cohorts: name -> parquet, whose
    labels and outcomes count; single_changes: change -> its protocol,
    ``all together`` last; settings: base (the protocol), protocols (as resolved), titles (of cohorts), bootstrap,
    confidence, seed. What results.csv withholds of a protocol and cohort is withheld here as well.
    """
    shown = read_text_sheet(results)
    allowed = set(zip(shown["protocol"], shown["cohort"], strict=True))
    places = map(PredictionsManifest.parse, manifests)
    placed = {(one.protocol, one.cohort, one.encoder, one.method): one for one in places}
    base = settings["base"]
    mine = [where for where in placed if where[0] == base and (base, where[1]) in allowed]
    progress = Progress("optimism", len(mine) * len(single_changes), "comparisons")
    rows: list[dict[str, object]] = []
    for where in mine:
        for single_change, protocol in single_changes.items():
            other = placed.get((protocol, *where[1:]))
            if other is not None and (protocol, where[1]) in allowed:
                values = _values(single_change, base, protocol, settings["protocols"])
                frame, _ = read_cohort(cohorts[where[1]])
                found = _compare(placed[where], other, frame, settings)
                rows += [dict(zip(("cohort", "encoder", "method"), where[1:], strict=True)) | values | r for r in found]
            progress.step()
    table = pd.DataFrame(rows, columns=COLUMNS)
    titles = {**published_key(read_text_sheet(names), "cohort", "title"), **settings["titles"]}
    wide = optimism_table(table, titles, list(single_changes))
    caption = (
        f"What each published choice is worth: mean over folds under {base} with that change alone, less the mean "
        f"under {base} (column base), all training data, with the bootstrap interval of the difference on the same "
        f"resampled patients. Last column: every change together. Positive: the change makes the number look better."
    )
    write_table(stem, table, caption, wide)


def _values(
    single_change: str, base: str, protocol: str, protocols: Mapping[str, Mapping[str, Any]]
) -> dict[str, object]:
    """What the change changes, as text."""
    known = [] if single_change == TOGETHER else [single_change]
    values = [" ".join(str(protocols[name][key]) for key in known) for name in (base, protocol)]
    return {"change": single_change, "base_value": values[0], "change_value": values[1]}


def _compare(
    one: PredictionsManifest, other: PredictionsManifest, cohort: pd.DataFrame, settings: Mapping[str, Any]
) -> Iterator[dict[str, object]]:
    ours, theirs = _folds(one, cohort), _folds(other, cohort)
    for task, setting in ours:
        if (task, setting) not in theirs:
            continue
        parts = [with_training(side[task, setting]) for side in (ours, theirs)]
        sides = [[FoldScores(task, part).sample() for part in side] for side in parts]
        worth = single_change_effect(
            *sides, resamples=settings["bootstrap"], confidence=settings["confidence"], seed=settings["seed"]
        )
        for metric in MAIN_METRICS[task]:
            found = worth[metric]
            yield {
                "setting": setting,
                "task": task,
                "metric": metric,
                "base_mean": found.base_mean,
                "change_mean": found.single_change_mean,
                "worth": found.difference.mean,
                "ci_low": found.difference.ci_low,
                "ci_high": found.difference.ci_high,
                "p_value": found.difference.p_value,
                "pairing": found.pairing,
                "patients": found.patients,
            }


def _folds(manifest: PredictionsManifest, cohort: pd.DataFrame) -> dict[tuple[str, str], list[FoldRows]]:
    """Task and setting -> folds. Without training outcomes: the weighted metrics are not needed here."""
    parts: dict[tuple[str, str], list[FoldRows]] = {}
    written = read_manifest(manifest.path)
    for name in sorted(written.names):
        file, stored = manifest.file(name), read_checked(written, name, cohort)
        whole = FoldRows(stored.rows, stored.notes)
        for setting in dict.fromkeys(stored.rows["setting"]):
            parts.setdefault((file.task, setting), []).append(whole.of(setting))
    return parts
