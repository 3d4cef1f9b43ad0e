"""Rule map_embeddings: where slide and RNA vectors of evaluation patients lie, fold by fold; maps, and distances."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mirrorflow.cohorts.patients import to_units
from mirrorflow.cohorts.splits import Fold, left_out_said
from mirrorflow.config.resources import RESOURCES
from mirrorflow.errors import InputError
from mirrorflow.evaluation.bands import Resampling
from mirrorflow.evaluation.modalities import Vectors, length_one, less_than, measured
from mirrorflow.figures.modality_maps import MapPanel, draw_modality_maps, placed
from mirrorflow.learners.inputs.vectors import Embedded
from mirrorflow.plan.modalities import MapsFolder
from mirrorflow.plan.paths import EmbeddingsRecord
from mirrorflow.runtime.job import Job
from mirrorflow.steps.results.figure_files import Drawing, LeftOut, draw_all
from mirrorflow.steps.results.figure_tasks import FigureSpec, Task, left_out
from mirrorflow.store.embeddings import read_embeddings
from mirrorflow.store.models import load_model
from mirrorflow.store.tables import read_cohort, read_fold, read_text_sheet, write_sheet
from mirrorflow.tables.modality_gap import COLUMNS
from mirrorflow.tables.results import published_key

KIND = "embeddings"
VECTORS, ALIGNED = "vectors", "aligned"
REFERENCE = "tangle"
"""The method that MIRROR's distance is published against."""


@dataclass(frozen=True)
class Inputs:
    """The cohort, split files of the folds, and records of embeddings, one a pretrained method."""

    cohort: Path
    splits: list[Path]
    embeddings: list[Path]


@dataclass(frozen=True)
class Outputs:
    """A map a fold that is drawn; ``distances.csv``; captions in ``figures.json``."""

    folder: Path


@dataclass(frozen=True)
class Params:
    """The protocol; section ``explain.embeddings`` with a seed; how intervals are resampled."""

    protocol: Mapping[str, Any]
    settings: Mapping[str, Any]
    bands: Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """A method's vectors by space and fold, and what stands in their place, by fold, where there are none."""

    method: str
    spaces: Mapping[str, Mapping[int, Vectors]]
    missing: Mapping[int, str]
    trained_on: Mapping[int, int] = field(default_factory=dict)
    """By fold, how many evaluation units are left out, on whose patients it was trained, too."""


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Draw and measure."""
    torch.set_num_threads(job.threads)
    map_embeddings(inputs, params, outputs.folder)


def map_embeddings(files: Inputs, params: Params, folder: Path) -> list[Drawing | LeftOut]:
    """Write maps and distances into ``folder``; what cannot be had is listed with the reason."""
    place, how = MapsFolder.parse(folder), Resampling(**params.bands)
    units = to_units(read_cohort(files.cohort)[0], params.protocol["unit"]).set_index("unit")
    folds = [read_fold(path) for path in files.splits]
    found = [_found(record, folds, units) for record in files.embeddings]
    rows = [row for one in found for row in _distances(one, found, how)]
    write_sheet(folder / "distances.csv", pd.DataFrame(rows, columns=[name for name in COLUMNS if name not in PLACE]))
    drawn = range(len(folds))[: params.settings["folds"]]
    tasks = [Task(f"map_fold{fold}", KIND, partial(_map, found, fold, units, params.settings, place)) for fold in drawn]
    tasks += [
        left_out(f"{one.method}_fold{fold}", KIND, why)
        for one in found
        for fold, why in one.missing.items()
        if fold not in drawn
    ]
    return draw_all(tasks, place.cohort, folder, "map_embeddings")


PLACE = ("protocol", "cohort", "encoder")


def _found(record: Path, folds: Sequence[Fold], units: pd.DataFrame) -> Found:
    """Vectors of each fold's evaluation units, patients in the order of their names."""
    place, read = EmbeddingsRecord.parse(record), Embedded.of_records([str(record)], resampled=False)
    spaces: dict[str, dict[int, Vectors]] = {VECTORS: {}, ALIGNED: {}}
    missing: dict[int, str] = {}
    trained_on: dict[int, int] = {}
    for fold, split in enumerate(folds):
        key = (place.seed, fold)
        try:
            whole, trained_on[fold] = _vectors(Path(read.files[key]), fold, split, units)
            spaces[VECTORS][fold] = whole
            if (aligned := _aligned(whole, Path(read.models[key]))) is not None:
                spaces[ALIGNED][fold] = aligned
        except InputError as error:
            missing[fold] = str(error)
    return Found(place.method, spaces, missing, trained_on)


def _vectors(path: Path, fold: int, split: Fold, units: pd.DataFrame) -> tuple[Vectors, int]:
    """Of evaluation units on whose patients the fold was not trained, and how many others there are."""
    embeddings, evaluated = read_embeddings(path), set(split.val)
    patient = {name: str(units["patient"][name]) for name in embeddings.units}
    names = sorted((one for one in embeddings.units if patient[one] in evaluated), key=lambda one: (patient[one], one))
    asked, trained = len(names), set(split.train)
    names = [name for name in names if patient[name] not in trained]
    if asked and not names:
        message = f"{path}: fold {fold} was trained on the patients of all {asked} evaluation units"
        raise InputError(message)
    rows = [embeddings.units.index(name) for name in names]
    patients = [patient[name] for name in names]
    vectors = Vectors(fold, embeddings.slide_eval[0, rows], embeddings.rna_eval[0, rows], patients, len(split.train))
    return vectors, asked - len(names)


