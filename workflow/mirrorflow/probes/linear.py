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
from mirrorflow.probes import majority
from mirrorflow.probes.fitted import Arrays, FittedModel, matrix_arrays, matrix_of, scaler_arrays, scaler_of
from mirrorflow.probes.majority import class_shares
from mirrorflow.probes.task import Asked, SubtypePrediction, SurvivalPrediction, Targets

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


def fit(train: np.ndarray, targets: Targets, asked: Asked, settings: Mapping[str, Any]) -> FittedModel:
    """Classes, or survival at the bins' ends; ``settings``: C, the inverse regularisation.

    Of a single training class: its share. Raises InputError as :func:`fit_hazards`.
    """
    if asked.bin_ends is not None:
        return fit_hazards(train, targets, len(asked.bin_ends), settings["C"])
    if len(set(np.asarray(targets.classes))) < 2:
        return class_shares(targets, asked.n_classes)
    return fit_logistic(train, targets, settings["C"])


def from_arrays(arrays: Mapping[str, np.ndarray]) -> FittedModel:
    """The model of its stored arrays."""
    if "slope" in arrays:
        return HazardModel(scaler_of(arrays), arrays["slope"], arrays["intercepts"])
    if "classes" not in arrays:
        return majority.from_arrays(arrays)
    model = LogisticRegression()
    model.classes_, model.intercept_ = arrays["classes"], arrays["intercepts"]
    model.coef_ = matrix_of(arrays, "coefficients")
    model.n_features_in_ = model.coef_.shape[1]
    return LogisticModel(scaler_of(arrays), model)


@dataclass(frozen=True)
class LogisticModel:
    """Scaling and coefficients of the training units."""

    scaler: StandardScaler
    model: LogisticRegression

    def predict(self, vectors: np.ndarray, asked: Asked) -> SubtypePrediction:
        """Probabilities of vectors [unit, feature]; 0 for classes that no training unit has."""
        probabilities = np.zeros((len(vectors), asked.n_classes))
        probabilities[:, self.model.classes_] = self.model.predict_proba(self.scaler.transform(vectors))
        return SubtypePrediction(probabilities)

    def arrays(self) -> Arrays:
        """Scaling, numbers of the classes [class], coefficients [class, feature] (one row for two) and intercepts."""
        learned = {"classes": self.model.classes_, "intercepts": self.model.intercept_}
        return {**scaler_arrays(self.scaler), **matrix_arrays("coefficients", self.model.coef_), **learned}


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

    def predict(self, vectors: np.ndarray, asked: Asked) -> SurvivalPrediction:
        """Survival at the ends of the bins that the model was fitted on, and risk, of vectors [unit, feature]."""
        held_out = self.scaler.transform(vectors)
        survival = np.cumprod(expit(-(held_out @ self.slope)[:, None] - self.intercepts[None, :]), axis=1)
        return SurvivalPrediction(-survival.sum(1), survival)

    def arrays(self) -> Arrays:
        """Scaling, slope and intercepts."""
        return {**scaler_arrays(self.scaler), "slope": self.slope, "intercepts": self.intercepts}


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
