"""Embeddings, predictions and models of a finished run as tables with ids, for other tools."""

import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.plan.model_paths import LabelledModel
from mirrorflow.plan.paths import EmbeddingsFile, SplitFile
from mirrorflow.reuse.left_behind import why_outdated
from mirrorflow.reuse.run_folder import FinishedRun
from mirrorflow.runtime.files import written_whole
from mirrorflow.store.anndata_package import anndata
from mirrorflow.store.method_predictions import read_task
from mirrorflow.store.model_files import read_model
from mirrorflow.store.tables import read_cohort, read_fold

logger = logging.getLogger("mirrorflow.reuse")

FORMATS = ("parquet", "csv", "h5ad")
TASKS = ("subtyping", "survival")

Table = tuple[str, pd.DataFrame, list[str]]
"""Name of a file, its rows, and the columns that are values; the others are ids and what is known."""


def export(run: FinishedRun, what: str, to: str, out: Path) -> list[Path]:
    """Write ``embeddings``, ``predictions`` or ``models`` of the run as ``parquet``, ``csv`` or ``h5ad`` below ``out``.

    Returns the files. Raises InputError for another word, a run without such things, h5ad of models, or without the
    package anndata.
    """
    if what not in EXPORTS or to not in FORMATS:
        said = f"export {what} --to {to}"
        message = f"{said}: there are {', '.join(EXPORTS)}, and the formats {', '.join(FORMATS)}"
        raise InputError(message)
    if to == "h5ad":
        if what == "models":
            message = "models are no table of units: export them --to parquet or csv (their weights go along)"
            raise InputError(message)
        anndata()
    written = [_write(table, out, to) for table in EXPORTS[what](run)]
    if not written:
        message = f"{run.folder}: no {what} in this run"
        raise InputError(message)
    return written + (copy_models(run, out) if what == "models" else [])


def embeddings(run: FinishedRun) -> Iterator[Table]:
    """A table a cohort, scope, encoder, method, seed and fold: units, their side of the fold, slide and RNA vectors.

    Vectors of evaluation mode; several draws are averaged. Embeddings that an earlier config left, of another model or
    other folds, are left out, which the log says.
    """
    from mirrorflow.store.embeddings import read_embeddings, stored_settings

    for path in sorted(run.folder.glob("*/*/embeddings/*/*/seed*/*/*.safetensors")):
        place = EmbeddingsFile.parse(path)
        if place.genes:
            continue  # of k-shot settings and of inner folds
        if why := why_outdated(run, place, stored_settings(path).get("model")):
            logger.warning("%s: these embeddings are left out, an earlier config left them: %s", path, why)
            continue
        found = read_embeddings(path)
        parts = {"slide": found.slide_eval.mean(0), "rna": found.rna_eval.mean(0)}
        values = {f"{kind}_{i}": array[:, i] for kind, array in parts.items() for i in range(array.shape[1])}
        ids = pd.DataFrame({"unit": list(found.units)}).merge(_owners(run, place), on="unit", how="left")
        facts: dict[str, Any] = {key: getattr(place, key) for key in ("encoder", "method", "seed", "fold")}
        whose = [place.cohort, place.scope, place.encoder, place.method, place.mode]
        name = "-".join(["embeddings", *whose, f"seed{place.seed}", f"fold{place.fold}"])
        yield name, ids.assign(**facts).join(pd.DataFrame(values)), list(values)


def _owners(run: FinishedRun, place: EmbeddingsFile) -> pd.DataFrame:
    """unit, patient, label, and ``side``: train, val or empty.

    A unit is a patient or a slide, as the scope says; a slide may be named as its patient, or as another.
    """
    home = place.cohort.split("--from--")[0]
    frame, _ = read_cohort(run.folder / f"cohort/{home}.parquet")
    split = SplitFile(str(run.folder), place.scope, home, "", place.fold).path
    fold = read_fold(split) if split.exists() else None
    sides = {} if fold is None else {name: side for side in ("train", "val") for name in getattr(fold, side)}
    people = frame.assign(unit=frame["patient"])
    slides = frame.explode("slide_ids").rename(columns={"slide_ids": "unit"}).dropna(subset="unit")
    parts = [slides, people] if place.scope.startswith("slide-") else [people, slides]
    kept = pd.concat(parts, ignore_index=True)[["unit", "patient", "label"]].drop_duplicates("unit")
    return kept.assign(side=kept["patient"].map(sides).fillna(""))


