"""The floor of every table: the training units' class shares, or their Kaplan-Meier curve, for all units.

Survival: Kaplan & Meier 1958, "Nonparametric Estimation from Incomplete Observations" (scikit-survival's). Nobody is
ranked: the C-index is 0.5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sksurv.nonparametric import kaplan_meier_estimator

from mirrorflow.config.fields import Settings
from mirrorflow.probes.task import Asked, SubtypePrediction, SurvivalPrediction, Targets


def fit(train: np.ndarray, targets: Targets, asked: Asked, settings: Mapping[str, Any]) -> "ClassShares | KaplanMeier":
    """The same for every unit; the vectors are not looked at."""
    return class_shares(targets, asked.n_classes) if asked.bin_ends is None else kaplan_meier(targets)


def from_arrays(arrays: Mapping[str, np.ndarray]) -> "ClassShares | KaplanMeier":
    """The model of its stored arrays."""
    if "shares" in arrays:
        return ClassShares(arrays["shares"])
    return KaplanMeier(arrays["time_days"], arrays["survival"])


@dataclass(frozen=True)
class ClassShares:
    """Shares [class] of the training units."""

    shares: np.ndarray

    def predict(self, vectors: np.ndarray, asked: Asked) -> SubtypePrediction:
        """The shares, for each unit of vectors [unit, feature]."""
        return SubtypePrediction(np.tile(self.shares, (len(vectors), 1)))

    def arrays(self) -> dict[str, np.ndarray]:
        """The shares."""
        return {"shares": self.shares}


def class_shares(train: Targets, n_classes: int) -> ClassShares:
    """The class shares of the training units. Raises ValueError for targets without classes."""
    if train.classes is None:
        message = "majority needs classes"
        raise ValueError(message)
    return ClassShares(np.bincount(train.classes, minlength=n_classes) / len(train))


@dataclass(frozen=True)
class KaplanMeier:
    """Survival [time] of the training units after each of ``time_days`` [time]."""

    time_days: np.ndarray
    survival: np.ndarray

    def predict(self, vectors: np.ndarray, asked: Asked) -> SurvivalPrediction:
        """The curve at the bins' ends, for each unit of vectors [unit, feature].

        Beyond the last training time it stays where it was.
        """
        steps = np.concatenate([[1.0], self.survival])[np.searchsorted(self.time_days, asked.ends(), side="right")]
        curve = np.tile(steps, (len(vectors), 1))
        return SurvivalPrediction(-curve.sum(1), curve)

    def arrays(self) -> dict[str, np.ndarray]:
        """Times and survival."""
        return {"time_days": self.time_days, "survival": self.survival}


def kaplan_meier(train: Targets) -> KaplanMeier:
    """The Kaplan-Meier curve of the training units."""
    return KaplanMeier(*kaplan_meier_estimator(train.event, train.time_days))


SETTINGS = Settings
