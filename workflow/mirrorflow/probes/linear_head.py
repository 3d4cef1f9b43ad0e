"""The published probe: one linear layer on frozen embeddings, trained with Adam.

MIRROR, Sec. IV (settings in FACTS of the config reference): weights start from N(0, 0.01), biases at 0;
subtyping by cross-entropy with label smoothing in training only, survival by discrete hazards.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mirrorflow.probes.objective import loss_on, to_prediction
from mirrorflow.probes.task import LAST, EpochRule, Prediction, Targets


@dataclass(frozen=True)
class HeadSettings:
    """Settings of the linear head. ``learning_rate`` is that of the task at hand."""

    epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 2e-3
    label_smoothing: float = 0.1
    weight_decay: float = 0.0
    standardize: bool = False
    seed: int = 42


def fit_linear_head(
    train: np.ndarray,
    evaluation: np.ndarray,
    targets: Targets,
    outputs: int,
    settings: HeadSettings,
    rule: EpochRule = LAST,
) -> Prediction:
    """Train the head on embeddings and predict the evaluation units.

    train [draw, unit, feature], evaluation [draw, unit, feature]: epoch e sees draw e modulo the number of
    draws (one draw: frozen embeddings; one per epoch: the published resampling). outputs: classes or bins.
    The last epoch is reported, or what ``rule`` says; the learning rate is the same in all of them.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    if settings.standardize:
        train, evaluation = _standardize(train, evaluation)
    data, held_out = (
        torch.as_tensor(train, dtype=torch.float32),
        torch.as_tensor(evaluation, dtype=torch.float32),
    )
    # skip_init leaves torch's global random state alone.
    head = nn.utils.skip_init(nn.Linear, data.shape[-1], outputs)
    nn.init.normal_(head.weight, std=0.01, generator=generator)
    nn.init.zeros_(head.bias)
    optimizer = torch.optim.Adam(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    loss_of = loss_on(targets, label_smoothing=settings.label_smoothing)
    best: tuple[float, Prediction] | None = None
    epochs = rule.stop_after or settings.epochs
    for epoch in range(epochs):
        _train_epoch(head, optimizer, data[epoch % len(data)], loss_of, settings.batch_size, generator)
        if rule.scorer is not None:
            prediction = _predict(head, held_out[epoch % len(held_out)], targets, epoch + 1)
            score = rule.scorer(prediction)
            if best is None or score > best[0]:
                best = score, prediction
    if best is not None:
        return best[1]
    return _predict(head, held_out[(epochs - 1) % len(held_out)], targets, epochs)


def _standardize(train: np.ndarray, evaluation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By the mean and deviation of the training units, over all their draws."""
    mean, deviation = train.mean((0, 1)), train.std((0, 1))
    deviation = np.where(deviation > 0, deviation, 1.0)
    return (train - mean) / deviation, (evaluation - mean) / deviation


def _train_epoch(
    head: nn.Linear,
    optimizer: torch.optim.Optimizer,
    data: Tensor,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    batch_size: int,
    generator: torch.Generator,
) -> None:
    for rows in torch.randperm(len(data), generator=generator).split(batch_size):
        optimizer.zero_grad(set_to_none=True)
        loss_of(head(data[rows]), rows).backward()
        optimizer.step()


@torch.inference_mode()
def _predict(head: nn.Linear, data: Tensor, targets: Targets, epoch: int) -> Prediction:
    return to_prediction(head(data), targets, epoch)
