"""From targets to a loss, and from logits to predictions: what every head that learns by gradients shares."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mirrorflow.probes.hazards import curve_risk, hazard_nll, survival_curve
from mirrorflow.probes.task import Prediction, SubtypePrediction, SurvivalPrediction, Targets


def loss_on(
    targets: Targets, *, label_smoothing: float = 0.0, alpha: float = 0.0
) -> Callable[[Tensor, Tensor], Tensor]:
    """Loss of the logits [batch, output] of the units at rows [batch] of ``targets``.

    Cross-entropy for classes (``label_smoothing``), the likelihood of discrete hazards for survival (``alpha``:
    see :func:`~mirrorflow.probes.hazards.hazard_nll`).
    """
    if targets.classes is not None:
        classes = torch.as_tensor(targets.classes)
        return lambda logits, rows: cross_entropy(logits, classes[rows], label_smoothing=label_smoothing)
    bins, event = torch.as_tensor(targets.bins), torch.as_tensor(targets.event)
    return lambda logits, rows: hazard_nll(logits, bins[rows], event[rows], alpha)


def to_prediction(logits: Tensor, targets: Targets, epoch: int) -> Prediction:
    """Probabilities, or survival and risk (higher = earlier event), of logits [unit, output]."""
    return prediction_of(logits, epoch, survival=targets.classes is None)


def prediction_of(logits: Tensor, epoch: int, *, survival: bool) -> Prediction:
    """:func:`to_prediction` where targets are not at hand."""
    if not survival:
        return SubtypePrediction(logits.double().softmax(1).numpy(), epoch)
    curve = survival_curve(logits.double())
    return SurvivalPrediction(curve_risk(curve).numpy(), curve.numpy(), epoch)
