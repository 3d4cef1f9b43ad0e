"""TANGLE's published choice of an epoch: the highest smooth rank of the training slides' embeddings.

Its public code embeds each batch again after the step, in evaluation mode, from the patches of the step. No patient
beside the training ones is looked at.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mirrorflow.training.step import Gradients, StepInputs
from mirrorflow.training.trainer import Judge

FLOOR = 1e-7
"""Added to every share (published)."""


def smooth_rank(vectors: Tensor) -> float:
    """exp of the entropy of the singular values' shares, of vectors [unit, width] (RankMe, Garrido et al. 2023).

    Between 1 and the smaller side; rounded to two decimals as published, so that equals are equal.
    """
    values = torch.linalg.svdvals(vectors.double())
    shares = values / values.sum() + FLOOR
    return round(float((-(shares * shares.log()).sum()).exp()), 2)


@dataclass
class TrainingRank:
    """The slide embeddings of an epoch as it goes, made under the layout of its ``gradients``."""

    gradients: Gradients
    seen: list[Tensor] = field(default_factory=list)

    def restart(self) -> None:
        """Before an epoch."""
        self.seen.clear()

    @torch.no_grad()
    def see(self, inputs: StepInputs) -> None:
        """Embed a step's slides; every process is given its own rows, and all get all of them."""
        network, size = self.gradients.network, self.gradients.micro_batch or max(1, len(inputs.genes))
        network.eval()
        none = inputs.genes.new_zeros(0, network.settings.width)
        parts = [self._embedded(inputs, start, start + size) for start in range(0, len(inputs.genes), size)]
        self.seen.append(self.gradients.world.gather(torch.cat([none, *parts]), inputs.total).cpu())
        network.train()

    def _embedded(self, inputs: StepInputs, start: int, stop: int) -> Tensor:
        counts = None if inputs.counts is None else inputs.counts[start:stop]
        with self.gradients.arithmetic.autocast():
            return self.gradients.network.encode_slides(inputs.patches[start:stop], counts=counts).float()

    def value(self) -> float:
        """The smooth rank of the epoch's embeddings."""
        return smooth_rank(torch.cat(self.seen))


def judge_of(rank: TrainingRank | None, loss_on: Callable[[int], float] | None) -> Judge | None:
    """What chooses a pretraining's epoch: the training slides' rank, else the loss of units left out, else nothing."""
    if rank is not None:
        return Judge(lambda _epoch: -rank.value(), "minus_smooth_rank")
    return None if loss_on is None else Judge(loss_on, "evaluation_total")
