"""What passes between a network, its objective and the trainer: a batch in, an output out, named loss terms.

Tensors alone: no files, no frames. The trainer is :mod:`mirrorflow.training.trainer`; the objectives of the tasks are
in :mod:`mirrorflow.probes.objective`, a method's own beside its network.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Progress:
    """Where a training is: epoch and step of the epoch from 0, the shares of all steps and of the epoch's that are
    done.
    """

    epoch: int
    step: int
    share: float
    of_epoch: float = 0.0


@dataclass(frozen=True)
class TargetTensors:
    """Targets of n units: classes [n], or days [n], events [n] (bool) and bins of the discrete hazards [n]."""

    classes: Tensor | None = None
    time_days: Tensor | None = None
    event: Tensor | None = None
    bins: Tensor | None = None

    def of(self, rows: Tensor) -> "TargetTensors":
        """Those of the units at ``rows`` [batch]."""
        return self._each(lambda values: values[rows])

    def to(self, device: torch.device) -> "TargetTensors":
        """The same on another device."""
        return self._each(lambda values: values.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "TargetTensors":
        parts = {name: getattr(self, name) for name in ("classes", "time_days", "event", "bins")}
        return TargetTensors(**{name: None if values is None else change(values) for name, values in parts.items()})


@dataclass(frozen=True)
class Batch:
    """What a network sees: patches [batch, patch, feature] and genes [batch, gene], either of width 0 where unseen.

    ``mask`` [batch, patch] is True at real patches, which come first. ``targets`` [batch] are there in training alone.
    ``counts`` [batch], on the CPU: real patches of each bag, where they are known without asking the mask.
    """

    patches: Tensor
    mask: Tensor
    genes: Tensor
    targets: TargetTensors | None = None
    counts: Tensor | None = None

    def of(self, rows: Tensor) -> "Batch":
        """The units at ``rows`` [part], on the CPU, of this batch."""
        own = rows.to(self.patches.device)
        targets = None if self.targets is None else self.targets.of(own)
        counts = None if self.counts is None else self.counts[rows]
        return Batch(self.patches[own], self.mask[own], self.genes[own], targets, counts)

    def real_patches(self) -> list[int]:
        """Real patches of each bag; from ``counts``, so that a GPU need not be waited for."""
        return (self.mask.sum(1) if self.counts is None else self.counts).tolist()


@dataclass(frozen=True)
class Output:
    """Logits [batch, output]; where a method has them: attention [batch, patch], which adds up to 1 over real patches,
    and its patches' tokens [batch, patch, width].
    """

    logits: Tensor
    attention: Tensor | None = None
    tokens: Tensor | None = None

    def in_float32(self) -> Self:
        """The same in float32, whatever a forward pass under autocast left: losses may be computed of any part."""
        return _in_float32(self)


V = TypeVar("V")


def _in_float32(value: V) -> V:
    """Tensors of floating point numbers in float32, alone, in tuples and in dataclasses; all else as it is."""
    found: Any = value
    if isinstance(value, Tensor):
        found = value.float() if value.is_floating_point() else value
    elif isinstance(value, tuple):
        found = tuple(map(_in_float32, value))
    elif is_dataclass(value) and not isinstance(value, type):
        found = replace(value, **{one.name: _in_float32(getattr(value, one.name)) for one in fields(value)})
    return found


@dataclass(frozen=True)
class PatchWeights:
    """Weights of a method's patches [batch, patch]: their name, and in a sentence what they are.

    Shares add up to 1 over the patches, unless ``said`` has it otherwise; heads [batch, head, patch], where there are
    several, of which ``values`` are the mean.
    """

    name: str
    values: Tensor
    said: str
    heads: Tensor | None = None


class Objective(Protocol):
    """What a training minimises: named terms, and the weight of each at this point of the training."""

    def terms(self, out: Output, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """The unweighted terms of a batch, scalars; a batch that has nothing to say of a term gives 0."""

    def weights(self, at: Progress) -> Mapping[str, float]:
        """The weight of each term; one that is not named counts with 1."""


def weighted(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The total of the terms, a scalar."""
    return torch.stack([weights.get(name, 1.0) * term for name, term in terms.items()]).sum()
