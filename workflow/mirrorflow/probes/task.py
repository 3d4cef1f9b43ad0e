"""What a probe is asked (a fold's task) and what it answers (predictions), whatever the method."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mirrorflow.cohorts.patients import survival_arrays
from mirrorflow.cohorts.splits import assign_bins


@dataclass(frozen=True)
class Targets:
    """Targets of n units: class numbers, or survival times, events and bins."""

    units: pd.DataFrame
    classes: np.ndarray | None = None
    """[n] number of the class in the fixed list of classes; None for survival."""
    time_days: np.ndarray | None = None
    event: np.ndarray | None = None
    bins: np.ndarray | None = None
    """[n] bin of the discrete hazards."""

    def __len__(self) -> int:
        return len(self.units)


def subtype_targets(units: pd.DataFrame, class_names: list[str]) -> Targets:
    """Targets of subtyping; every unit must have a label among ``class_names``."""
    number = {name: index for index, name in enumerate(class_names)}
    return Targets(units, classes=units["label"].map(number).to_numpy(int))


def survival_targets(units: pd.DataFrame, edges: np.ndarray) -> Targets:
    """Targets of survival; every unit must have a known outcome."""
    times, events = survival_arrays(units)
    return Targets(units, time_days=times, event=events, bins=assign_bins(times, edges))


@dataclass(frozen=True)
class Asked:
    """What is asked about the evaluation units: a probability for each class, or survival at the end of each bin.

    bin_ends: days [bin] (:func:`mirrorflow.cohorts.splits.survival_bin_ends`); None where classes are asked for.
    """

    n_classes: int
    bin_ends: np.ndarray | None = None

    def ends(self) -> np.ndarray:
        """The bins' ends. Raises ValueError where classes are asked for."""
        if self.bin_ends is None:
            message = "a survival model was asked for classes"
            raise ValueError(message)
        return self.bin_ends


@dataclass(frozen=True)
class SubtypePrediction:
    """Probabilities [unit, class]; rows add up to 1. ``epoch`` is the reported one, None without epochs."""

    probabilities: np.ndarray
    epoch: int | None = None


@dataclass(frozen=True)
class SurvivalPrediction:
    """Risk [unit] (higher = earlier event) and, where the method has it, survival [unit, bin] at the bins' ends."""

    risk: np.ndarray
    survival: np.ndarray | None = None
    epoch: int | None = None


Prediction = SubtypePrediction | SurvivalPrediction
Scorer = Callable[[Prediction], float]
"""Score of predictions on the units that were held out."""


@dataclass(frozen=True)
class EpochRule:
    """Which epoch of a method with epochs is reported, if not the last.

    scorer: is given every epoch's predictions, and the best of them (the first of equals; the last epoch's, where no
    score is finite) are reported: on evaluation units the published choice, on inner validation units a part of the
    nested choice. stop_after: training ends
    after this epoch, as one epoch of a schedule that goes on. units: training units by which the passes of
    an epoch are counted (``min_steps``), where those trained on are a part of them.
    """

    scorer: Scorer | None = None
    stop_after: int | None = None
    units: int | None = None


LAST = EpochRule()
