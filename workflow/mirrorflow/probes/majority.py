"""The floor of every table: the training units' class shares, or their Kaplan-Meier curve, for all units.

Survival: Kaplan & Meier 1958, "Nonparametric Estimation from Incomplete Observations" (scikit-survival's). Nobody is
ranked: the C-index is 0.5.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sksurv.nonparametric import kaplan_meier_estimator

from mirrorflow.config.fields import Settings
from mirrorflow.probes.task import Asked, Prediction, SubtypePrediction, SurvivalPrediction, Targets


def predict(
    train: np.ndarray, evaluation: np.ndarray, targets: Targets, asked: Asked, settings: Mapping[str, Any]
) -> Prediction:
    """The same for every evaluation unit; the vectors are not looked at."""
    if asked.bin_ends is None:
        return predict_majority(targets, len(evaluation), asked.n_classes)
    return predict_everyone_alike(targets, len(evaluation), asked.bin_ends)


def predict_majority(train: Targets, count: int, n_classes: int) -> SubtypePrediction:
    """The class shares of the training units, for ``count`` evaluation units."""
    if train.classes is None:
        message = "majority needs classes"
        raise ValueError(message)
    shares = np.bincount(train.classes, minlength=n_classes) / len(train)
    return SubtypePrediction(np.tile(shares, (count, 1)))


def predict_everyone_alike(train: Targets, count: int, bin_ends: np.ndarray) -> SurvivalPrediction:
    """The Kaplan-Meier curve of the training units at ``bin_ends`` [bin] days, for ``count`` evaluation units.

    Beyond the last training time it stays where it was.
    """
    times, survival = kaplan_meier_estimator(train.event, train.time_days)
    steps = np.concatenate([[1.0], survival])[np.searchsorted(times, bin_ends, side="right")]
    curve = np.tile(steps, (count, 1))
    return SurvivalPrediction(-curve.sum(1), curve)


SETTINGS = Settings
