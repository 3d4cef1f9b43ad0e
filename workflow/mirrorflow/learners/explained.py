"""A saved model on one unit: the weights of its patches, and its answer where some of them are left out."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mirrorflow.errors import InputError
from mirrorflow.learners.network import network_again, read_out
from mirrorflow.learners.registry import HEAD
from mirrorflow.learners.saved import SavedModel
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.models.seam import Batch
from mirrorflow.models.supervised import SupervisedNetwork
from mirrorflow.probes.linear_head import predict_head
from mirrorflow.probes.objective import stored_readout
from mirrorflow.probes.task import Prediction, SurvivalPrediction
from mirrorflow.store.model_files import part_of_arrays
from mirrorflow.training.covering import cover, covered
from mirrorflow.training.removal import Answer


@dataclass(frozen=True)
class Weighed:
    """A kind of weights of a unit's patches [patch]: 1 where all weigh the same.

    said: what they are, in a sentence. deviation [patch]: over repeated draws, of methods that draw. heads
    [head, patch]: of methods with several, whose mean the values are.
    """

    name: str
    said: str
    values: np.ndarray
    deviation: np.ndarray | None = None
    heads: np.ndarray | None = None


class OnUnit(Protocol):
    """A model and one unit whose bag it sees."""

    @property
    def patches(self) -> int:
        """How many patches of the bag are looked at."""

    @property
    def said(self) -> str:
        """How the bag is seen, for a caption."""

    def weights(self) -> list[Weighed]:
        """Weights of the patches, the main kind first; none of methods without any."""

    def logits(self, kept: np.ndarray) -> Tensor:
        """Logits [1, output] of the bag's patches ``kept``."""

    def read(self, logits: Tensor) -> Prediction:
        """What logits predict."""


@dataclass(frozen=True)
class NetworkOnUnit:
    """A network trained on labels and one unit: its bag [patch, feature], as far as looked at, and genes [gene]."""

    saved: SavedModel
    bag: np.ndarray
    genes: np.ndarray

    @property
    def patches(self) -> int:
        """Patches of the bag."""
        return len(self.bag)

    @property
    def said(self) -> str:
        """One pass."""
        return f"One pass over {self.patches} patches. Trained on labels."

    @cached_property
    def _network(self) -> SupervisedNetwork:
        return network_again(self.saved.arrays, self.saved.config).eval()

    @torch.inference_mode()
    def weights(self) -> list[Weighed]:
        """Of one pass over the whole bag."""
        patches = torch.as_tensor(self.bag, dtype=torch.float32)[None]
        genes = torch.as_tensor(self.genes, dtype=torch.float32)[None]
        mask = torch.ones(patches.shape[:2], dtype=torch.bool)
        found = self._network.patch_weights(Batch(patches, mask, genes))
        return [
            Weighed(one.name, one.said, _row(one.values) * self.patches, heads=_heads(one.heads, self.patches))
            for one in found
        ]

    @cached_property
    def _embedded(self) -> tuple[SupervisedNetwork, Tensor]:
        """The network behind its patches' embedding, and the embedded bag: what is the same whichever are left out.

        The network and its bag as they are, where it does not begin with it.
        """
        network, bag = self._network, torch.as_tensor(self.bag, dtype=torch.float32)
        if not network.embeds_first:
            return network, bag
        tokens = network.get_submodule("embed")((bag - network.patch_mean) / network.patch_sd)
        rest = copy.deepcopy(network)
        rest.add_module("embed", torch.nn.Identity())
        rest.patch_mean, rest.patch_sd = torch.zeros(tokens.shape[1]), torch.ones(tokens.shape[1])
        return rest, tokens

    @torch.inference_mode()
    def logits(self, kept: np.ndarray) -> Tensor:
        """Of one pass over the patches."""
        network, bag = self._embedded
        patches = bag[torch.as_tensor(kept)][None]
        genes = torch.as_tensor(self.genes, dtype=torch.float32)[None]
        return network(Batch(patches, torch.ones(patches.shape[:2], dtype=torch.bool), genes)).logits.double()

    def read(self, logits: Tensor) -> Prediction:
        """By the model's own readout."""
        return read_out(self.saved.arrays, self.saved.config, logits)


@dataclass(frozen=True)
class Draws:
    """How a pretrained network saw bags: patches of a draw, what became of shorter bags; how often all are covered."""

    tokens: int
    short: str
    covers: int
    seed: int

    def of(self, size: int) -> list[list[np.ndarray]]:
        """Draws of a bag of ``size`` patches, a list a cover; a bag that one draw holds is drawn once a cover."""
        rng = np.random.default_rng([self.seed, size])
        return [cover(size, self.tokens, rng) for _ in range(self.covers)]


