"""A fold's model with the data of its units, as integrated gradients take them; baselines, models of no meaning."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
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
    of_network,
    random_head,
    random_network,
    random_pretrained,
    stored_head,
    stored_network,
)
from mirrorflow.learners.explained import hold_prediction
from mirrorflow.learners.inputs.bagged import PATCH_SCALER, bag_files
from mirrorflow.learners.network import evaluation_tokens
from mirrorflow.learners.permuted import permuted_head, permuted_network
from mirrorflow.learners.saved import RawUnits, SavedModel
from mirrorflow.plan.paths import EmbeddingsRecord
from mirrorflow.probes.task import Targets, subtype_targets, survival_targets
from mirrorflow.reuse.embedding import pretraining_genes
from mirrorflow.steps.prototypes.slide_tiles import tokens_of
from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.embeddings import Embeddings, read_embeddings
from mirrorflow.store.expression import read_expression
from mirrorflow.training.bags import SomeBags
from mirrorflow.training.gradients import Seen
from mirrorflow.training.supervised import Units

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

    @property
    def seeds(self) -> Iterator[int]:
        """A seed for each model of no meaning that costs little."""
        return iter(range(1, self.settings["nulls"] + 1))

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

    def seen(self, unit: str) -> Seen:
        """What the model sees of a unit."""

    def baselines(self, unit: Seen) -> dict[str, list[Seen]]:
        """Kind of baseline -> where the paths to ``unit`` begin."""

    def nulls(self) -> Iterator[tuple[str, Differentiable]]:
        """Models of no meaning, each with its kind."""

    def hold(self, unit: str, stored: Mapping[str, Any]) -> None:
        """Raise InputError where the model does not give a unit's stored prediction."""


def fold_model(asked: Asked, files: GeneFiles) -> FoldModel:
    """By the kind of the saved model. Raises InputError for a kind without a network, or without genes."""
    kind = asked.saved.config["kind"]
    if kind == "head":
        return HeadFold(asked, files)
    if kind == "network" and asked.saved.genes:
        return NetworkFold(asked, files)
    message = f"{asked.saved.folder}: a model of kind {kind} has no network over genes"
    raise InputError(message)


