"""A linear head on fixed vectors, trained by the one trainer: the published probe.

MIRROR, Sec. IV: weights start from N(0, 0.01), biases at 0; Adam, no schedule.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mirrorflow.models.seam import Batch, Objective, Output, Progress, TargetTensors
from mirrorflow.training.batches import batch_slices, probe_batch
from mirrorflow.training.trainer import Check, Course, Group, Judge, Trainer, descend


@dataclass(frozen=True)
class HeadRun:
    """How a head is trained: Adam's learning rate, an L2 penalty on the weights (not on the biases), batches.

    A set of no more than one batch goes in smaller ones, as published (:func:`.batches.probe_batch`). drop_last: leave
    the last incomplete batch of an epoch out.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    drop_last: bool
    seed: int


class HeadTraining:
    """One head under way: on vectors [draw, unit, feature], of which epoch e sees draw e modulo the draws."""

    device = torch.device("cpu")

    def __init__(
        self, vectors: Tensor, targets: TargetTensors, objective: Objective, outputs: int, run: HeadRun
    ) -> None:
        self.vectors, self.targets, self.objective, self.run = vectors, targets, objective, run
        self.generator = torch.Generator().manual_seed(run.seed)
        # skip_init leaves torch's global random state alone.
        self.network: nn.Linear = nn.utils.skip_init(nn.Linear, vectors.shape[-1], outputs)
        nn.init.normal_(self.network.weight, std=0.01, generator=self.generator)
        nn.init.zeros_(self.network.bias)

    def fit(self, judge: Judge | None = None, stop_after: int | None = None) -> Trainer:
        """Train it; the trainer has history and kept epoch."""
        run, steps = self.run, len(self._slices())
        trainer = Trainer(self, Course(run.epochs, steps, stop_after=stop_after, fused=False), judge)
        trainer.fit()
        return trainer

    def groups(self) -> list[Group]:
        """A penalty on the biases would pull every class to the same share."""
        parameters = dict(self.network.named_parameters())
        return [
            Group([parameters["weight"]], self.run.learning_rate, self.run.weight_decay),
            Group([parameters["bias"]], self.run.learning_rate),
        ]

    def train_mode(self) -> None:
        """A linear layer has one mode."""

    def batches(self, epoch: int) -> Iterator[Tensor]:
        """Rows of each batch, in an order that the head's own generator goes on to draw, epoch by epoch."""
        order = torch.randperm(self.vectors.shape[1], generator=self.generator)
        return (order[batch] for batch in self._slices())

    def _slices(self) -> list[slice]:
        units = self.vectors.shape[1]
        return batch_slices(units, probe_batch(units, self.run.batch_size), drop_last=self.run.drop_last)

    def backward(self, batch: Tensor, at: Progress, check: Check) -> tuple[dict[str, float], int]:
        """The gradient of the batch's total."""
        seen = self.vectors[at.epoch % len(self.vectors)][batch]
        out = Output(self.network(seen))
        terms = self.objective.terms(out, Batch(seen, seen, seen, self.targets.of(batch)), at)
        values = descend(terms, self.objective.weights(at), check)
        return values, len(batch)

    def stepped(self, batch: Tensor) -> None:
        """Nothing follows a step."""

    def measures(self) -> dict[str, float]:
        """Nothing of its own."""
        return {}

    def not_finite(self, batch: Tensor, at: Progress, values: Mapping[str, float]) -> str:
        """What to look for."""
        return (
            f"the linear head's loss is not finite at epoch {at.epoch + 1}, step {at.step + 1}; lower the probe's "
            "learning rate, or look for embeddings that are not finite"
        )

    def out_of_memory(self) -> str:
        """Cannot be: a head is trained on the CPU."""
        return "the memory is full"

    def need_less(self) -> bool:
        """No part of it can be left out."""
        return False
