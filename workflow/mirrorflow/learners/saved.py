"""A trained model from its files: predicts again what it predicted, and other units whose raw data are handed in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mirrorflow.config.modules import part_of
from mirrorflow.errors import InputError
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.learners.base import array_prefix
from mirrorflow.learners.inputs.clinical import COVARIATES
from mirrorflow.learners.inputs.site import site_columns
from mirrorflow.learners.inputs.vectors import RNA_SCALER
from mirrorflow.learners.registry import HEAD, MODEL
from mirrorflow.probes.covariates import CovariateEncoder
from mirrorflow.probes.pooling import pool
from mirrorflow.probes.task import Asked, Prediction
from mirrorflow.store.digest import digest
from mirrorflow.store.model_files import part_of_arrays, read_model

if TYPE_CHECKING:  # classical methods do without torch
    from mirrorflow.models.paired import PairedNetwork
    from mirrorflow.store.models import StoredModel
    from mirrorflow.training.bags import Bags


@dataclass(frozen=True)
class RawUnits:
    """Units as they come: bags of patch features, expression, the sheet's columns, as far as the model asks for them.

    expression [unit, gene] is unscaled, in the order of the model's genes (``SavedModel.genes``). slides [draw, unit,
    width]: slide vectors of the pretrained encoder (for adapted ones), or slide and RNA vectors (for a head).
    """

    frame: pd.DataFrame
    bags: "Bags | None" = None
    expression: np.ndarray | None = None
    vectors: np.ndarray | None = None


@dataclass(frozen=True)
class SavedModel:
    """Arrays and config of a model's files, and the folder they lie in."""

    folder: Path
    arrays: Mapping[str, np.ndarray]
    config: Mapping[str, Any]

    @property
    def genes(self) -> list[str]:
        """Ids of the genes that the model sees, in its order; none where it sees no RNA."""
        return list(self.config["inputs"].get("genes", ()))

    def predict(self, inputs: Any) -> Prediction:
        """Predict from inputs as the method's own inputs give them for evaluation units, or as :meth:`prepare` does.

        Vectors [draw, unit, feature] for heads and classical methods, units with bags for networks, units with
        slide vectors for adapted encoders.
        """
        return PREDICT[self.config["kind"]](self, inputs)

    def prepare(self, raw: RawUnits) -> Any:
        """Inputs of :meth:`predict` from raw data, by the scalers that lie with the model.

        Raises InputError naming what is missing, or another number of genes.
        """
        return PREPARE[self.config["inputs"]["kind"]](self, raw)

    def source(self) -> "PairedNetwork":
        """The pretrained network that the model stands on. Raises InputError where it is gone or another one."""
        return self.source_model().network

    def source_folder(self) -> Path:
        """Where the pretrained model lies that the model stands on. Raises InputError where the model does not say."""
        folder = self.config["inputs"].get("model_folder")
        if not folder:
            message = f"{self.folder}: does not say where its pretrained model lies; make embeddings and model again"
            raise InputError(message)
        return (self.folder / folder).resolve()

    def source_model(self) -> "StoredModel":
        """The pretrained model that the model stands on. Raises InputError where it is gone or another one."""
        from mirrorflow.store.models import load_model

        inputs, folder = self.config["inputs"], self.source_folder()
        stored = load_model(folder)
        wanted = inputs["model"] if "model" in inputs else inputs["embeddings"]["model"]
        if digest(stored.made_with) != wanted:
            message = f"{self.folder}: the pretrained model in {folder} is another than it was trained on; train again"
            raise InputError(message)
        return stored

    def fitted(self, what: str) -> dict[str, np.ndarray]:
        """Arrays of what was fitted to make the inputs (``RNA scaler``)."""
        return part_of_arrays(self.arrays, array_prefix(what))

    def scaled_genes(self, raw: RawUnits) -> np.ndarray:
        """Expression [unit, gene] float32, clipped, filled and scaled as for the training."""
        values = _needed(self, raw.expression, "expression")
        inputs, count = self.config["inputs"], len(self.genes)
        if values.shape[1] != count:
            message = f"{self.folder}: {values.shape[1]} genes, but the model sees {count}"
            raise InputError(message)
        unscaled = RnaScaler(np.zeros(count, np.float32), np.ones(count, np.float32), inputs["clip"])
        stored = self.fitted(RNA_SCALER)
        return (RnaScaler.from_arrays(stored) if stored else unscaled).transform(values)


