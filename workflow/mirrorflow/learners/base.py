"""The seam of every method: what it hands back when it has learned, and what its inputs were made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mirrorflow.errors import MirrorflowError
from mirrorflow.probes.task import Prediction

if TYPE_CHECKING:  # classical methods and their jobs do without torch
    import numpy as np
    import torch

    Array = np.ndarray | torch.Tensor


@dataclass(frozen=True)
class Recipe:
    """How inputs are made of a unit's raw data.

    settings: as JSON has them, ``kind`` first (none, pooled, clinical, site, bags, embedded, adapted: who reads the
    rest).
    arrays: what was fitted, by the name that ``fitted`` of the inputs gives it (``RNA scaler``), each by array.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    def named(self) -> dict[str, np.ndarray]:
        """The arrays by dotted names: ``inputs.rna_scaler.mean``."""
        return {
            f"{array_prefix(what)}{name}": array
            for what, arrays in self.arrays.items()
            for name, array in arrays.items()
        }


def array_prefix(what: str) -> str:
    """What the names of a model's stored arrays of something fitted begin with: ``inputs.rna_scaler.``."""
    return f"inputs.{what.lower().replace(' ', '_')}."


class HasRecipe(Protocol):
    """Inputs of a fold task: vectors, bags."""

    @property
    def fitted(self) -> Mapping[str, str]:
        """What was fitted to make them -> digest of the patients it was fitted on."""

    @property
    def recipe(self) -> Recipe:
        """How they were made."""


def check_reported(inputs: HasRecipe, where: str) -> None:
    """What was fitted to make the inputs must say on which patients, or the auditor cannot check it.

    Raises MirrorflowError naming what does not.
    """
    if silent := [what for what in inputs.recipe.arrays if what not in inputs.fitted]:
        message = (
            f"{where}: {', '.join(silent)} fitted without saying on which patients; put the digest of the patients "
            f"(store.digest.patients_digest) under that name into `fitted` of the inputs"
        )
        raise MirrorflowError(message)


@dataclass(frozen=True)
class Checkpoint:
    """Where a training may keep its state between two attempts at it, and what that state belongs to."""

    folder: Path
    made_from: Mapping[str, Any]


@dataclass(frozen=True)
class Trained:
    """A method after one fold task: its prediction, and everything that predicting again takes.

    arrays: weights, coefficients, scalers of the reported epoch by dotted names (``network.head.weight``).
    made_with: the rest as JSON has it, ``kind`` first (network, head, adapted, classical: who reads the arrays),
    sizes, settings. history: a row an epoch, with its number and named losses; empty without epochs.
    """

    prediction: Prediction
    arrays: Mapping[str, Array]
    made_with: Mapping[str, Any]
    history: Sequence[Mapping[str, float]] = field(default=())