def _aligned(of: Vectors, model: Path) -> Vectors | None:
    """The vectors in the space in which InfoNCE compares them; None without one, or where lengths alone differ."""
    network = load_model(model).network
    with torch.inference_mode():
        slide, rna = network.align(torch.from_numpy(of.slide), torch.from_numpy(of.rna))
    aligned = Vectors(of.fold, slide.numpy(), rna.numpy(), of.patients, of.trained)
    both = ((aligned.slide, of.slide), (aligned.rna, of.rna))
    own = all(np.allclose(length_one(one), length_one(other), atol=1e-5) for one, other in both)
    return None if own or np.isnan(network.tau()) else aligned


def _distances(one: Found, every: Sequence[Found], how: Resampling) -> list[dict[str, Any]]:
    """Rows of distances.csv: a method's measures by space; beside TANGLE's, where the run has it."""
    rows = []
    reference = next((other for other in every if other.method == REFERENCE and other is not one), None)
    for space, by_fold in one.spaces.items():
        folds = list(by_fold.values())
        found = measured(folds, how) if folds else []
        theirs = (reference.spaces[space] or reference.spaces[VECTORS]) if reference is not None else {}
        if folds and set(theirs) == set(by_fold):
            found.append(less_than(folds, list(theirs.values()), how))
        rows += [{"method": one.method, "space": space} | _plain(asdict(row)) for row in found]
    return rows


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Six significant digits; the mean over folds has no fold."""
    numbers = {name: float(f"{row[name]:.6g}") for name in ("value", "low", "high", "by_chance")}
    return {**row, **numbers, "fold": "" if row["fold"] is None else row["fold"]}


def _map(
    found: Sequence[Found], fold: int, units: pd.DataFrame, settings: Mapping[str, Any], place: MapsFolder
) -> FigureSpec:
    """The fold's map: a panel a method. Raises InputError where no method has vectors of it."""
    there = [one for one in found if fold in one.spaces[VECTORS]]
    if not there:
        raise InputError("; ".join(f"{one.method}: {one.missing[fold]}" for one in found))
    titles = published_key(read_text_sheet(RESOURCES / "names.tsv"), "method", "title")
    said, groups = _groups(units)
    panels, tables = [], []
    for one in there:
        vectors = one.spaces[VECTORS][fold]
        both = np.concatenate([length_one(vectors.slide), length_one(vectors.rna)])
        places = placed(both, settings["neighbors"], settings["seed"])
        modality = ["slide"] * len(vectors.slide) + ["RNA"] * len(vectors.rna)
        group = [groups[patient] for patient in vectors.patients] * 2
        panels.append(MapPanel(titles.get(one.method, one.method), places, modality, group))
        tables.append(_points(one.method, list(vectors.patients) * 2, panels[-1]))
    title = f"{place.cohort} · {place.encoder} · {place.protocol} · fold {fold}"
    count = len(there[0].spaces[VECTORS][fold].slide)
    caption = _caption(count, fold, said, settings, place) + left_out_said(there[0].trained_on[fold])
    if left := [f"{one.method} ({one.missing[fold]})" for one in found if one not in there]:
        caption += f" Left out: {'; '.join(left)}."
    alt = f"Maps of {len(panels)} methods, {count} points a modality."
    return FigureSpec(draw_modality_maps(panels, title), title, alt, caption, pd.concat(tables, ignore_index=True))


def _caption(count: int, fold: int, colours: str, settings: Mapping[str, Any], place: MapsFolder) -> str:
    return (
        f"UMAP of slide and RNA vectors of {count} evaluation units of {place.cohort}, fold {fold}, protocol "
        f"{place.protocol}, encoder {place.encoder}, by models that were not trained on them: a panel a pretrained "
        f"method, fitted on all its points together (vectors at length 1, n_neighbors {settings['neighbors']} or "
        f"fewer, seed {settings['seed']}). Colours: {colours}; marks: modality. Distances between groups, their sizes "
        "and their density mean nothing on such a map, and nothing is measured on it; distances of the vectors "
        "themselves are in tables/modality_gap."
    )


def _groups(units: pd.DataFrame) -> tuple[str, dict[str, str]]:
    """What colours say, and the group of each patient: classes, or events where the cohort has no labels."""
    labels = units["label"].fillna("").astype(str)
    if labels.ne("").any():
        return "class", dict(zip(units["patient"], labels.where(labels.ne(""), "no label"), strict=True))
    event = units["event"].map({1.0: "had the event", 0.0: "censored"}).fillna("no outcome")
    return "event", dict(zip(units["patient"], event, strict=True))


def _points(method: str, patients: Sequence[str], panel: MapPanel) -> pd.DataFrame:
    places = [[float(f"{value:.5g}") for value in place] for place in panel.places]
    x, y = zip(*places, strict=True)
    return pd.DataFrame(
        {"method": method, "patient": patients, "modality": panel.modality, "group": panel.group, "x": x, "y": y}
    )
