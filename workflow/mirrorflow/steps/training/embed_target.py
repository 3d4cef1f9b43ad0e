"""Rule embed_target: a cohort's slides through the frozen slide encoder of another cohort's model."""

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
from mirrorflow.learners.inputs.paired import slide_files
from mirrorflow.plan.paths import EmbeddingsRecord, ModelRecord
from mirrorflow.runtime.files import write_text
from mirrorflow.runtime.job import Job
from mirrorflow.store.bags import FeatureBags, features_fingerprint
from mirrorflow.store.digest import digest, slides_digest
from mirrorflow.store.embeddings import embeddings_are_finished, write_embeddings
from mirrorflow.store.models import load_model, model_digest
from mirrorflow.store.tables import read_cohort
from mirrorflow.training.embedding import EmbedSettings, embed

logger = logging.getLogger("mirrorflow.embedding")


@dataclass(frozen=True)
class Inputs:
    """The target's cohort and features; the record of the source's model of each fold."""

    cohort: Path
    index: Path
    models: list[Path]


@dataclass(frozen=True)
class Outputs:
    """The record; the embeddings of each fold lie beside it."""

    record: Path


@dataclass(frozen=True)
class Params:
    """Seed, unit (slide or patient), draws and mode."""

    seed: int
    unit: str
    settings: Mapping[str, Any]


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Embed the target's slides with the source's model of every fold."""
    units = to_units(who_has(read_cohort(inputs.cohort)[0], PAIRED), params.unit)
    place, models = EmbeddingsRecord.parse(outputs.record), [ModelRecord.parse(path) for path in inputs.models]
    made, settings = [place.file(model.fold).path for model in models], params.settings
    digests = [
        embed_target_fold(units, inputs.index, model.folder, path, settings, seed=params.seed, threads=job.threads)
        for path, model in zip(made, models, strict=True)
    ]
    write_text(outputs.record, json.dumps({"embeddings": list(map(str, made)), "digests": digests}))


def embed_target_fold(
    units: pd.DataFrame,
    features_index: Path,
    model_folder: Path,
    destination: Path,
    settings: Mapping[str, Any],
    *,
    seed: int,
    threads: int,
    device: str = "auto",
) -> str:
    """Embed the slides of all ``units`` (training and evaluation) with the model of one fold of the source; the digest
    of what they are made of.

    ``settings``: draws and mode of :class:`EmbedSettings`; tokens, short bags and patch scaling are the model's. RNA
    vectors have width 0: the target's genes have no embedding yet. Valid embeddings are kept.

    Raises InputError when there is no finished model, or when the features are not as wide as the model's.
    """
    torch.set_num_threads(threads)
    files, patch_dim = slide_files(units, features_index)
    made_with = {
        "version": versions.EMBED,
        "seed": seed,
        "model": model_digest(model_folder),
        "data": {
            "units": digest({"names": units["unit"].tolist()}),
            "features": features_fingerprint([path for paths in files for path in paths]),
            **slides_digest(files),
        },
        "settings": dict(settings),
        "slides_only": True,
    }
    if embeddings_are_finished(destination, made_with):
        logger.info("%s: made earlier from the same model and features; kept", destination)
        return digest(made_with)
    stored = load_model(model_folder)
    wanted = stored.made_with["model"]["patch_dim"]
    if patch_dim != wanted:
        message = (
            f"{features_index}: features are {patch_dim} wide, but {model_folder} was pretrained on {wanted}: make the "
            "features of both cohorts with the same encoder"
        )
        raise InputError(message)
    chosen = EmbedSettings.as_trained(stored.made_with["training"], settings)
    names = units["unit"].tolist()
    bags = FeatureBags(files, chosen.cache_gb, names)
    write_embeddings(destination, embed(stored.network, bags, None, names, chosen, seed=seed, device=device), made_with)
    logger.info("%s: slides of %d units", destination, len(names))
    return digest(made_with)
