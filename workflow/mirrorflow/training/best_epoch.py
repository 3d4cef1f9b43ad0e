"""The published choice of a pretraining's epoch: the one with the least loss on evaluation units.

It lets evaluation data into the model; a protocol that does so says ``pretraining_epoch: best_on_evaluation``.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from mirrorflow.training.bags import Bags


@dataclass(frozen=True)
class ValidationUnits:
    """Units that the epoch is chosen on: bags, scaled expression [unit, gene], patients [unit] as numbers."""

    bags: Bags
    genes: np.ndarray
    patients: np.ndarray


@dataclass(frozen=True)
class Best:
    """The best epoch so far (from 1): its loss on the units it is chosen on, and the weights after it, on the CPU."""

    loss: float
    model: dict[str, Tensor]
    epoch: int


def better(best: Best | None, loss: float, model: nn.Module, epoch: int) -> Best | None:
    """``best``, or the weights after ``epoch``, as they are now, where ``loss`` is less; the first of equals stays.

    A loss that is not finite says nothing of its epoch, and is never the best.
    """
    if not np.isfinite(loss) or (best is not None and not loss < best.loss):
        return best
    return Best(loss, {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}, epoch)
