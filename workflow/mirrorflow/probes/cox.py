"""Ridge Cox regression on principal components of fixed vectors.

Cox 1972, "Regression Models and Life-Tables"; ridge penalty: Verweij & van Houwelingen 1994, "Penalized likelihood in
Cox regression". Coefficients are scikit-survival's (ties after Breslow), the baseline is that of :mod:`.breslow`.
Everything (scaling, components, coefficients, baseline) is fitted on the training units that are handed in, nothing
else.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from mirrorflow.config.fields import Settings, choice, count, positive
from mirrorflow.errors import InputError
from mirrorflow.probes.breslow import CLIP, cumulative_hazard
from mirrorflow.probes.fitted import Arrays, pca_arrays, pca_of, scaler_arrays, scaler_of
from mirrorflow.probes.task import Asked, SurvivalPrediction, Targets

BASELINE = "baseline.hazard"


@dataclass(frozen=True)
class CoxSettings(Settings):
    """How vectors are made and reduced, and how strongly coefficients are penalised."""

    VERSION: ClassVar[int] = 2
    pooling: str = choice(
        "how patch features become one vector; for methods that see slides.",
        ["mean", "mean_std"],
        "mean",
        origin="ours",
    )
    components: int = count("principal components (at most the training patients less one).", 50, origin="ours")
    alpha: float = positive("ridge penalty.", 200.0, origin="ours")


def fit(train: np.ndarray, targets: Targets, asked: Asked, settings: Mapping[str, Any]) -> "CoxModel":
    """Survival; ``settings``: components and alpha. Raises InputError as :func:`fit_cox`."""
    asked.ends()  # the Cox model predicts survival alone
    return fit_cox(train, targets, components=settings["components"], alpha=settings["alpha"])


def from_arrays(arrays: Mapping[str, np.ndarray]) -> "CoxModel":
    """The model of its stored arrays."""
    learned = (arrays["coefficients"], arrays["baseline.time_days"], arrays[BASELINE])
    return CoxModel(scaler_of(arrays), pca_of(arrays), *learned)


@dataclass(frozen=True)
class CoxModel:
    """Scaling, components, coefficients [component] and Breslow's cumulative baseline hazard [time] of the training
    units after each of ``time_days`` [time].
    """

    scaler: StandardScaler
    pca: PCA
    coefficients: np.ndarray
    time_days: np.ndarray
    baseline: np.ndarray

    def predict(self, vectors: np.ndarray, asked: Asked) -> SurvivalPrediction:
        """Risk of vectors [unit, feature], and survival read off the baseline at the bins' ends.

        Beyond the last training time the baseline stays where it was.
        """
        after = np.searchsorted(self.time_days, asked.ends(), side="right")
        hazard = np.concatenate([[0.0], self.baseline])[after]
        risk = np.dot(self.pca.transform(self.scaler.transform(vectors)), self.coefficients)
        return SurvivalPrediction(risk, np.exp(-hazard[None, :] * np.exp(np.clip(risk, -CLIP, CLIP))[:, None]))

    def arrays(self) -> Arrays:
        """Scaling, components, coefficients and baseline."""
        learned = {
            "coefficients": self.coefficients,
            "baseline.time_days": self.time_days,
            BASELINE: self.baseline,
        }
        return {**scaler_arrays(self.scaler), **pca_arrays(self.pca), **learned}


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
    components_of = pca.transform(scaler.transform(train))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)
        model.fit(components_of, Surv.from_arrays(targets.event, targets.time_days))
    time_days, hazard = cumulative_hazard(components_of @ model.coef_, targets.time_days, targets.event)  # type: ignore[arg-type]
    return CoxModel(scaler, pca, model.coef_, time_days, hazard)


SETTINGS = CoxSettings
