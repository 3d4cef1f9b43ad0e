"""From targets to loss terms, and from logits to predictions: what all that learns by gradients shares.

A task has an objective: cross-entropy for classes; for survival the likelihood of discrete hazards, or Cox's partial
likelihood over a batch. Its :class:`Readout` turns logits into predictions, and is stored with the weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from mirrorflow.models.seam import Batch, Objective, Output, Progress, TargetTensors
from mirrorflow.probes.hazards import curve_risk, hazard_nll, survival_curve
from mirrorflow.probes.partial_likelihood import Baseline, Ties, cox_loss
from mirrorflow.probes.task import EpochRule, Prediction, SubtypePrediction, SurvivalPrediction, Targets
from mirrorflow.training.trainer import Judge

SurvivalLoss = Literal["hazards", "cox"]


class Readout(Protocol):
    """Logits to predictions, as fitted on training units."""

    def predict(self, logits: Tensor, epoch: int | None = None) -> Prediction:
        """Of logits [unit, output] on the CPU; ``epoch`` is the reported one."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What was fitted to it; nothing for most."""


class TaskObjective(Objective, Protocol):
    """An objective that also says how many logits it reads, and how predictions come of them."""

    @property
    def outputs(self) -> int:
        """Logits a unit."""

    @property
    def by_event(self) -> bool:
        """Whether every batch needs its share of events."""

    def readout(self, training_logits: Callable[[], Tensor]) -> Readout:
        """``training_logits()``: those of all training units [unit, output] in evaluation mode, where it needs them."""


@dataclass(frozen=True)
class ClassReadout:
    """Probabilities by a softmax."""

    def predict(self, logits: Tensor, epoch: int | None = None) -> Prediction:
        """Probabilities [unit, class]."""
        return SubtypePrediction(logits.double().softmax(1).numpy(), epoch)

    def arrays(self) -> dict[str, np.ndarray]:
        """Nothing is fitted."""
        return {}


@dataclass(frozen=True)
class HazardReadout:
    """Survival by discrete hazards, a logit a bin."""

    def predict(self, logits: Tensor, epoch: int | None = None) -> Prediction:
        """Survival [unit, bin] at the bins' ends, and the risk (higher = earlier event)."""
        survival = survival_curve(logits.double())
        return SurvivalPrediction(curve_risk(survival).numpy(), survival.numpy(), epoch)

    def arrays(self) -> dict[str, np.ndarray]:
        """Nothing is fitted."""
        return {}


@dataclass(frozen=True)
class CoxReadout:
    """Log hazard ratios, and survival by Breslow's baseline at ``bin_ends`` [bin] days."""

    baseline: Baseline
    bin_ends: np.ndarray

    def predict(self, logits: Tensor, epoch: int | None = None) -> Prediction:
        """Risk [unit] is the logit; survival [unit, bin]."""
        risk = logits.double().squeeze(1).numpy()
        return SurvivalPrediction(risk, self.baseline.survival(risk, self.bin_ends), epoch)

    def arrays(self) -> dict[str, np.ndarray]:
        """The baseline, and where it is read."""
        return self.baseline.arrays() | {"baseline.bin_ends": self.bin_ends}


class _Alone:
    """An objective of one term, which has weight 1."""

    by_event = False

    def weights(self, at: Progress) -> Mapping[str, float]:
        """One term, weight 1, all through the training."""
        return {}


@dataclass(frozen=True)
class CrossEntropy(_Alone):
    """Cross-entropy of ``outputs`` classes; ``label_smoothing`` in training alone."""

    outputs: int
    label_smoothing: float = 0.0

    def terms(self, out: Output, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """Mean over the batch."""
        classes = _targets(batch).classes
        assert classes is not None
        return {"cross_entropy": cross_entropy(out.logits, classes, label_smoothing=self.label_smoothing)}

    def readout(self, training_logits: Callable[[], Tensor]) -> Readout:
        """By a softmax."""
        return ClassReadout()


@dataclass(frozen=True)
class Hazards(_Alone):
    """Likelihood of discrete hazards in ``outputs`` bins; ``alpha``: that of :func:`.hazards.hazard_nll`."""

    outputs: int
    alpha: float = 0.0

    def terms(self, out: Output, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """Mean over the batch."""
        targets = _targets(batch)
        assert targets.bins is not None
        assert targets.event is not None
        return {"hazards": hazard_nll(out.logits, targets.bins, targets.event, self.alpha)}

    def readout(self, training_logits: Callable[[], Tensor]) -> Readout:
        """By running products."""
        return HazardReadout()


@dataclass(frozen=True)
class Cox(_Alone):
    """Cox's partial likelihood within each batch, which gets the cohort's share of events."""

    targets: Targets
    bin_ends: np.ndarray
    ties: Ties = "efron"
    outputs: int = field(default=1, init=False)
    by_event = True

    def terms(self, out: Output, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """Mean over the batch's events; 0 in a batch without one."""
        targets = _targets(batch)
        assert targets.time_days is not None
        assert targets.event is not None
        return {"cox": cox_loss(out.logits.squeeze(1), targets.time_days, targets.event, self.ties)}

    def readout(self, training_logits: Callable[[], Tensor]) -> Readout:
        """By Breslow's baseline on all training units."""
        risk = training_logits().double().squeeze(1).numpy()
        times, event = np.asarray(self.targets.time_days, float), np.asarray(self.targets.event, bool)
        return CoxReadout(Baseline.fit(risk, times, event), self.bin_ends)


def _targets(batch: Batch) -> TargetTensors:
    assert batch.targets is not None, "a batch to train on has targets"
    return batch.targets


def target_tensors(targets: Targets) -> TargetTensors:
    """Targets as tensors of their own on the CPU; events as bool, days in float64.

    Copied: columns of a pandas frame may be arrays that nobody may write (all of pandas 3's), and tensors may be.
    """
    if targets.classes is not None:
        return TargetTensors(classes=torch.tensor(targets.classes))
    return TargetTensors(
        time_days=None if targets.time_days is None else torch.tensor(targets.time_days),
        event=torch.tensor(targets.event),
        bins=torch.tensor(targets.bins),
    )


def readout_of(targets: Targets) -> Readout:
    """How logits of classes or of discrete hazards are read: nothing is fitted to them."""
    return HazardReadout() if targets.classes is None else ClassReadout()


def stored_readout(arrays: Mapping[str, np.ndarray], *, survival: bool) -> Readout:
    """The readout of a stored model, from what its :meth:`~Readout.arrays` were."""
    if "baseline.days" in arrays:
        centre = float(arrays["baseline.centre"])
        baseline = Baseline(arrays["baseline.days"], arrays["baseline.hazard"], centre)
        return CoxReadout(baseline, arrays["baseline.bin_ends"])
    return HazardReadout() if survival else ClassReadout()


def judge_of(rule: EpochRule, predict: Callable[[int], Prediction]) -> Judge | None:
    """What chooses the epoch by ``rule``: the best score of ``predict(epoch)``, from 1, the first of equals; the last
    epoch, where no score is finite.
    """
    scorer = rule.scorer
    return None if scorer is None else Judge(lambda epoch: -scorer(predict(epoch)), "minus_score")
