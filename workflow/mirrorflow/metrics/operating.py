"""Curves over all thresholds: true positives by false positives (ROC), precision by recall.

Weights [resample, unit] count units, as everywhere in :mod:`mirrorflow.metrics`. Units of one score come and go
together. A resample without a positive, or for the ROC without a negative, has no curve: NaN.
"""

import numpy as np

from mirrorflow.metrics.weighted import ratio

ROUNDING = 1e-9
"""Of a recall: a sum of weights over a sum of weights."""


def roc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray, at: np.ndarray) -> np.ndarray:
    """True positive rate [resample, point] where the false positive rate is ``at`` [point].

    Straight lines between thresholds, so that the area is the AUROC with ties counted half. Where the curve is
    vertical it is at its top.
    """
    hits, misses = _cumulated(scores, positive, weights)
    true, false = ratio(hits, hits[:, -1:]), ratio(misses, misses[:, -1:])
    start = np.zeros((len(weights), 1))
    true, false = np.hstack([start, true]), np.hstack([start, false])
    return np.stack([_on_top(at, x, y) for x, y in zip(false, true, strict=True)])


def _on_top(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``y`` at ``at`` by straight lines; of several points with one x the last, as numpy's interp takes it."""
    if np.isnan(x).any() or np.isnan(y).any():
        return np.full(len(at), np.nan)
    return np.interp(at, x, y)


def precision_at(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Precision [resample, point] at the strictest threshold whose recall reaches ``at`` [point].

    A step function, whose integral is scikit-learn's average precision: nothing is interpolated, which would promise
    too much (Davis and Goadrich 2006).
    """
    hits, misses = _cumulated(scores, positive, weights)
    recall, precision = ratio(hits, hits[:, -1:]), ratio(hits, hits + misses)
    reached = recall[:, None, :] >= at[:, None] - ROUNDING
    first = reached.argmax(axis=2)
    found = np.take_along_axis(precision, first, axis=1)
    return np.where(np.isnan(recall[:, -1:]), np.nan, found)


def _cumulated(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positives and negatives [resample, threshold] with at least each score, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    ours = positive[order]
    hits = np.cumsum(weights[:, order] * ours, axis=1)[:, ends]
    misses = np.cumsum(weights[:, order] * ~ours, axis=1)[:, ends]
    return hits, misses
