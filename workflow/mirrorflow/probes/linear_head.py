"""The published probe: one linear layer on frozen embeddings, trained with Adam.

MIRROR, Sec. IV (settings in FACTS of the config reference): weights start from N(0, 0.01), biases at 0;
subtyping by cross-entropy with label smoothing in training only, survival by discrete hazards.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mirrorflow.probes.objective import loss_on, to_prediction
from mirrorflow.probes.task import LAST, EpochRule, Prediction, Reported, Targets
from mirrorflow.training.batches import batch_slices


@dataclass(frozen=True)
class HeadSettings:
    """Settings of the linear head. ``learning_rate`` is that of the task at hand.

    drop_last: leave the last incomplete batch of an epoch out (published); a set under one batch is used whole.
    """

    epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 2e-3
    label_smoothing: float = 0.1
    weight_decay: float = 0.0
    standardize: bool = False
    drop_last: bool = False
    seed: int = 42

    @classmethod
    def of_probe(cls, probe: Mapping[str, Any], task: str, seed: int) -> "HeadSettings":
        """From the config's section ``probe``, at the learning rate of the task."""
        rates = {"subtyping": probe["learning_rate"], "survival": probe["survival_learning_rate"]}
        others = {key: probe[key] for key in probe if key not in ("survival_learning_rate", "survival_bins")}
        return cls(**{**others, "learning_rate": rates[task]}, seed=seed)


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
    return fit_head(train, evaluation, targets, outputs, settings, rule)[0]


def fit_head(
    train: np.ndarray,
    evaluation: np.ndarray,
    targets: Targets,
    outputs: int,
    settings: HeadSettings,
    rule: EpochRule = LAST,
) -> tuple[Prediction, dict[str, Any]]:
    """:func:`fit_linear_head`, with ``weight`` [output, feature] and ``bias`` [output] of the reported epoch, and
    ``mean`` and ``deviation`` [feature] of what standardises the embeddings.
    """
    scaling: dict[str, Any] = {}
    if settings.standardize:
        mean, deviation = moments(train)
        train, evaluation = (train - mean) / deviation, (evaluation - mean) / deviation
        scaling = {"mean": mean, "deviation": deviation}
    held_out = torch.as_tensor(evaluation, dtype=torch.float32)
    epochs = rule.stop_after or settings.epochs
    head, generator = _start(train.shape[-1], outputs, settings.seed)

    def predict(epoch: int) -> Prediction:
        return _predict(head, held_out[(epoch - 1) % len(held_out)], targets, epoch)

    reported = Reported(rule, predict, lambda: snapshot(head))
    for epoch in islice(_epochs(head, generator, train, targets, settings), epochs):
        reported.hear(epoch)
    prediction, weights = reported.after(epochs)
    return prediction, weights | scaling


def predict_head(arrays: Mapping[str, Any], vectors: np.ndarray, epoch: int) -> Tensor:
    """Logits [unit, output] of a head that :func:`fit_head` gave, from vectors [draw, unit, feature].

    Epoch e sees draw e modulo the number of draws, as while it was trained.
    """
    if "mean" in arrays:
        vectors = (vectors - np.asarray(arrays["mean"])) / np.asarray(arrays["deviation"])
    data = torch.as_tensor(vectors, dtype=torch.float32)[(epoch - 1) % len(vectors)]
    return nn.functional.linear(data, torch.as_tensor(arrays["weight"]), torch.as_tensor(arrays["bias"]))


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's weights and buffers on the CPU, by their names."""
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}


def last_head(
    train: np.ndarray, targets: Targets, outputs: int, settings: HeadSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Weight [output, feature] and bias [output] after the last epoch, on embeddings as they are.

    train [draw, unit, feature] as in :func:`fit_linear_head`; standardising is folded into weight and bias.
    """
    mean, deviation = np.zeros(train.shape[-1]), np.ones(train.shape[-1])
    if settings.standardize:
        mean, deviation = moments(train)
    head, generator = _start(train.shape[-1], outputs, settings.seed)
    for _ in _epochs(head, generator, (train - mean) / deviation, targets, settings):
        pass
    weight = head.weight.detach().double().numpy() / deviation
    return weight, head.bias.detach().double().numpy() - weight @ mean


def _start(features: int, outputs: int, seed: int) -> tuple[nn.Linear, torch.Generator]:
    """A fresh head, and the generator that goes on to draw the order of the units."""
    generator = torch.Generator().manual_seed(seed)
    # skip_init leaves torch's global random state alone.
    head = nn.utils.skip_init(nn.Linear, features, outputs)
    nn.init.normal_(head.weight, std=0.01, generator=generator)
    nn.init.zeros_(head.bias)
    return head, generator


def _epochs(
    head: nn.Linear, generator: torch.Generator, train: np.ndarray, targets: Targets, settings: HeadSettings
) -> Iterator[int]:
    """Train ``head`` in place; yields the number of each epoch when it ends, from 1."""
    data = torch.as_tensor(train, dtype=torch.float32)
    # A penalty on the biases would pull every class to the same share.
    weights: dict[str, Any] = {"params": [head.weight], "weight_decay": settings.weight_decay}
    optimizer = torch.optim.Adam([weights, {"params": [head.bias]}], lr=settings.learning_rate)
    loss_of = loss_on(targets, label_smoothing=settings.label_smoothing)
    for epoch in range(settings.epochs):
        _train_epoch(head, optimizer, data[epoch % len(data)], loss_of, settings, generator)
        yield epoch + 1


def moments(train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation [feature] of vectors [draw, unit, feature]; the deviation of a constant one is 1."""
    deviation = train.std((0, 1))
    return train.mean((0, 1)), np.where(deviation > 0, deviation, 1.0)


def _train_epoch(
    head: nn.Linear,
    optimizer: torch.optim.Optimizer,
    data: Tensor,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    settings: HeadSettings,
    generator: torch.Generator,
) -> None:
    order = torch.randperm(len(data), generator=generator)
    for rows in (order[batch] for batch in batch_slices(len(order), settings.batch_size, drop_last=settings.drop_last)):
        optimizer.zero_grad(set_to_none=True)
        loss_of(head(data[rows]), rows).backward()
        optimizer.step()


@torch.inference_mode()
def _predict(head: nn.Linear, data: Tensor, targets: Targets, epoch: int) -> Prediction:
    return to_prediction(head(data), targets, epoch)
