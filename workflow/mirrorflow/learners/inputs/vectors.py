"""Where a method's vectors come from: frozen embeddings of a pretrained model, or pooled features and genes."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mirrorflow.cohorts.splits import Fold
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.learners.base import Recipe
from mirrorflow.learners.inputs.seen import EXPRESSION, FEATURES, expression_digest, features_digest
from mirrorflow.plan.paths import EmbeddingsFile, EmbeddingsRecord, ModelRecord
from mirrorflow.probes.pooling import pool
from mirrorflow.store.digest import digest, file_digest, patients_digest
from mirrorflow.store.expression import read_expression
from mirrorflow.store.features import read_features
from mirrorflow.store.tables import read_text_sheet

logger = logging.getLogger("mirrorflow.predict")


@dataclass(frozen=True)
class FoldVectors:
    """Vectors [draw, unit, feature] of the training and the evaluation units of one fold task."""

    train: np.ndarray
    evaluation: np.ndarray
    fitted: Mapping[str, str] = field(default_factory=dict)
    """What was fitted to make them (``RNA scaler``) -> digest of the patients it was fitted on."""
    recipe: Recipe = field(default_factory=Recipe)
    """How they are made of other units' data."""


class Representation(Protocol):
    """Inputs of a method per fold: fixed vectors, or bags. ``digest`` names what a fold's inputs are made from."""

    def digest(self, fold_number: int) -> str:
        """Digest of everything the vectors of a fold depend on."""

    def vectors(self, fold: Fold, fold_number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame) -> Any:
        """Vectors of the given units (:class:`FoldVectors`), or bags for a supervised method.

        Anything fitted is fitted on ``fold.train`` only; ``fitted`` of what is returned says on which patients it was.
        """


class NoInputs:
    """No vectors: for methods that look at the targets alone."""

    def digest(self, fold_number: int) -> str:
        """The same for every fold."""
        return "nothing"

    def vectors(
        self, fold: Fold, fold_number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame
    ) -> FoldVectors:
        """Vectors of width 0."""
        recipe = Recipe({"kind": "none"})
        return FoldVectors(np.zeros((1, len(train), 0)), np.zeros((1, len(evaluation), 0)), recipe=recipe)


@dataclass
class PooledInputs:
    """Pooled slide features and scaled genes, side by side, as ``inputs`` says.

    ``genes`` are the manifests of the folds; genes are scaled by the patients of ``fold.train`` (all of them:
    scaling sees no label).
    """

    units: pd.DataFrame
    inputs: Sequence[str]
    pooling: str
    index: str | None
    expression: str | None
    genes: Sequence[str]
    rna_scaling: str
    clip: float | None
    _pooled: dict[str, np.ndarray] = field(default_factory=dict)
    _features: list[str] = field(default_factory=list)
    """Their digest, once it is known."""
    _scaled: dict[int, "ScaledGenes"] = field(default_factory=dict)
    """Of the fold that was asked for last."""

    def with_genes(self, genes: Sequence[str]) -> "PooledInputs":
        """The same inputs with other genes; pooled slides are shared."""
        return replace(self, genes=genes, _scaled={})

    def digest(self, fold_number: int) -> str:
        """From the features and their index, the expression file's settings and the fold's genes."""
        parts: dict[str, Any] = {"inputs": list(self.inputs), "pooling": self.pooling}
        if "slides" in self.inputs:
            parts |= {"index": file_digest(str(self.index)), FEATURES: self._features_digest()}
        if "rna" in self.inputs:
            parts["expression"] = file_digest(f"{self.expression}.json")
            parts["genes"] = file_digest(self.genes[fold_number])
            parts["scaling"] = [self.rna_scaling, self.clip]
        return digest(parts)

    def seen(self, fold_number: int) -> dict[str, str]:
        """Digests of the features and the expression matrix, as far as they are inputs."""
        found = {FEATURES: self._features_digest()} if "slides" in self.inputs else {}
        return found | ({EXPRESSION: expression_digest(str(self.expression))} if "rna" in self.inputs else {})

    def _features_digest(self) -> str:
        if not self._features:
            self._features.append(features_digest(self.units, str(self.index)))
        return self._features[0]

    def vectors(
        self, fold: Fold, fold_number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame
    ) -> FoldVectors:
        """Pooled bags and genes of the units, concatenated."""
        blocks = []
        fitted: Mapping[str, str] = {}
        settings: dict[str, Any] = {"kind": "pooled", "inputs": list(self.inputs), "pooling": self.pooling}
        arrays: Mapping[str, Any] = {}
        if "slides" in self.inputs:
            blocks.append([self._slides(part) for part in (train, evaluation)])
        if "rna" in self.inputs:
            scaled = self._genes(fold, fold_number)
            blocks.append([scaled.of(part) for part in (train, evaluation)])
            fitted, arrays = scaled.fitted, scaled.arrays
            settings |= {"rna_scaling": self.rna_scaling, "clip": self.clip, "genes": self.gene_ids(fold_number)}
        sides = [np.concatenate(parts, axis=1)[None] for parts in zip(*blocks, strict=True)]
        return FoldVectors(sides[0], sides[1], fitted, Recipe(settings, arrays))

    def gene_ids(self, fold_number: int) -> list[str]:
        """The genes of the fold's manifest, in its order."""
        return read_text_sheet(self.genes[fold_number])["id"].tolist()

    def _slides(self, units: pd.DataFrame) -> np.ndarray:
        if not self._pooled:
            paths = read_text_sheet(str(self.index)).set_index("slide_id")["path"]
            for name, slide_ids in zip(self.units["unit"], self.units["slide_ids"], strict=True):
                bag = np.concatenate([read_features(Path(paths[slide]))[0] for slide in slide_ids])
                self._pooled[name] = pool(bag, self.pooling)
        return np.stack([self._pooled[name] for name in units["unit"]])

    def _genes(self, fold: Fold, fold_number: int) -> "ScaledGenes":
        if fold_number not in self._scaled:
            self._scaled = {fold_number: self._scale(fold, fold_number)}
        return self._scaled[fold_number]

    def _scale(self, fold: Fold, fold_number: int) -> "ScaledGenes":
        patients = sorted(set(self.units["patient"]))
        values = read_expression(str(self.expression), patients=patients, genes=self.gene_ids(fold_number)).values
        row = {patient: number for number, patient in enumerate(patients)}
        known = [patient for patient in fold.train if patient in row]
        scaler = RnaScaler.fit(values[[row[patient] for patient in known]], scaling=self.rna_scaling, clip=self.clip)
        if told := scaler.said(f"{self.expression}, fold {fold_number}"):
            logger.warning("%s", told)
        if self.rna_scaling != "train":  # nothing was fitted
            return ScaledGenes(row, scaler.transform(values), {}, {})
        arrays = {RNA_SCALER: scaler.to_arrays()}
        return ScaledGenes(row, scaler.transform(values), {RNA_SCALER: patients_digest(known)}, arrays)


