"""Linear models on fixed vectors: logistic regression for classes, proportional odds of discrete hazards for survival.

Hazards: Cox 1972, "Regression Models and Life-Tables", Sec. 6; fitted as a logistic regression on one row per unit
and bin lived through (Singer & Willett 1993, "It's About Time"). Both L2-regularised, by scikit-learn. Everything
(scaling, coefficients) is fitted on the training units that are handed in, nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mirrorflow.config.fields import Settings, choice, positive
from mirrorflow.errors import InputError
from mirrorflow.probes.majority import predict_majority
from mirrorflow.probes.task import Asked, Prediction, SubtypePrediction, SurvivalPrediction, Targets

INTERCEPT_WEIGHT = np.sqrt(1000.0)
"""Intercepts of the bins are penalised a thousand times less than coefficients."""


@dataclass(frozen=True)
class LinearSettings(Settings):
    """How vectors are made, and how strongly coefficients are penalised."""

    pooling: str = choice(
        "how patch features become one vector; for methods that see slides.",
        ["mean", "mean_std"],
        "mean",
        origin="ours",
    )
    C: float = positive("inverse regularisation of the logistic regressions.", 0.01, origin="ours")


def predict(
    train: np.ndarray, evaluation: np.ndarray, targets: Targets, asked: Asked, settings: Mapping[str, Any]
) -> Prediction:
    """Classes, or survival at the bins' ends; ``settings``: C, the inverse regularisation."""
    if asked.bin_ends is None:
        return predict_logistic(train, evaluation, targets, asked.n_classes, settings["C"])
    return predict_hazards(train, evaluation, targets, len(asked.bin_ends), settings["C"])


def predict_logistic(
    train: np.ndarray, evaluation: np.ndarray, targets: Targets, n_classes: int, C: float
) -> SubtypePrediction:
    """Logistic regression on vectors [unit, feature]; of a single training class its share.

    Classes that no training unit has get probability 0.
    """
    if len(set(np.asarray(targets.classes))) < 2:
        return predict_majority(targets, len(evaluation), n_classes)
    return fit_logistic(train, targets, C).predict(evaluation, n_classes)


def predict_hazards(
    train: np.ndarray, evaluation: np.ndarray, targets: Targets, bins: int, C: float
) -> SurvivalPrediction:
    """Linear discrete hazards on vectors [unit, feature]. Raises InputError as :func:`fit_hazards`."""
    return fit_hazards(train, targets, bins, C).predict(evaluation)


@dataclass(frozen=True)
class LogisticModel:
    """Scaling and coefficients of the training units."""

    scaler: StandardScaler
    model: LogisticRegression

    def predict(self, vectors: np.ndarray, n_classes: int) -> SubtypePrediction:
        """Probabilities of vectors [unit, feature]."""
        probabilities = np.zeros((len(vectors), n_classes))
        probabilities[:, self.model.classes_] = self.model.predict_proba(self.scaler.transform(vectors))
        return SubtypePrediction(probabilities)


def fit_logistic(train: np.ndarray, targets: Targets, C: float) -> LogisticModel:
    """Fit to standardised vectors [unit, feature] of two classes at least."""
    scaler = StandardScaler().fit(train)
    return LogisticModel(scaler, LogisticRegression(C=C, max_iter=2000).fit(scaler.transform(train), targets.classes))


@dataclass(frozen=True)
class HazardModel:
    """Scaling, coefficients [feature] and the bins' intercepts [bin] of the training units."""

    scaler: StandardScaler
    slope: np.ndarray
    intercepts: np.ndarray

    def predict(self, vectors: np.ndarray) -> SurvivalPrediction:
        """Survival and risk of vectors [unit, feature]."""
        held_out = self.scaler.transform(vectors)
        survival = np.cumprod(expit(-(held_out @ self.slope)[:, None] - self.intercepts[None, :]), axis=1)
        return SurvivalPrediction(-survival.sum(1), survival)


def fit_hazards(train: np.ndarray, targets: Targets, bins: int, C: float) -> HazardModel:
    """Fit to standardised vectors [unit, feature].

    The maximum-likelihood form of the probe's survival head with one set of coefficients for all bins and an
    intercept a bin: convex, without a learning rate. Raises InputError without an event, or with nothing else.
    """
    scaler = StandardScaler().fit(train)
    unit, bin_ = np.nonzero(np.arange(bins)[None, :] <= targets.bins[:, None])  # type: ignore[index]
    happened = (targets.bins[unit] == bin_) & targets.event[unit]  # type: ignore[index]
    if not happened.any() or happened.all():
        share = "an event at once for each" if happened.any() else "no event among"
        message = f"{share} of the {len(targets)} training units: hazards cannot be fitted"
        raise InputError(message)
    rows = np.hstack([scaler.transform(train)[unit], np.eye(bins)[bin_] * INTERCEPT_WEIGHT])
    model = LogisticRegression(C=C, fit_intercept=False, max_iter=2000).fit(rows, happened)
    return HazardModel(scaler, model.coef_[0, :-bins], model.coef_[0, -bins:] * INTERCEPT_WEIGHT)


SETTINGS = LinearSettings
