"""Rule make_survival_field: methods over the cohorts of disease-specific survival, with pictures. No torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.config.resources import RESOURCES
from mirrorflow.evaluation.field import Drawn, best_and_last
from mirrorflow.evaluation.field_rows import Predicted, field_rows
from mirrorflow.evaluation.within_classes import columns_of, within_classes
from mirrorflow.figures.field import draw_field
from mirrorflow.figures.style import to_svg
from mirrorflow.learners.epochs import read_epochs
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.plan.records import hold_predictions
from mirrorflow.runtime.files import written_whole
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results.table_files import write_table
from mirrorflow.store.method_predictions import read_manifest, read_task
from mirrorflow.store.tables import read_cohort, read_numbers, read_text_sheet
from mirrorflow.tables.results import NUMBERS, titles_of
from mirrorflow.tables.survival_field import COLUMNS, MEAN, NO_SLIDES, as_table, caption, published_means, shown

ALL_DATA, TASK = "all", "survival"
PREDICTED = ["seed", "fold", "patient", "slide_id", "risk", "time_days", "event"]


@dataclass(frozen=True)
class Inputs:
    """Manifests of the methods; cohorts; results.csv."""

    manifests: list[Path]
    cohorts: list[Path]
    results: Path


@dataclass(frozen=True)
class Outputs:
    """The table, beside which .md and .tex lie; a folder of pictures, one a protocol and encoder."""

    csv: Path
    pictures: Path


@dataclass(frozen=True)
class Params:
    """Names of the cohorts and titles; methods in order; how resamples are drawn (bootstrap, confidence, seed) and what
    is compared with (reference); what the predictions are planned with.
    """

    cohorts: list[str]
    titles: Mapping[str, str]
    methods: list[str]
    settings: Mapping[str, Any]
    planned: list[Mapping[str, Any]]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Write the table and its pictures."""
    hold_predictions(params.planned)
    names, published = read_text_sheet(RESOURCES / "names.tsv"), RESOURCES / "published_results.csv"
    cells = read_numbers(inputs.results, NUMBERS)
    table = as_table(_rows(inputs, params, cells))
    table = published_means(table, read_numbers(published, ["mean", "sd"]), names, params.cohorts)
    titles = titles_of(names, "cohort", "method")
    titles["cohort"] = {**titles["cohort"], **params.titles}
    write_table(outputs.csv.with_suffix(""), table, caption(table), shown(table, titles, params.cohorts))
    draw_pictures(table, str(params.settings["reference"]), titles["method"], outputs.pictures)