RNA_SCALER = "RNA scaler"


@dataclass(frozen=True)
class ScaledGenes:
    """Scaled genes [patient, gene] of a cohort, the row of each patient, and the patients the scaling was fitted on.

    arrays: the scaler, as :class:`~mirrorflow.learners.base.Recipe` has it.
    """

    row: Mapping[str, int]
    values: np.ndarray
    fitted: Mapping[str, str]
    arrays: Mapping[str, Mapping[str, np.ndarray]]

    def of(self, units: pd.DataFrame) -> np.ndarray:
        """Genes [unit, gene] of the units' patients."""
        return self.values[[self.row[patient] for patient in units["patient"]]]


@dataclass
class Embedded:
    """Frozen embeddings of a pretrained model: slide and RNA vectors side by side (MIRROR, Sec. III-F)."""

    files: Mapping[tuple[int, int], str]
    """(seed, fold) -> embeddings file."""
    resampled: bool = False
    models: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """(seed, fold) -> folder of the pretrained model, where the record names it."""
    _open: dict[tuple[int, int], Any] = field(default_factory=dict)

    @classmethod
    def of_records(cls, records: Iterable[str], *, resampled: bool) -> "Embedded":
        """From the records that rule embed leaves, one a seed; what they name lies in the run that they lie in now."""
        files: dict[tuple[int, int], str] = {}
        models: dict[tuple[int, int], str] = {}
        for record in records:
            content, root = json.loads(Path(record).read_text()), EmbeddingsRecord.parse(record).root
            paths = [EmbeddingsFile.moved(path, root) for path in content["embeddings"]]
            made = [EmbeddingsFile.parse(path) for path in paths]
            files |= {(file.seed, file.fold): path for file, path in zip(made, paths, strict=True)}
            if "models" in content:
                moved = [str(Path(ModelRecord.moved(f"{path}/done.json", root)).parent) for path in content["models"]]
                models |= {(file.seed, file.fold): path for file, path in zip(made, moved, strict=True)}
        return cls(files, resampled, models)

    def digest(self, fold_number: int) -> str:
        """From what the fold's embeddings files say they were made from."""
        from mirrorflow.store.embeddings import stored_digest

        return digest(
            {f"{key}": stored_digest(Path(path)) for key, path in self.files.items() if key[1] == fold_number}
        )

    def seen(self, fold_number: int) -> dict[str, str]:
        """Digests of the features and the expression matrix that were embedded."""
        from mirrorflow.store.embeddings import stored_data

        path = next(path for key, path in self.files.items() if key[1] == fold_number)
        data = stored_data(Path(path))
        return {name: data[key] for name, key in ((FEATURES, "features"), (EXPRESSION, "matrix")) if key in data}

    def vectors(
        self, fold: Fold, fold_number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame
    ) -> FoldVectors:
        """Embeddings of the units; with ``resampled``, training ones with dropout, one draw per epoch."""
        from mirrorflow.store.embeddings import read_embeddings

        key = (seed, fold_number)
        if key not in self._open:
            self._open = {key: read_embeddings(Path(self.files[key]))}
        embeddings = self._open[key]
        row = {name: number for number, name in enumerate(embeddings.units)}
        rows = [[row[name] for name in part["unit"]] for part in (train, evaluation)]
        both = np.concatenate([embeddings.slide[:, rows[0]], embeddings.rna[:, rows[0]]], axis=2)
        slide, rna = embeddings.slide, embeddings.rna
        if self.resampled:
            slide, rna = embeddings.slide_eval, embeddings.rna_eval
        recipe = Recipe({"kind": "embedded", **self.made_with(seed, fold_number)})
        return FoldVectors(both, np.concatenate([slide[:, rows[1]], rna[:, rows[1]]], axis=2), recipe=recipe)

    def made_with(self, seed: int, fold_number: int) -> dict[str, Any]:
        """What the embeddings of a fold were made with: settings, digests, and the model's folder."""
        from mirrorflow.store.embeddings import stored_settings

        key = (seed, fold_number)
        settings = stored_settings(Path(self.files[key]))
        return {"resampled": self.resampled, "embeddings": settings, "model_folder": self.models.get(key)}
