"""Subtyping: how many are right, how well classes are told apart, from probabilities [unit, class].

Classes are those of the cohort's fixed list, whether or not a fold has them.
"""

import numpy as np

from mirrorflow.metrics.calibration import expected_calibration_error, undo_smoothing
from mirrorflow.metrics.weighted import mean_where, ratio


def confusion(probabilities: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Confusion matrices [resample, true class, predicted class]; ties go to the first class."""
    n_classes = probabilities.shape[1]
    cell = classes * n_classes + probabilities.argmax(1)
    cells = np.eye(n_classes * n_classes)[cell]
    return (weights @ cells).reshape(len(weights), n_classes, n_classes)


def accuracy(matrix: np.ndarray) -> np.ndarray:
    """Share of units predicted right, from confusion matrices."""
    return ratio(np.trace(matrix, axis1=1, axis2=2), matrix.sum((1, 2)))


def balanced_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Mean recall over the classes that the evaluation units have (an absent class has no recall)."""
    support = matrix.sum(2)
    recall = ratio(np.diagonal(matrix, axis1=1, axis2=2), support)
    return mean_where(recall, support > 0)


def f1_macro(matrix: np.ndarray) -> np.ndarray:
    """Macro F1 over the fixed list of classes.

    A class that is absent from the evaluation units but predicted counts with F1 = 0; one that is neither there
    nor predicted has none (0 / 0) and is left out (scikit-learn: all ``labels``, ``zero_division=nan``).
    """
    hits = np.diagonal(matrix, axis1=1, axis2=2)
    seen = matrix.sum(2) + matrix.sum(1)
    return mean_where(ratio(2 * hits, seen), seen > 0)


def auroc(probabilities: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve: two classes directly, more one against the rest, mean over classes present."""
    n_classes = probabilities.shape[1]
    if n_classes == 2:
        return _area(probabilities[:, 1], classes == 1, weights)
    areas = np.stack([_area(probabilities[:, c], classes == c, weights) for c in range(n_classes)], axis=1)
    return mean_where(areas, ~np.isnan(areas))


def _area(score: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    difference = score[positive][:, None] - score[~positive][None, :]
    wins = (difference > 0) + 0.5 * (difference == 0)
    up, down = weights[:, positive], weights[:, ~positive]
    return ratio(((up @ wins) * down).sum(1), up.sum(1) * down.sum(1))


def subtyping_metrics(
    probabilities: np.ndarray, classes: np.ndarray, weights: np.ndarray, smoothing: float = 0.0
) -> dict[str, np.ndarray]:
    """Every metric of SUBTYPING_METRICS, each [resample].

    smoothing: label smoothing the method was trained with; where there was some, ``ece_unsmoothed`` is the
    calibration error after it is taken out of the probabilities.
    """
    matrix = confusion(probabilities, classes, weights)
    scores = {
        "accuracy": accuracy(matrix),
        "f1_macro": f1_macro(matrix),
        "balanced_accuracy": balanced_accuracy(matrix),
        "auroc": auroc(probabilities, classes, weights),
        "ece": expected_calibration_error(probabilities, classes, weights),
    }
    if smoothing > 0:
        plain = undo_smoothing(probabilities, smoothing)
        scores["ece_unsmoothed"] = expected_calibration_error(plain, classes, weights)
    return scores