@dataclass(frozen=True)
class HeadOnUnit:
    """A pretrained network, a head on its vectors, and one unit: bag [patch, feature], RNA vector [width].

    Its weights depend on the draw (neighbours on the square, landmarks): all patches are covered ``covers`` times.
    Answers are logits' mean over the draws of the first cover, each less the patches that are left out.
    """

    saved: SavedModel
    network: PairedNetwork
    bag: np.ndarray
    rna: np.ndarray
    draws: Draws
    _drawn: list[list[np.ndarray]] = field(default_factory=list)

    @property
    def patches(self) -> int:
        """Patches of the bag."""
        return len(self.bag)

    @property
    def said(self) -> str:
        """In draws."""
        drawn = self._covers()
        return (
            f"Learned without labels; only the head on its vectors saw any. {len(drawn)} x {len(drawn[0])} draws of "
            f"{len(drawn[0][0])} patches, which cover all {self.patches} {len(drawn)} times."
        )

    def _covers(self) -> list[list[np.ndarray]]:
        if not self._drawn:
            self._drawn.extend(self.draws.of(self.patches))
        return self._drawn

    def _tokens(self, draw: np.ndarray) -> np.ndarray:
        """The patches that the network is given: a shorter draw over and over, where it was trained so."""
        short = self.draws.short == "resample" and len(draw) < self.draws.tokens
        return np.resize(draw, self.draws.tokens) if short else draw

    def _given(self, draw: np.ndarray) -> tuple[Tensor, Tensor | None]:
        tokens = self._tokens(draw)
        counts = None if self.draws.short == "resample" else torch.tensor([len(tokens)])
        return torch.as_tensor(self.bag[tokens], dtype=torch.float32)[None], counts

    @torch.inference_mode()
    def weights(self) -> list[Weighed]:
        """Mean over all draws, with the deviation over them."""
        said: dict[str, str] = {}

        def weigh(draw: np.ndarray) -> np.ndarray:
            patches, counts = self._given(draw)
            found = self.network.patch_weights(patches, counts=counts)
            said.update({one.name: one.said for one in found})
            return (
                np.stack([_folded(_row(one.values), len(draw)) for one in found]) if found else np.zeros((0, len(draw)))
            )

        every = [draw for one in self._covers() for draw in one]
        means = covered(every, self.patches, weigh)
        return [
            Weighed(name, what, one.mean, one.deviation) for (name, what), one in zip(said.items(), means, strict=True)
        ]

    @torch.inference_mode()
    def logits(self, kept: np.ndarray) -> Tensor:
        """Mean over the draws of the first cover that hold any of the patches."""
        left = [draw[np.isin(draw, kept)] for draw in self._covers()[0]]
        vectors = []
        for draw in left:
            if len(draw):
                patches, counts = self._given(draw)
                vectors.append(self.network.encode_slides(patches, counts=counts)[0].float().numpy())
        joined = np.stack([np.concatenate([slide, self.rna]) for slide in vectors])[None]
        head, epoch = part_of_arrays(self.saved.arrays, HEAD), self.saved.config["epoch"]
        return predict_head(head, joined, epoch).double().mean(0, keepdim=True)

    def read(self, logits: Tensor) -> Prediction:
        """By the head's readout."""
        config = self.saved.config
        return stored_readout({}, survival=config["task"] == "survival").predict(logits, config["epoch"])


def _row(values: Tensor) -> np.ndarray:
    return values[0].double().numpy()


def _heads(heads: Tensor | None, patches: int) -> np.ndarray | None:
    return None if heads is None else heads[0].double().numpy() * patches


def _folded(values: np.ndarray, count: int) -> np.ndarray:
    """Weights of tokens, in which patches repeat, as those of the ``count`` patches."""
    return np.bincount(np.arange(len(values)) % count, values, minlength=count)


@dataclass(frozen=True)
class Asked:
    """Which number is asked of a model: the log-odds of a class (its place among ``classes``), or the risk."""

    name: str
    number: int | None = None

    def of(self, on_unit: OnUnit, logits: Tensor) -> float:
        """That number."""
        if self.number is None:
            prediction = on_unit.read(logits)
            assert isinstance(prediction, SurvivalPrediction)
            return float(prediction.risk[0])
        others = torch.cat([logits[0, : self.number], logits[0, self.number + 1 :]])
        if not len(others):
            message = "a model of one class has no odds"
            raise InputError(message)
        return float(logits[0, self.number] - others.logsumexp(0))


def asked_of(on_unit: OnUnit, classes: Sequence[str]) -> Asked:
    """The class that the whole bag is predicted to be of; without ``classes`` the risk."""
    if not classes:
        return Asked("risk")
    number = int(on_unit.logits(np.arange(on_unit.patches)).argmax())
    return Asked(f"log-odds of {classes[number]}", number)


def answer_of(on_unit: OnUnit, asked: Asked) -> Answer:
    """The answer for patches that are kept."""
    return lambda kept: asked.of(on_unit, on_unit.logits(kept))


def hold_prediction(saved: SavedModel, found: Prediction, stored: Mapping[str, Any], unit: str) -> None:
    """Raise InputError where a prediction [1] is not the stored row's: features or expression are others than then."""
    if isinstance(found, SurvivalPrediction):
        pairs = [(found.risk[0], stored["risk"])]
    else:
        pairs = [
            (value, stored[f"prob_{name}"])
            for value, name in zip(found.probabilities[0], saved.config["classes"], strict=True)
        ]
    if not all(np.isclose(value, kept, rtol=1e-3, atol=1e-4) for value, kept in pairs):
        message = (
            f"{saved.folder}: predicts {unit} otherwise than its predictions file has it; features, expression or "
            "settings changed since: delete the method's manifest.json and run again"
        )
        raise InputError(message)
