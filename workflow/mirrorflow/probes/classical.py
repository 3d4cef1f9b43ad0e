"""What a user would try first: the majority class, logistic regression, ridge Cox on components.

Inputs are fixed vectors [unit, feature]; everything (scaling, components, coefficients) is fitted on the
training units that are handed in, nothing else.
"""

import warnings

import numpy as np
from scipy.special import expit
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.nonparametric import kaplan_meier_estimator
from sksurv.util import Surv

from mirrorflow.errors import InputError
from mirrorflow.probes.task import SubtypePrediction, SurvivalPrediction, Targets


def predict_majority(train: Targets, count: int, n_classes: int) -> SubtypePrediction:
    """The class shares of the training units, for every evaluation unit: the floor of every table."""
    if train.classes is None:
        message = "majority needs classes"
        raise ValueError(message)
    shares = np.bincount(train.classes, minlength=n_classes) / len(train)
    return SubtypePrediction(np.tile(shares, (count, 1)))


def predict_everyone_alike(train: Targets, count: int, edges: np.ndarray) -> SurvivalPrediction:
    """The Kaplan-Meier curve of the training units for everybody: no ranking, a C-index of 0.5."""
    ends = np.append(edges[1:-1], train.time_days.max())  # type: ignore[union-attr]
    times, survival = kaplan_meier_estimator(train.event, train.time_days)
    steps = np.concatenate([[1.0], survival])[np.searchsorted(times, ends, side="right")]
    curve = np.tile(steps, (count, 1))
    return SurvivalPrediction(-curve.sum(1), curve)


def predict_logistic(
    train: np.ndarray, evaluation: np.ndarray, targets: Targets, n_classes: int, C: float
) -> SubtypePrediction:
    """L2-regularised logistic regression on standardised vectors (scikit-learn).

    Classes that no training unit has get probability 0.
    """
    if len(set(np.asarray(targets.classes))) < 2:
        return predict_majority(targets, len(evaluation), n_classes)
    scaler = StandardScaler().fit(train)
    model = LogisticRegression(C=C, max_iter=2000).fit(scaler.transform(train), targets.classes)
    probabilities = np.zeros((len(evaluation), n_classes))
    probabilities[:, model.classes_] = model.predict_proba(scaler.transform(evaluation))
    return SubtypePrediction(probabilities)


def predict_hazards(
    train: np.ndarray, evaluation: np.ndarray, targets: Targets, bins: int, C: float
) -> SurvivalPrediction:
    """Linear discrete hazards: logistic regression on one row per unit and bin lived through.

    The maximum-likelihood form of the probe's survival head with one set of coefficients for all bins
    (proportional odds of the hazards) and an intercept a bin: convex, without a learning rate.
    """
    scaler = StandardScaler().fit(train)
    vectors, held_out = scaler.transform(train), scaler.transform(evaluation)
    unit, bin_ = np.nonzero(np.arange(bins)[None, :] <= targets.bins[:, None])  # type: ignore[index]
    happened = (targets.bins[unit] == bin_) & targets.event[unit]  # type: ignore[index]
    if not happened.any() or happened.all():
        share = "an event at once for each" if happened.any() else "no event among"
        message = f"{share} of the {len(targets)} training units: hazards cannot be fitted"
        raise InputError(message)
    # Intercepts per bin, penalised a thousand times less than coefficients.
    weight = np.sqrt(1000.0)
    rows = np.hstack([vectors[unit], np.eye(bins)[bin_] * weight])
    model = LogisticRegression(C=C, fit_intercept=False, max_iter=2000).fit(rows, happened)
    slope, intercepts = model.coef_[0, :-bins], model.coef_[0, -bins:] * weight
    survival = np.cumprod(expit(-(held_out @ slope)[:, None] - intercepts[None, :]), axis=1)
    return SurvivalPrediction(-survival.sum(1), survival)


def predict_cox(
    train: np.ndarray,
    evaluation: np.ndarray,
    targets: Targets,
    edges: np.ndarray,
    *,
    components: int,
    alpha: float,
) -> SurvivalPrediction:
    """Ridge Cox regression on principal components of standardised vectors (scikit-survival).

    ``alpha`` is the ridge penalty on the partial likelihood's scale (sum over events). Survival is read
    off Breslow's baseline at the bins' ends, the last at the longest training time. Raises InputError with
    fewer than two training units or no event among them.
    """
    if len(targets) < 2 or not targets.event.any():  # type: ignore[union-attr]
        message = f"{len(targets)} training units with {int(targets.event.sum())} events: Cox cannot be fitted"  # type: ignore[union-attr]
        raise InputError(message)
    scaler = StandardScaler().fit(train)
    # scikit-learn's own choice of solver; where that is the randomised one it is seeded.
    pca = PCA(min(components, len(train) - 1, train.shape[1]), random_state=0).fit(scaler.transform(train))
    model = CoxPHSurvivalAnalysis(alpha=alpha, n_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)
        model.fit(pca.transform(scaler.transform(train)), Surv.from_arrays(targets.event, targets.time_days))
    held_out = pca.transform(scaler.transform(evaluation))
    ends = np.append(edges[1:-1], targets.time_days.max())  # type: ignore[union-attr]
    baseline = model.cum_baseline_hazard_
    hazard = np.concatenate([[0.0], baseline.y])[np.searchsorted(baseline.x, ends, side="right")]
    risk = model.predict(held_out)
    return SurvivalPrediction(risk, np.exp(-hazard[None, :] * np.exp(np.clip(risk, -50, 50))[:, None]))
