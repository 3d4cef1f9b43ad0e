"""Slide and RNA vectors of new units by the pretrained network that a head stands on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mirrorflow.errors import InputError
from mirrorflow.learners.saved import SavedModel
from mirrorflow.plan.paths import GeneManifest, ModelRecord
from mirrorflow.store.digest import names_digest
from mirrorflow.store.models import StoredModel
from mirrorflow.store.tables import read_text_sheet
from mirrorflow.training.bags import Bags
from mirrorflow.training.devices import choose_device
from mirrorflow.training.embedding import Embedder, EmbedSettings, embed


def pretraining_genes(saved: SavedModel, stored: StoredModel) -> list[str]:
    """Ids of the genes of the pretrained model, in the order of its inputs.

    Raises InputError where the run's list of them is gone or another one.
    """
    place = ModelRecord.parse(saved.source_folder() / "done.json")
    lists = [
        GeneManifest(place.root, place.scope, place.cohort, variant, place.genes, place.fold).path
        for variant in (f"{place.method}/", "")
    ]
    path = next((one for one in lists if one.exists()), lists[-1])
    genes = read_text_sheet(path)["id"].tolist()
    if names_digest(genes) != stored.made_with["data"]["genes"]:
        message = f"{path}: not the genes that {place.folder} was trained on; run snakemake again"
        raise InputError(message)
    return genes


def embed_new(
    saved: SavedModel, stored: StoredModel, bags: Bags, genes: np.ndarray | None, names: Sequence[str]
) -> np.ndarray:
    """Vectors [draw, unit, width] of new units, drawn as those of the run's evaluation units were.

    genes: scaled [unit, gene]; None: slides alone. A unit's bag follows from its name, whoever else is there.
    """
    inputs = saved.config["inputs"]
    made: Mapping[str, Any] = inputs["embeddings"]
    settings = EmbedSettings.as_trained(stored.made_with["training"], made["settings"])
    if settings.mode == "frozen":
        found = embed(stored.network, bags, genes, names, settings, seed=made["seed"])
        slide, rna = found.slide_eval, found.rna_eval
    else:
        device = choose_device("auto")
        embedder = Embedder(stored.network, bags, genes, names, settings, made["seed"], device)
        slide, rna = embedder.draws(training=False)
        stored.network.eval()
    return np.concatenate([slide, rna], axis=2) if genes is not None else slide


def source_of(saved: SavedModel, kept: dict[Path, StoredModel]) -> StoredModel:
    """The pretrained model that a head stands on, read once."""
    folder = saved.source_folder()
    if folder not in kept:
        kept[folder] = saved.source_model()
    return kept[folder]
