"""What integrated gradients ask of a fold's model; the model of a pretrained method with the data of its units."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mirrorflow.errors import InputError
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.learners.differentiable import (
    Differentiable,
    of_head,
    random_head,
    random_pretrained,
    stored_head,
)
from mirrorflow.learners.explained import hold_prediction
from mirrorflow.learners.permuted import permuted_head
from mirrorflow.learners.saved import SavedModel
from mirrorflow.plan.paths import EmbeddingsRecord
from mirrorflow.probes.task import Targets, subtype_targets, survival_targets
from mirrorflow.reuse.embedding import pretraining_genes
from mirrorflow.store.embeddings import Embeddings, read_embeddings
from mirrorflow.store.expression import read_expression
from mirrorflow.training.gradients import Seen

RANDOM, PERMUTED = "weights drawn anew", "labels permuted"
MEAN, ZERO, SAMPLES = "training mean", "zero", "training patients"
BASELINES = (MEAN, ZERO, SAMPLES)


@dataclass(frozen=True)
class GeneFiles:
    """Where the data of the units lie; embeddings: records of a pretrained method; no index without slides."""

    expression: Path
    index: Path | None = None
    embeddings: Sequence[Path] = ()


@dataclass(frozen=True)
class Asked:
    """How a fold is asked: its saved model, its training units and those evaluated (columns of units), the task's
    settings (section ``explain.genes``).
    """

    saved: SavedModel
    training: pd.DataFrame
    evaluation: pd.DataFrame
    settings: Mapping[str, Any]

    @property
    def units(self) -> pd.DataFrame:
        """All of them."""
        return pd.concat([self.training, self.evaluation], ignore_index=True)

    def seeds(self, key: str = "nulls") -> Iterator[int]:
        """A seed for each model of no meaning, ``settings[key]`` of them: other ones in each fold."""
        for number in range(self.settings[key]):
            yield int(np.random.SeedSequence([self.saved.config["fold"], number]).generate_state(1)[0])

    @property
    def targets(self) -> Targets:
        """Outcomes of the training units, as the model was asked for them."""
        config, units = self.saved.config, self.training.reset_index(drop=True)
        if config["task"] == "subtyping":
            return subtype_targets(units, list(config["classes"]))
        return survival_targets(units, np.array([*config["bin_edges_days"], np.inf]))

    def drawn(self) -> list[str]:
        """Training units whose data are baselines, drawn by the fold's number."""
        names = sorted(self.training["unit"])
        rng = np.random.default_rng([self.saved.config["fold"], 0])
        count = min(self.settings["samples"], len(names))
        return sorted(rng.choice(names, count, replace=False).tolist())


class FoldModel(Protocol):
    """A fold's model and whom it is asked about."""

    @property
    def ids(self) -> list[str]:
        """Ids of the model's genes, in its order."""

    @property
    def model(self) -> Differentiable:
        """The model itself."""

    @property
    def said(self) -> str:
        """How bags are looked at, in words; empty where there is nothing to say."""

    def seen(self, unit: str) -> Seen:
        """What the model sees of a unit, along a path."""

    def whole(self, unit: str) -> Seen:
        """What its prediction rests on: the class that is asked about is predicted from it."""

    def baselines(self, unit: Seen) -> dict[str, list[Seen]]:
        """Kind of baseline -> where the paths to ``unit`` begin."""

    def nulls(self) -> Iterator[tuple[str, Differentiable]]:
        """Models of no meaning, each with its kind."""

    def hold(self, unit: str, stored: Mapping[str, Any]) -> None:
        """Raise InputError where the model does not give a unit's stored prediction."""