def predictions(run: FinishedRun) -> Iterator[Table]:
    """A table a task and cohort: a row an evaluated unit, protocol, method, setting, seed and fold."""
    for task in TASKS:
        parts: dict[str, list[pd.DataFrame]] = {}
        for place, manifest in run.manifests.items():
            frame, _ = run.cohort(place.cohort)
            facts = {key: getattr(place, key) for key in ("protocol", "cohort", "encoder", "method")}
            for fold in read_task(manifest, task, frame):
                rows = fold.rows.copy()
                for column, (key, value) in enumerate(facts.items()):
                    rows.insert(column, key, value)
                parts.setdefault(place.cohort, []).append(rows)
        for cohort, tables in parts.items():
            table = pd.concat(tables, ignore_index=True)
            values = [name for name in table if str(name).startswith(("prob_", "surv_")) or name == "risk"]
            yield f"predictions-{cohort}-{task}", table, list(map(str, values))


def models(run: FinishedRun) -> Iterator[Table]:
    """One table: a row an array of each model, with whose model it is, its shape, and the file that has its values."""
    rows = []
    for place in _models(run):
        arrays, config = read_model(place.folder, "the rule that trains it")
        facts = {name: getattr(place, name) for name in place.types if name != "root"}
        known = {key: config.get(key) for key in ("family", "kind", "epoch", "train_patients", "trained_on_patients")}
        file = str(place.folder.relative_to(run.folder) / "model.safetensors")
        for name, array in arrays.items():
            shape = "x".join(map(str, array.shape))
            rows.append({**facts, **known, "array": name, "shape": shape, "type": str(array.dtype), "file": file})
    if rows:
        yield "models", pd.DataFrame(rows), []


def _models(run: FinishedRun) -> list[LabelledModel]:
    paths = run.folder.glob("*/*/models/*/*/*/*/seed*/*/config.json")
    return sorted(replace(LabelledModel.parse(path), root=str(run.folder)) for path in paths)


def copy_models(run: FinishedRun, out: Path) -> list[Path]:
    """Every model's files, and those of the pretrained ones, at their places below ``out``, so that they load there."""
    copied = []
    for path in sorted(run.folder.glob("*/*/models/**/model.safetensors")):
        for name in ("model.safetensors", "config.json"):
            source = path.with_name(name)
            target = out / source.relative_to(run.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            copied.append(target)
    return copied


EXPORTS: dict[str, Callable[[FinishedRun], Iterator[Table]]] = {
    "embeddings": embeddings,
    "predictions": predictions,
    "models": models,
}
"""What can be exported."""


def _write(table: Table, out: Path, to: str) -> Path:
    name, frame, values = table
    path = out / f"{name}.{to}"
    with written_whole(path) as temporary:
        if to == "parquet":
            frame.to_parquet(temporary, index=False)
        elif to == "csv":
            frame.to_csv(temporary, index=False)
        else:
            _h5ad(frame, values).write_h5ad(temporary)
    return path


def _h5ad(frame: pd.DataFrame, values: list[str]) -> Any:
    """Values [row, column] with ids as ``obs``; rows are numbered where a unit has several."""
    key = "unit" if "unit" in frame else "patient"
    names = frame[key].astype(str)
    obs = frame.drop(columns=values).astype(object).where(frame.drop(columns=values).notna(), "").astype(str)
    obs.index = pd.Index(names if names.is_unique else [f"{name}/{row}" for row, name in enumerate(names)])
    array = frame[values].to_numpy(np.float64)
    return anndata().AnnData(X=array, obs=obs, var=pd.DataFrame(index=pd.Index(values)))
