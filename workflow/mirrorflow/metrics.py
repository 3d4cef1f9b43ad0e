"""Metrics of one fold's predictions, for one weighting of its units or for many at once.

``weights`` [resample, unit] counts how often a unit is in a resample; a row of ones is the fold itself, so
that the bootstrap is a matrix product. An undefined metric is NaN; :func:`undefined_reason` says why.
Checked against scikit-learn and scikit-survival in tests/reference.
"""

from collections.abc import Sequence

import numpy as np

SUBTYPING_METRICS = ("accuracy", "f1_macro", "balanced_accuracy", "auroc")
SURVIVAL_METRICS = ("c_index",)


def confusion(probabilities: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Confusion matrices [resample, true class, predicted class]; ties go to the first class."""
    n_classes = probabilities.shape[1]
    cell = classes * n_classes + probabilities.argmax(1)
    cells = np.eye(n_classes * n_classes)[cell]
    return (weights @ cells).reshape(len(weights), n_classes, n_classes)


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of units predicted right, from confusion matrices."""
    return _ratio(np.trace(matrix, axis1=1, axis2=2), matrix.sum((1, 2)))


def balanced_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that the evaluation units have."""
    support = matrix.sum(2)
    recall = _ratio(np.diagonal(matrix, axis1=1, axis2=2), support)
    return _mean_where(recall, support > 0)


def f1_macro(matrix: np.ndarray) -> np.ndarray:
    """Macro F1 over the classes that occur among the true or the predicted ones (scikit-learn's rule)."""
    hits = np.diagonal(matrix, axis1=1, axis2=2)
    seen = matrix.sum(2) + matrix.sum(1)
    return _mean_where(_ratio(2 * hits, seen), seen > 0)


def auroc(probabilities: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: two classes directly, more one against the rest, mean over classes present."""
    n_classes = probabilities.shape[1]
    if n_classes == 2:
        return _area(probabilities[:, 1], classes == 1, weights)
    areas = np.stack([_area(probabilities[:, c], classes == c, weights) for c in range(n_classes)], axis=1)
    return _mean_where(areas, ~np.isnan(areas))


def _area(score: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    difference = score[positive][:, None] - score[~positive][None, :]
    wins = (difference > 0) + 0.5 * (difference == 0)
    up, down = weights[:, positive], weights[:, ~positive]
    return _ratio(((up @ wins) * down).sum(1), up.sum(1) * down.sum(1))


def c_index(risk: np.ndarray, time_days: np.ndarray, event: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Harrell's C: share of comparable pairs in which the earlier event has the higher risk; tied risks 0.5.

    A pair is comparable when the earlier time is an event (or, at equal times, one is an event and the
    other is censored), as in scikit-survival.
    """
    earlier = event[:, None] & (
        (time_days[:, None] < time_days[None, :]) | ((time_days[:, None] == time_days[None, :]) & ~event[None, :])
    )
    difference = risk[:, None] - risk[None, :]
    tied = np.abs(difference) <= 1e-8
    agree = earlier * (0.5 * tied + 1.0 * (~tied & (difference > 0)))
    pairs = ((weights @ earlier.astype(float)) * weights).sum(1)
    return _ratio(((weights @ agree) * weights).sum(1), pairs)


def subtyping_metrics(probabilities: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric of SUBTYPING_METRICS, each [resample]."""
    matrix = confusion(probabilities, classes, weights)
    return {
        "accuracy": accuracy(matrix),
        "f1_macro": f1_macro(matrix),
        "balanced_accuracy": balanced_accuracy(matrix),
        "auroc": auroc(probabilities, classes, weights),
    }


def survival_metrics(
    risk: np.ndarray, time_days: np.ndarray, event: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Every metric of SURVIVAL_METRICS, each [resample]."""
    return {"c_index": c_index(risk, time_days, event, weights)}


def undefined_reason(metric: str, n_units: int, classes_present: Sequence[int], events: int) -> str:
    """Why ``metric`` is NaN on a fold."""
    if n_units == 0:
        return "no evaluation unit"
    if metric == "c_index":
        return f"no comparable pair ({events} events)"
    return f"only {len(classes_present)} class among the evaluation units"


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), np.nan)


def _mean_where(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    return _ratio(np.where(where, np.nan_to_num(values), 0).sum(1), where.sum(1))