def expression_of(files: GeneFiles, units: pd.DataFrame, ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Unit -> unscaled expression [gene]."""
    patients = sorted(set(units["patient"]))
    values = read_expression(str(files.expression), patients=patients, genes=ids).values
    row = {name: number for number, name in enumerate(patients)}
    return {unit: values[row[patient]] for unit, patient in zip(units["unit"], units["patient"], strict=True)}


def tensor_of(values: np.ndarray) -> Tensor:
    """In float32."""
    return torch.tensor(np.asarray(values), dtype=torch.float32)


class HeadFold:
    """A head on stored vectors: the slide is its vector, the RNA goes through the pretrained encoder."""

    said = ""

    def __init__(self, asked: Asked, files: GeneFiles) -> None:
        self.asked, saved = asked, asked.saved
        source = saved.source_model()
        self.network, self.family = source.network.eval(), source.made_with.get("family", "mirror")
        self.ids = pretraining_genes(saved, source)
        scaler = RnaScaler.from_arrays(source.rna_scaler)
        raw = expression_of(files, asked.units, self.ids)
        self.genes = {unit: tensor_of(scaler.transform(row[None])[0]) for unit, row in raw.items()}
        self.zero = tensor_of(scaler.transform(np.zeros((1, len(self.ids)), np.float32))[0])
        self.path, self.stored = self._embeddings(files.embeddings)
        self.row = {name: number for number, name in enumerate(self.stored.units)}
        self.draw = (saved.config["epoch"] - 1) % len(self.stored.slide_eval)
        self.head = stored_head(saved.arrays)

    def _embeddings(self, records: Sequence[Path]) -> tuple[Path, Embeddings]:
        config = self.asked.saved.config
        for record in map(EmbeddingsRecord.parse, records):
            if record.seed == config["seed"]:
                path = Path(record.file(config["fold"]).format())
                return path, read_embeddings(path)
        message = f"{self.asked.saved.folder}: no embeddings of seed {config['seed']} among the rule's inputs"
        raise InputError(message)

    @property
    def model(self) -> Differentiable:
        """Encoder and head."""
        return of_head(self.head, self.network, self.asked.saved.config)

    def _slide(self, unit: str) -> Tensor:
        return tensor_of(self.stored.slide_eval[self.draw, self.row[unit]])[None]

    def seen(self, unit: str) -> Seen:
        """Its slide vector, its genes."""
        return Seen(self._slide(unit), self.genes[unit])

    def whole(self, unit: str) -> Seen:
        """The same."""
        return self.seen(unit)

    def baselines(self, unit: Seen) -> dict[str, list[Seen]]:
        """Means and samples of the fold's training units."""
        training = self.asked.training["unit"].tolist()
        slide = torch.stack([self._slide(name) for name in training]).mean(0)
        genes = torch.stack([self.genes[name] for name in training]).mean(0)
        return {
            MEAN: [Seen(slide, genes)],
            ZERO: [Seen(torch.zeros_like(slide), self.zero)],
            SAMPLES: [self.seen(name) for name in self.asked.drawn()],
        }

    def nulls(self) -> Iterator[tuple[str, Differentiable]]:
        """Encoder and head drawn anew; heads on the same vectors, trained on permuted labels."""
        config = self.asked.saved.config
        for seed in self.asked.seeds():
            network = random_pretrained(self.network, self.family, seed)
            yield RANDOM, of_head(random_head(self.head, seed), network, config)
        rows = [self.row[name] for name in self.asked.training["unit"]]
        train = np.concatenate([self.stored.slide[:, rows], self.stored.rna[:, rows]], axis=2)
        for seed in self.asked.seeds():
            yield PERMUTED, of_head(permuted_head(train, self.asked.targets, config, seed), self.network, config)

    def hold(self, unit: str, stored: Mapping[str, Any]) -> None:
        """Stored vectors give the prediction, and the encoder gives the RNA vector among them."""
        saved, number = self.asked.saved, self.row[unit]
        joined = self.stored.joined(draw=self.draw, evaluation=True)[number]
        hold_prediction(saved, saved.predict(joined[None, None]), stored, unit)
        with torch.no_grad():
            own = self.network.encode_rna(self.genes[unit][None])[0].numpy()
        kept = self.stored.rna_eval[self.draw % len(self.stored.rna_eval), number]
        if not np.allclose(own, kept, rtol=1e-2, atol=1e-2 * float(np.abs(kept).max())):
            message = f"{self.path}: has {unit} otherwise than its expression gives it now; delete it and run again"
            raise InputError(message)
