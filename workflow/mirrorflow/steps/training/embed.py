"""Rule embed: the units of every fold through that fold's frozen encoders."""

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mirrorflow.cohorts.patients import PAIRED, to_units, who_has
from mirrorflow.config import versions
from mirrorflow.errors import InputError
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.learners.inputs.paired import load_paired, slide_files
from mirrorflow.learners.inputs.seen import expression_digest
from mirrorflow.plan.paths import EmbeddingsRecord
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.files import write_text
from mirrorflow.runtime.forks import run_each
from mirrorflow.runtime.job import Job
from mirrorflow.runtime.progress import Progress
from mirrorflow.steps.training.side_by_side import cores_of_calls
from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.digest import digest
from mirrorflow.store.embeddings import embeddings_are_finished, write_embeddings
from mirrorflow.store.models import load_model, model_digest
from mirrorflow.store.tables import read_cohort
from mirrorflow.training.embedding import EmbedSettings, embed

logger = logging.getLogger("mirrorflow.embedding")


@dataclass(frozen=True)
class Inputs:
    """The cohort, features and expression; genes and the pretrained model's record of each fold."""

    cohort: Path
    index: Path
    expression: Path
    genes: list[Path]
    models: list[Path]


@dataclass(frozen=True)
class Outputs:
    """The record; the embeddings of each fold lie beside it."""

    record: Path


@dataclass(frozen=True)
class Params:
    """Seed, folds, unit (slide or patient), settings."""

    seed: int
    folds: list[int]
    unit: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class EmbedFiles:
    """Index of the features, expression, manifest of the genes, and the model's folder."""

    index: Path
    expression: Path
    genes: Path
    model: Path


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Embed all units with the model of every fold; on a CPU folds side by side, a process and a core each."""
    units = to_units(who_has(read_cohort(inputs.cohort)[0], PAIRED), params.unit)
    models = [record.parent for record in inputs.models]
    place = EmbeddingsRecord.parse(outputs.record)
    made = [place.file(fold).path for fold in params.folds]
    cores = cores_of_calls(job, len(made))
    alone = cores.processes == 1
    bags = None if alone else _bags(units, inputs.index, params.settings)
    same = {"seed": params.seed, "threads": job.threads if alone else 1, "bags": bags}
    calls = []
    for fold, path, genes, model in zip(params.folds, made, inputs.genes, models, strict=True):
        files = EmbedFiles(inputs.index, inputs.expression, genes, model)
        calls.append(Call(embed_fold, (units, files, path, params.settings), same, f"fold {fold}"))
    progress = Progress("embed", len(calls), "folds")
    digests = run_each(calls, cores, lambda fold: progress.step(note=fold))
    record = {"embeddings": list(map(str, made)), "models": list(map(str, models)), "digests": digests}
    write_text(outputs.record, json.dumps(record))


def _bags(units: pd.DataFrame, index: Path, settings: Mapping[str, Any]) -> FeatureBags:
    """The units' bags, with what is worth keeping in memory: read once, and shared by the folds' processes."""
    bags = FeatureBags(slide_files(units, index)[0], EmbedSettings(**settings).cache_gb, units["unit"].tolist())
    bags.load(moments=False)
    return bags


def embed_fold(
    units: pd.DataFrame,
    files: EmbedFiles,
    destination: Path,
    settings: Mapping[str, Any],
    *,
    seed: int,
    threads: int,
    device: str = "auto",
    bags: FeatureBags | None = None,
) -> str:
    """Embed all ``units`` (training and evaluation) into ``destination``; the digest of what they are made of.

    ``settings``: draws and mode of :class:`EmbedSettings`; how many tokens a bag gives and what happens to
    a short one is what the model was trained with, unless said here. Valid embeddings are kept. ``bags``: of the units,
    where they have been read.

    Raises InputError when there is no finished model, or when genes or features are not the model's.
    """
    torch.set_num_threads(threads)
    paired = load_paired(units, files.index, files.expression, files.genes)
    made_with = {
        "version": versions.EMBED,
        "seed": seed,
        "model": model_digest(files.model),
        "data": paired.digests() | {"matrix": expression_digest(files.expression)},
        "settings": dict(settings),
    }
    if embeddings_are_finished(destination, made_with):
        logger.info("%s: made earlier from the same model and inputs; kept", destination)
        return digest(made_with)
    stored = load_model(files.model)
    _check_same_inputs(stored.made_with, paired.digests()["genes"], paired.patch_dim, files.genes)
    chosen = EmbedSettings.as_trained(stored.made_with["training"], settings)
    genes = RnaScaler.from_arrays(stored.rna_scaler).transform(paired.expression)
    bags = paired.bags(chosen.cache_gb) if bags is None else bags
    embeddings = embed(stored.network, bags, genes, paired.names, chosen, seed=seed, device=device)
    write_embeddings(destination, embeddings, made_with)
    logger.info("%s: %d units, %s", destination, len(paired.names), dataclasses.asdict(chosen))
    return digest(made_with)


def _check_same_inputs(made_with: Mapping[str, Any], genes: str, patch_dim: int, genes_manifest: Path) -> None:
    if made_with["data"]["genes"] != genes:
        message = f"{genes_manifest}: not the genes (or not the order) that the model was trained on"
        raise InputError(message)
    if made_with["model"]["patch_dim"] != patch_dim:
        message = f"features are {patch_dim} wide, the model takes {made_with['model']['patch_dim']}"
        raise InputError(message)
