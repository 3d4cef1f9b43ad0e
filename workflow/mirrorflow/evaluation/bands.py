"""Curves over folds: their mean, and a band as wide as the tables' intervals.

Each fold has its curve and that of each resample of its patients; curves are averaged over folds point by point, as the
tables average metrics. The band is the percentile interval of these means, widened for training patients that folds
share (:func:`mirrorflow.metrics.resampled_t.widening`). It is pointwise.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mirrorflow.evaluation.folds import FoldRows
from mirrorflow.metrics.inference import resample_weights
from mirrorflow.metrics.resampled_t import evaluation_to_training, widening


@dataclass(frozen=True)
class Resampling:
    """How bands are drawn: resamples of the patients, seed, confidence."""

    resamples: int
    seed: int
    confidence: float

    def weights(self, part: FoldRows, patients: np.ndarray) -> np.ndarray:
        """[1 + resample, unit]: the fold itself, then its resamples, the same for every method."""
        drawn = resample_weights(patients, self.resamples, np.random.default_rng([self.seed, part.number]))
        return np.vstack([np.ones((1, len(patients))), drawn])


@dataclass(frozen=True)
class Band:
    """Mean over folds and pointwise interval, each [point] at ``where``; NaN where no fold has a value."""

    where: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def widening_of(parts: Sequence[FoldRows]) -> float:
    """The factor of these folds (:func:`mirrorflow.evaluation.with_training` says on how many each was trained)."""
    evaluated = [part.rows["patient"].nunique() for part in parts]
    return widening(len(parts), evaluation_to_training(evaluated, [part.n_train for part in parts]))


def band_over(parts: Sequence[FoldRows], where: np.ndarray, by_fold: Sequence[np.ndarray], confidence: float) -> Band:
    """:func:`band` of these folds' curves, widened as the tables' intervals, by folds whose own curve is defined."""
    defined = [part for part, curves in zip(parts, by_fold, strict=True) if not np.isnan(curves[0]).all()]
    return band(where, by_fold, widening_of(defined) if defined else 1.0, confidence)


def band(where: np.ndarray, by_fold: Sequence[np.ndarray], factor: float, confidence: float) -> Band:
    """From curves [1 + resample, point] of each fold, the fold's own first; values are shares."""
    tail = (1 - confidence) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of points where every fold is undefined: they are NaN
        means = np.nanmean(np.stack(by_fold), axis=0)
        low, high = np.nanquantile(means[1:], [tail, 1 - tail], axis=0) if len(means) > 1 else (means[0], means[0])
    mean = means[0]
    return Band(where, mean, np.clip(mean + factor * (low - mean), 0, 1), np.clip(mean + factor * (high - mean), 0, 1))
