"""Ridge Cox regression on principal components of fixed vectors.

Cox 1972, "Regression Models and Life-Tables"; ridge penalty: Verweij & van Houwelingen 1994, "Penalized likelihood in
Cox regression"; baseline hazard: Breslow 1974, "Covariance analysis of censored survival data". scikit-survival's
(ties after Breslow). Everything (scaling, components, coefficients, baseline) is fitted on the training units that
are handed in, nothing else.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from mirrorflow.config.fields import Settings, choice, count, positive
from mirrorflow.errors import InputError
from mirrorflow.probes.task import Asked, SurvivalPrediction, Targets


@dataclass(frozen=True)
class CoxSettings(Settings):
    """How vectors are made and reduced, and how strongly coefficients are penalised."""

    pooling: str = choice(
        "how patch features become one vector; for methods that see slides.",
        ["mean", "mean_std"],
        "mean",
        origin="ours",
    )
    components: int = count("principal components (at most the training patients less one).", 50, origin="ours")
    alpha: float = positive("ridge penalty.", 200.0, origin="ours")


def predict(
    train: np.ndarray, evaluation: np.ndarray, targets: Targets, asked: Asked, settings: Mapping[str, Any]
) -> SurvivalPrediction:
    """Survival; ``settings``: components and alpha. Raises InputError as :func:`fit_cox`."""
    if asked.bin_ends is None:
        message = "the Cox model predicts survival alone"
        raise ValueError(message)
    fitted = fit_cox(train, targets, components=settings["components"], alpha=settings["alpha"])
    return fitted.predict(evaluation, asked.bin_ends)


@dataclass(frozen=True)
class CoxModel:
    """Scaling, components, coefficients and baseline of the training units."""

    scaler: StandardScaler
    pca: PCA
    model: CoxPHSurvivalAnalysis

    def predict(self, vectors: np.ndarray, bin_ends: np.ndarray) -> SurvivalPrediction:
        """Risk of vectors [unit, feature], and survival read off Breslow's baseline at ``bin_ends`` [bin] days.

        Beyond the last training time the baseline stays where it was.
        """
        baseline = self.model.cum_baseline_hazard_
        hazard = np.concatenate([[0.0], baseline.y])[np.searchsorted(baseline.x, bin_ends, side="right")]
        risk = self.model.predict(self.pca.transform(self.scaler.transform(vectors)))
        return SurvivalPrediction(risk, np.exp(-hazard[None, :] * np.exp(np.clip(risk, -50, 50))[:, None]))


def fit_cox(train: np.ndarray, targets: Targets, *, components: int, alpha: float) -> CoxModel:
    """Fit to vectors [unit, feature].

    components: at most the training units less one. alpha: ridge penalty on the partial likelihood's scale (sum over
    events). Raises InputError with fewer than two training units or no event among them.
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
    return CoxModel(scaler, pca, model)


SETTINGS = CoxSettings
