"""A saved model as a function of a unit's slide and genes that has a gradient; and the same without what it learned."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from mirrorflow.errors import InputError
from mirrorflow.learners.network import READOUT, network_again
from mirrorflow.learners.registry import HEAD
from mirrorflow.models import families
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.models.seam import Batch
from mirrorflow.models.supervised import Sizes, SupervisedNetwork, build_network
from mirrorflow.probes.hazards import curve_risk, survival_curve
from mirrorflow.probes.objective import CoxReadout, Readout, stored_readout
from mirrorflow.probes.task import Prediction
from mirrorflow.store.model_files import part_of_arrays
from mirrorflow.training.gradients import Answer, Seen

N = TypeVar("N", bound=nn.Module)

HEAD_SPREAD = 0.01
"""Of a head's weights before its training (MIRROR, Sec. IV)."""


@dataclass(frozen=True)
class Differentiable:
    """A model in evaluation mode: logits [batch, output] of slides [batch, patch, feature] and genes [batch, gene].

    Of a pretrained method a slide is its vector, one patch: the head is all that sees it. classes: none for survival.
    """

    logits: Callable[[Tensor, Tensor], Tensor]
    readout: Readout
    epoch: int | None
    classes: tuple[str, ...]

    @torch.no_grad()
    def predict(self, unit: Seen) -> Prediction:
        """What the model says of the unit [1]."""
        return self.readout.predict(self.logits(unit.slide[None], unit.genes[None]), self.epoch)

    @torch.no_grad()
    def answer(self, unit: Seen) -> Answer:
        """What is asked about the unit: the log-odds of the class that it is predicted to be of; the risk.

        Raises InputError for a model of one class.
        """
        if not self.classes:
            return self._risk
        if len(self.classes) < 2:
            message = "a model of one class has no odds"
            raise InputError(message)
        number = int(self.logits(unit.slide[None], unit.genes[None])[0].argmax())
        others = [place for place in range(len(self.classes)) if place != number]

        def log_odds(slides: Tensor, genes: Tensor) -> Tensor:
            logits = self.logits(slides, genes).double()
            return logits[:, number] - logits[:, others].logsumexp(1)

        return log_odds

    def _risk(self, slides: Tensor, genes: Tensor) -> Tensor:
        logits = self.logits(slides, genes).double()
        return logits[:, 0] if isinstance(self.readout, CoxReadout) else curve_risk(survival_curve(logits))


@dataclass(frozen=True)
class Head:
    """A linear head on slide and RNA vectors: weight [output, 2 * width], bias [output], what standardises them."""

    weight: Tensor
    bias: Tensor
    mean: Tensor | float = 0.0
    deviation: Tensor | float = 1.0

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> "Head":
        """As it is stored."""
        return cls(**{name: torch.as_tensor(np.asarray(array), dtype=torch.float32) for name, array in arrays.items()})

    def __call__(self, vectors: Tensor) -> Tensor:
        """Logits [batch, output]."""
        return linear((vectors - self.mean) / self.deviation, self.weight, self.bias)


def of_head(head: Head, network: PairedNetwork, config: Mapping[str, Any]) -> Differentiable:
    """A head and the pretrained network whose RNA encoder it stands on."""
    network = network.eval()

    def logits(slides: Tensor, genes: Tensor) -> Tensor:
        return head(torch.cat([slides[:, 0], network.encode_rna(genes)], dim=1))

    survival = config["task"] == "survival"
    return Differentiable(
        logits, stored_readout({}, survival=survival), config["epoch"], tuple(config.get("classes", ()))
    )


def stored_head(arrays: Mapping[str, np.ndarray]) -> Head:
    """The head of a saved model."""
    return Head.of_arrays(part_of_arrays(arrays, HEAD))


def of_network(
    network: SupervisedNetwork, arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]
) -> Differentiable:
    """A network that was trained on labels."""
    network = network.eval()

    def logits(slides: Tensor, genes: Tensor) -> Tensor:
        mask = torch.ones(slides.shape[:2], dtype=torch.bool)
        return network(Batch(slides, mask, genes, counts=mask.sum(1))).logits

    readout = stored_readout(part_of_arrays(arrays, READOUT), survival=config["task"] == "survival")
    return Differentiable(logits, readout, config["epoch"], tuple(config.get("classes", ())))


def stored_network(arrays: Mapping[str, np.ndarray], config: Mapping[str, Any]) -> SupervisedNetwork:
    """The network of a saved model."""
    return network_again(arrays, config)


def random_head(head: Head, seed: int) -> Head:
    """The head before any training: N(0, 0.01), biases 0."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(head.weight.shape, generator=generator) * HEAD_SPREAD
    return replace(head, weight=weight, bias=torch.zeros_like(head.bias))


def random_pretrained(network: PairedNetwork, family: str, seed: int) -> PairedNetwork:
    """A network of the same shape with weights drawn anew; what was fitted to its inputs stays."""
    return _with_weights_of(network, families.build_network(family, network.settings, seed))


def random_network(network: SupervisedNetwork, config: Mapping[str, Any], seed: int) -> SupervisedNetwork:
    """As :func:`random_pretrained`, of a network that was trained on labels."""
    given = config["sizes"]
    sizes = Sizes(**{**given, "gene_sets": tuple(map(tuple, given["gene_sets"]))})
    return _with_weights_of(network, build_network(config["family"], sizes, config["network"], seed))


def _with_weights_of(network: N, drawn: nn.Module) -> N:
    """A copy of ``network`` with the parameters of ``drawn``; its buffers are kept."""
    made = copy.deepcopy(network)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.copy_(drawn.get_parameter(name))
    return made