def load_trained(folder: Path) -> SavedModel:
    """The model in ``folder``. Raises InputError when it is not there, not whole, or not trained on labels."""
    arrays, config = read_model(folder, "the rule that trains it")
    if config.get("kind") not in PREDICT:
        message = (
            f"{folder}: no model that was trained on labels (kind {config.get('kind')!r}, not {', '.join(PREDICT)})"
        )
        raise InputError(message)
    return SavedModel(folder, arrays, config)


def _needed(saved: SavedModel, given: Any, what: str) -> Any:
    if given is None:
        message = f"{saved.folder}: {saved.config['method']} needs {what} of the units; hand them in"
        raise InputError(message)
    return given


def _classical(saved: SavedModel, vectors: np.ndarray) -> Prediction:
    ends = saved.config.get("bin_ends_days")
    asked = Asked(len(saved.config.get("classes", ())), None if ends is None else np.array(ends))
    fitted = part_of("probes", saved.config["family"], "from_arrays")(part_of_arrays(saved.arrays, MODEL))
    return fitted.predict(vectors[0], asked)


def _head(saved: SavedModel, vectors: np.ndarray) -> Prediction:
    from mirrorflow.probes.linear_head import predict_head
    from mirrorflow.probes.objective import stored_readout

    epoch = saved.config["epoch"]
    logits = predict_head(part_of_arrays(saved.arrays, HEAD), vectors, epoch)
    return stored_readout({}, survival=saved.config["task"] == "survival").predict(logits, epoch)


def _network(saved: SavedModel, units: Any) -> Prediction:
    from mirrorflow.learners.network import predict_again

    return predict_again(saved.arrays, saved.config, units)


def _adapted(saved: SavedModel, units: Any) -> Prediction:
    from mirrorflow.learners.adapted import predict_again

    return predict_again(saved.arrays, saved.config, saved.source(), units)


PREDICT: dict[str, Callable[[SavedModel, Any], Prediction]] = {
    "classical": _classical,
    "head": _head,
    "network": _network,
    "adapted": _adapted,
}
"""How a kind of model predicts."""


def _no_vectors(saved: SavedModel, raw: RawUnits) -> np.ndarray:
    return np.zeros((1, len(raw.frame), 0))


def _pooled(saved: SavedModel, raw: RawUnits) -> np.ndarray:
    inputs, blocks = saved.config["inputs"], []
    if "slides" in inputs["inputs"]:
        bags = _needed(saved, raw.bags, "bags")
        blocks.append(np.stack([pool(bags[number], inputs["pooling"]) for number in range(len(bags))]))
    if "rna" in inputs["inputs"]:
        blocks.append(saved.scaled_genes(raw))
    return np.concatenate(blocks, axis=1)[None]


def _clinical(saved: SavedModel, raw: RawUnits) -> np.ndarray:
    encoder = CovariateEncoder.of_stored(saved.config["inputs"], saved.fitted(COVARIATES))
    return encoder.transform(raw.frame)[None]


def _site(saved: SavedModel, raw: RawUnits) -> np.ndarray:
    return site_columns(raw.frame, list(saved.config["inputs"]["sites"]))[None]


def _bags(saved: SavedModel, raw: RawUnits) -> Any:
    from mirrorflow.training.supervised import Units

    sees_rna = "rna" in saved.config["inputs"]["inputs"]
    genes = saved.scaled_genes(raw) if sees_rna else np.zeros((len(raw.frame), 0), np.float32)
    bags = _needed(saved, raw.bags, "bags") if "slides" in saved.config["inputs"]["inputs"] else None
    return Units(bags, genes)


def _embedded(saved: SavedModel, raw: RawUnits) -> np.ndarray:
    return _needed(saved, raw.vectors, "slide and RNA vectors of its pretrained model (rule embed)")


def _adapted_units(saved: SavedModel, raw: RawUnits) -> Any:
    from mirrorflow.training.adaptation import AdaptedUnits

    slides = _needed(saved, raw.vectors, "slide vectors of its pretrained model (rule embed_target)")
    return AdaptedUnits(slides, saved.scaled_genes(raw))


PREPARE: dict[str, Callable[[SavedModel, RawUnits], Any]] = {
    "none": _no_vectors,
    "pooled": _pooled,
    "clinical": _clinical,
    "site": _site,
    "bags": _bags,
    "embedded": _embedded,
    "adapted": _adapted_units,
}
"""How a kind of inputs is made of raw data."""