def _expression(files: GeneFiles, units: pd.DataFrame, ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Unit -> unscaled expression [gene]."""
    patients = sorted(set(units["patient"]))
    values = read_expression(str(files.expression), patients=patients, genes=ids).values
    row = {name: number for number, name in enumerate(patients)}
    return {unit: values[row[patient]] for unit, patient in zip(units["unit"], units["patient"], strict=True)}


def _tensor(values: np.ndarray) -> Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)


class HeadFold:
    """A head on stored vectors: the slide is its vector, the RNA goes through the pretrained encoder."""

    def __init__(self, asked: Asked, files: GeneFiles) -> None:
        self.asked, saved = asked, asked.saved
        source = saved.source_model()
        self.network, self.family = source.network.eval(), source.made_with.get("family", "mirror")
        self.ids = pretraining_genes(saved, source)
        scaler = RnaScaler.from_arrays(source.rna_scaler)
        raw = _expression(files, asked.units, self.ids)
        self.genes = {unit: _tensor(scaler.transform(row[None])[0]) for unit, row in raw.items()}
        self.zero = _tensor(scaler.transform(np.zeros((1, len(self.ids)), np.float32))[0])
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
        return _tensor(self.stored.slide_eval[self.draw, self.row[unit]])[None]

    def seen(self, unit: str) -> Seen:
        """Its slide vector, its genes."""
        return Seen(self._slide(unit), self.genes[unit])

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
        for seed in self.asked.seeds:
            network = random_pretrained(self.network, self.family, seed)
            yield RANDOM, of_head(random_head(self.head, seed), network, config)
        rows = [self.row[name] for name in self.asked.training["unit"]]
        train = np.concatenate([self.stored.slide[:, rows], self.stored.rna[:, rows]], axis=2)
        for seed in self.asked.seeds:
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


class NetworkFold:
    """A network trained on labels: patches of the bag, if it sees slides, and genes."""

    def __init__(self, asked: Asked, files: GeneFiles) -> None:
        self.asked, saved = asked, asked.saved
        self.network = stored_network(saved.arrays, saved.config)
        self.ids, units = saved.genes, asked.units
        self.row = {name: number for number, name in enumerate(units["unit"])}
        raw = _expression(files, units, self.ids)
        scaled = saved.scaled_genes(RawUnits(units, None, np.stack([raw[name] for name in units["unit"]])))
        self.genes = {name: _tensor(row) for name, row in zip(units["unit"], scaled, strict=True)}
        self.zero = _tensor(saved.scaled_genes(RawUnits(units, None, np.zeros((1, len(self.ids)), np.float32)))[0])
        self.bags = self._bags(files, units) if "slides" in saved.config["inputs"]["inputs"] else None

    def _bags(self, files: GeneFiles, units: pd.DataFrame) -> FeatureBags:
        if files.index is None:
            message = f"{self.asked.saved.folder}: sees slides, and the rule has no index of features"
            raise InputError(message)
        own = bag_files(files.index, units)
        if gone := [path for paths in own for path in paths if not path.exists()]:
            message = f"{gone[0]}: no features there; make them again"
            raise InputError(message)
        bags, width = FeatureBags(own, cache_gb=0, names=units["unit"].tolist()), self.network.patch_mean.shape[0]
        if bags.width(0) != width:
            where = self.asked.saved.folder
            message = f"{files.index}: features are {bags.width(0)} wide, the model in {where} takes {width}"
            raise InputError(message)
        return bags

    @property
    def model(self) -> Differentiable:
        """The network."""
        return of_network(self.network, self.asked.saved.arrays, self.asked.saved.config)

    def _patches(self, unit: str, most: int | None) -> Tensor:
        """Patches of the unit's bag, as many as the network looks at, and no more than ``most``."""
        if self.bags is None:
            return torch.zeros(1, 0)
        bag = self.bags[self.row[unit]]
        looked = tokens_of(len(bag), evaluation_tokens(self.asked.saved.config))
        return _tensor(bag[looked][tokens_of(len(looked), most)])

    def seen(self, unit: str) -> Seen:
        """Its patches (no more than the settings say) and genes."""
        return Seen(self._patches(unit, self.asked.settings["patches"]), self.genes[unit])

    def baselines(self, unit: Seen) -> dict[str, list[Seen]]:
        """As many patches as the unit has: the mean one, zeros, those of a training patient over and over."""
        genes = torch.stack([self.genes[name] for name in self.asked.training["unit"]]).mean(0)
        return {
            MEAN: [Seen(self._mean_patch.expand_as(unit.slide), genes)],
            ZERO: [Seen(torch.zeros_like(unit.slide), self.zero)],
            SAMPLES: [Seen(_as_long(one.slide, len(unit.slide)), one.genes) for one in self._samples],
        }

    @cached_property
    def _samples(self) -> list[Seen]:
        return [self.seen(name) for name in self.asked.drawn()]

    @cached_property
    def _mean_patch(self) -> Tensor:
        """Of the training patients where the model was scaled by it, else of those that are baselines."""
        if self.bags is not None and self.asked.saved.fitted(PATCH_SCALER):
            return self.network.patch_mean
        return torch.stack([one.slide.mean(0) for one in self._samples]).mean(0)

    def nulls(self) -> Iterator[tuple[str, Differentiable]]:
        """Weights drawn anew; where that was asked for, trained again on permuted labels."""
        saved, training = self.asked.saved, self.asked.training["unit"].tolist()
        for seed in self.asked.seeds:
            yield RANDOM, of_network(random_network(self.network, saved.config, seed), saved.arrays, saved.config)
        for seed in range(1, self.asked.settings["retrained"] + 1):
            bags = None if self.bags is None else SomeBags(self.bags, [self.row[name] for name in training])
            units = Units(bags, np.stack([self.genes[name].numpy() for name in training]))
            yield PERMUTED, permuted_network(self.network, units, self.asked.targets, saved.config, seed)

    def hold(self, unit: str, stored: Mapping[str, Any]) -> None:
        """From all patches that the network looks at."""
        found = self.model.predict(Seen(self._patches(unit, None), self.genes[unit]))
        hold_prediction(self.asked.saved, found, stored, unit)


def _as_long(patches: Tensor, count: int) -> Tensor:
    """So many patches: a draw of a longer bag, a shorter one over and over."""
    if len(patches) >= count:
        return patches[tokens_of(len(patches), count)]
    return patches[torch.arange(count) % len(patches)]
