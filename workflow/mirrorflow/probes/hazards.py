"""Discrete-time survival: hazards per bin, their likelihood, the risk.

A head gives one logit per bin; the hazard is its sigmoid, the survival function the running product of
(1 - hazard). Bins are those of :func:`mirrorflow.cohorts.splits.survival_bin_edges`.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def hazard_nll(logits: Tensor, bins: Tensor, event: Tensor, alpha: float = 0.0) -> Tensor:
    """Negative log-likelihood of discrete hazards, mean over the batch (Zadeh & Schmid 2020; MIRROR's alpha = 0).

    logits [batch, bin]; bins [batch] the bin of the event or of the censoring; event [batch] 0 or 1. An event
    in bin b: -log S(b - 1) - log h(b); a censoring in bin b: -log S(b), weighed by 1 - ``alpha``.
    """
    log_hazard, log_survive = logsigmoid(logits), logsigmoid(-logits)
    index = bins[:, None]
    survived_through = log_survive.cumsum(1).gather(1, index).squeeze(1)
    in_bin = log_survive.gather(1, index).squeeze(1)
    at_event = survived_through - in_bin + log_hazard.gather(1, index).squeeze(1)
    return -torch.where(event.bool(), at_event, (1 - alpha) * survived_through).mean()


def survival_curve(logits: Tensor) -> Tensor:
    """Survival [batch, bin] at the end of each bin."""
    return logsigmoid(-logits).cumsum(1).exp()


def curve_risk(survival: Tensor) -> Tensor:
    """Risk [batch] = minus the sum of the survival function over the bins (higher = earlier event)."""
    return -survival.sum(1)
