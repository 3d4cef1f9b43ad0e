"""Cox's partial likelihood over a batch, and Breslow's baseline over all training units.

Cox 1972, "Regression Models and Life-Tables"; ties after Efron 1977, "The Efficiency of Cox's Likelihood Function for
Censored Data", or Breslow 1974, "Covariance Analysis of Censored Survival Data".
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from mirrorflow.probes.breslow import CLIP, cumulative_hazard

Ties = Literal["efron", "breslow", "order"]


def cox_loss(risk: Tensor, time_days: Tensor, event: Tensor, ties: Ties = "efron") -> Tensor:
    """Negative log partial likelihood over a batch, a mean over its events; 0 (with a gradient of 0) without one.

    risk [batch] log hazard ratios, time_days [batch], event [batch] bool. Units are compared within the batch alone.
    ties ``order``: of units of one time, each is at risk with those that stand after it in the batch, as where a batch
    is sorted by time and summed from its end.
    """
    if not bool(event.any()):
        return (risk * 0.0).sum()
    weight = (time_days[None, :] >= time_days[:, None]).to(risk.dtype)  # [unit, unit at risk]
    if ties == "efron":
        tied = (time_days[None, :] == time_days[:, None]) & event[None, :] & event[:, None]
        before = torch.tril(tied, diagonal=-1).sum(1)  # of the events tied with it, those that stand before it
        weight = weight - (before / tied.sum(1).clamp(min=1))[:, None] * tied
    elif ties == "order":
        weight = torch.triu(weight) + torch.tril(weight * (time_days[None, :] > time_days[:, None]), diagonal=-1)
    log_likelihood = risk - (risk[None, :] + weight.log()).logsumexp(1)
    return -log_likelihood[event].mean()


@dataclass(frozen=True)
class Baseline:
    """Breslow's cumulative baseline hazard of the training units at their mean risk.

    days [step] ascending, hazard [step] cumulative, centre: the training units' mean risk.
    """

    days: np.ndarray
    hazard: np.ndarray
    centre: float

    @classmethod
    def fit(cls, risk: np.ndarray, time_days: np.ndarray, event: np.ndarray) -> "Baseline":
        """From the risks [unit] that the model gives its training units in evaluation mode."""
        centre = float(np.mean(risk))
        return cls(*cumulative_hazard(risk - centre, time_days, event), centre)

    def survival(self, risk: np.ndarray, days: np.ndarray) -> np.ndarray:
        """Survival [unit, day] of risks [unit] at ``days`` [day]; beyond the last training time the hazard stays."""
        hazard = np.concatenate([[0.0], self.hazard])[np.searchsorted(self.days, days, side="right")]
        return np.exp(-hazard[None, :] * np.exp(np.clip(risk - self.centre, -CLIP, CLIP))[:, None])

    def arrays(self) -> dict[str, np.ndarray]:
        """What a stored model keeps of it."""
        return {"baseline.days": self.days, "baseline.hazard": self.hazard, "baseline.centre": np.array(self.centre)}
