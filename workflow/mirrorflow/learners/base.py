"""The seam of every method: what it hands back when it has learned, and what its inputs were made with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mirrorflow.probes.task import Prediction

if TYPE_CHECKING:  # classical methods and their jobs do without torch
    import numpy as np
    import torch

    Array = np.ndarray | torch.Tensor


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
