"""Calibration: whether probabilities mean what they say, for classes and for survival functions."""

import numpy as np

from mirrorflow.metrics.weighted import ratio

BINS = 10
"""Equal bins of confidence (ECE) and of survival probability (D-calibration)."""


def expected_calibration_error(probabilities: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """ECE [resample] of the predicted class's probability: 0 when it is right as often as it says.

    Ten equal bins of confidence, |accuracy - confidence| of each weighted by its units (Guo et al. 2017, Eq. 3).
    """
    confidence = probabilities.max(1)
    gap = (probabilities.argmax(1) == classes) - confidence
    place = np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
    by_bin = np.eye(BINS)[place] * gap[:, None]
    return ratio(np.abs(weights @ by_bin).sum(1), weights.sum(1))


def undo_smoothing(probabilities: np.ndarray, smoothing: float) -> np.ndarray:
    """Probabilities less the label smoothing of the training: (p - e / K) / (1 - e), at least 0, sum 1.

    The optimum of cross-entropy with smoothing e over K classes is (1 - e) times the true probabilities plus
    e / K; this is the inverse.
    """
    n_classes = probabilities.shape[1]
    plain = np.clip((probabilities - smoothing / n_classes) / (1 - smoothing), 0, None)
    return plain / plain.sum(1, keepdims=True)


def d_calibration(survival: np.ndarray, event: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Distance from D-calibration [resample]: sum over ten bins of (share of units - 1/10) squared; 0 is best.

    ``survival`` [unit] is each unit's predicted survival at its own time; under a true model it is uniform
    (Haider et al. 2020; the squared distance is X-CAL's, Goldstein et al. 2020). A unit censored at survival s
    is spread evenly over [0, s].
    """
    shares = ratio(weights @ _bin_shares(survival, event), weights.sum(1)[:, None])
    return ((shares - 1 / BINS) ** 2).sum(1)


def _bin_shares(survival: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Share [unit, bin] of each unit in each tenth of [0, 1]."""
    place = np.clip((survival * BINS).astype(int), 0, BINS - 1)
    whole = np.eye(BINS)[place]
    lower = np.arange(BINS) / BINS
    # Of a censored unit's [0, s] the part in each bin; nothing to spread when s is 0.
    covered = np.clip(survival[:, None] - lower, 0, 1 / BINS)
    spread = np.where(survival[:, None] > 0, covered / np.maximum(survival, 1e-12)[:, None], whole)
    return np.where(event[:, None], whole, spread)