def _rows(inputs: Inputs, params: Params, cells: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Over all cohorts, then cohort by cohort as results.csv has them; nothing of what that withholds, and no mean
    over cohorts where it withholds one.
    """
    how = Drawn(*(params.settings[key] for key in ("bootstrap", "confidence", "seed")))
    frames = {name: read_cohort(path)[0] for name, path in zip(params.cohorts, inputs.cohorts, strict=True)}
    labels = {name: dict(zip(frame["patient"], frame["label"], strict=True)) for name, frame in frames.items()}
    allowed = set(zip(cells["protocol"], cells["cohort"], strict=True))
    made = [PredictionsManifest.parse(path) for path in inputs.manifests]
    places = [place for place in made if _key(place) in allowed]
    read = {place: predicted(place, frames[place.cohort]) for place in places}
    for protocol in dict.fromkeys(place.protocol for place in places):
        mine = [place for place in places if place.protocol == protocol]
        withheld = [name for name in params.cohorts if (protocol, name) in set(map(_key, made)) - allowed]
        encoders = list(dict.fromkeys(place.encoder for place in mine if place.encoder != NO_SLIDES)) or [NO_SLIDES]
        for encoder in encoders:
            part = [place for place in mine if place.encoder in (encoder, NO_SLIDES)]
            field = {
                name: {one.method: found for one in part if one.cohort == name and (found := read[one]) is not None}
                for name in params.cohorts
                if (protocol, name) in allowed
            }
            named = {"protocol": protocol, "encoder": encoder}
            means = field_rows(field, params.methods, params.settings["reference"], how, withheld=withheld)
            yield from (named | row for row in means)
            within = {
                (name, method): columns_of(
                    within_classes(one.rows, labels[name], one.trained, place, how), how.confidence
                )
                for place, (name, methods) in enumerate(field.items())
                for method, one in methods.items()
            }
            yield from (named | row for row in _of_cohorts(cells, part, params.cohorts, within))


def _key(place: PredictionsManifest) -> tuple[str, str]:
    return place.protocol, place.cohort


def predicted(place: PredictionsManifest, cohort: pd.DataFrame) -> Predicted | None:
    """What a method predicted of all training data; None where that is no survival."""
    manifest = read_manifest(place.format())
    stored = read_task(manifest, TASK, cohort)
    parts = [one.rows[one.rows["setting"] == ALL_DATA] for one in stored]
    if not any(map(len, parts)):
        return None
    trained: dict[int, int | None] = {}
    for part, one in zip(parts, stored, strict=True):
        notes = [note for note in one.notes["settings"] if note["setting"] == ALL_DATA]
        if len(part) and notes:
            trained[int(part["fold"].iloc[0])] = notes[0].get("train_patients")
    rows = pd.concat(parts)[PREDICTED]
    return Predicted(rows, trained, manifest.why_without(TASK), *_epochs(manifest.models, rows))


def _epochs(models: Iterable[str], rows: pd.DataFrame) -> tuple[float, float]:
    """Of the best epoch of each fold, and what it adds to the last: means over folds, seeds averaged before; NaN where
    a model has no epochs written.
    """
    found: dict[int, list[tuple[float, float]]] = {}
    for folder in map(Path, models):
        task, setting, _, fold = folder.parts[-4:]
        if (task, setting) == (TASK, ALL_DATA):
            number = int(fold.removeprefix("fold"))
            mine = rows[rows["fold"] == number]
            found.setdefault(number, []).append(best_and_last(read_epochs(folder), mine))
    if set(found) != set(map(int, rows["fold"].unique())):
        return np.nan, np.nan
    best, last = np.mean([np.mean(one, axis=0) for one in found.values()], axis=0)
    return float(best), float(best - last)


def _of_cohorts(
    cells: pd.DataFrame,
    places: Sequence[PredictionsManifest],
    cohorts: Sequence[str],
    within: Mapping[tuple[str, str], Mapping[str, float]],
) -> Iterator[dict[str, object]]:
    wanted = cells[(cells["metric"] == "c_index") & (cells["setting"] == ALL_DATA) & cells["cohort"].isin(cohorts)]
    index = {
        tuple(row[key] for key in ("protocol", "cohort", "encoder", "method")): row for row in wanted.to_dict("records")
    }
    for place in places:
        found = index.get((place.protocol, place.cohort, place.encoder, place.method))
        if found is not None:
            kept = {str(key): value for key, value in found.items() if key in COLUMNS and key != "encoder"}
            own = within.get((place.cohort, place.method), {})
            yield {**kept, **own, "note": ""}


def draw_pictures(table: pd.DataFrame, reference: str, titles: Mapping[str, str], folder: Path) -> None:
    """An SVG a protocol and encoder, of methods that have a mean over all cohorts; none where fewer than two have."""
    folder.mkdir(parents=True, exist_ok=True)
    means = table[(table["cohort"] == MEAN) & table["mean"].notna() & table["rank_shares"].ne("")]
    for (protocol, encoder), rows in means.groupby(["protocol", "encoder"], sort=False):
        if len(rows) > 1:
            with written_whole(folder / f"{protocol}-{encoder}.svg") as temporary:
                temporary.write_bytes(to_svg(draw_field(rows, reference, titles)))
