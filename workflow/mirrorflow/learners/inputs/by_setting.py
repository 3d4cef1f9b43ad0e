"""The vectors of a job by setting: of all training data, of the k-shot settings, of inner folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mirrorflow.learners.inputs.vectors import Representation
from mirrorflow.learners.tasks import ALL_DATA


@runtime_checkable
class Shared(Protocol):
    """Vectors made of what all folds share; those of k-shot settings and inner folds share it, too."""

    def load(self) -> None:
        """Read it."""


@dataclass(frozen=True)
class Inputs:
    """Vectors of the setting with all training data, and of the k-shot settings (the same, or with other genes).

    inner: those of the inner folds on which the epoch is chosen, fitted on their training parts alone.
    """

    all_units: Representation
    few_shot: Representation
    inner: Sequence[Representation] = ()

    def load(self) -> None:
        """Read what folds share, before their processes are forked."""
        if isinstance(self.all_units, Shared):
            self.all_units.load()

    def of(self, setting: str) -> Representation:
        """The vectors that a setting uses."""
        return self.all_units if setting == ALL_DATA else self.few_shot

    def digests(self, fold: int) -> list[str]:
        """What both are made from."""
        return [self.all_units.digest(fold), self.few_shot.digest(fold)]

    def inner_digests(self, fold: int) -> list[str]:
        """What those of the inner folds are made from."""
        return [representation.digest(fold) for representation in self.inner]
