"""Embed a cohort's units with one fold's pretrained encoders."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mirrorflow.config import versions
from mirrorflow.errors import InputError
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.learners.inputs.paired import load_paired
from mirrorflow.learners.inputs.seen import expression_digest
from mirrorflow.store.embeddings import embeddings_are_finished, write_embeddings
from mirrorflow.store.models import load_model, model_digest
from mirrorflow.training.embedding import EmbedSettings, embed

logger = logging.getLogger("mirrorflow.embedding")


def embed_fold(
    units: pd.DataFrame,
    features_index: Path,
    expression: Path,
    genes_manifest: Path,
    model_folder: Path,
    destination: Path,
    settings: Mapping[str, Any],
    *,
    seed: int,
    threads: int,
    device: str = "auto",
) -> None:
    """Embed all ``units`` (training and evaluation) and write them to ``destination``.

    ``settings``: draws and mode of :class:`EmbedSettings`; how many tokens a bag gives and what happens to
    a short one is what the model was trained with, unless said here. Valid embeddings are kept.

    Raises InputError when there is no finished model, or when genes or features are not the model's.
    """
    torch.set_num_threads(threads)
    paired = load_paired(units, features_index, expression, genes_manifest)
    made_with = {
        "version": versions.EMBED,
        "seed": seed,
        "model": model_digest(model_folder),
        "data": paired.digests() | {"matrix": expression_digest(expression)},
        "settings": dict(settings),
    }
    if embeddings_are_finished(destination, made_with):
        logger.info("%s: made earlier from the same model and inputs; kept", destination)
        return
    stored = load_model(model_folder)
    _check_same_inputs(stored.made_with, paired.digests()["genes"], paired.patch_dim, genes_manifest)
    chosen = EmbedSettings.as_trained(stored.made_with["training"], settings)
    genes = RnaScaler.from_arrays(stored.rna_scaler).transform(paired.expression)
    bags = paired.bags(chosen.cache_gb)
    embeddings = embed(stored.network, bags, genes, paired.names, chosen, seed=seed, device=device)
    write_embeddings(destination, embeddings, made_with)
    logger.info("%s: %d units, %s", destination, len(paired.names), dataclasses.asdict(chosen))


def _check_same_inputs(made_with: Mapping[str, Any], genes: str, patch_dim: int, genes_manifest: Path) -> None:
    if made_with["data"]["genes"] != genes:
        message = f"{genes_manifest}: not the genes (or not the order) that the model was trained on"
        raise InputError(message)
    if made_with["model"]["patch_dim"] != patch_dim:
        message = f"features are {patch_dim} wide, the model takes {made_with['model']['patch_dim']}"
        raise InputError(message)
