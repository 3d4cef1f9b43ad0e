"""How sure a table's cell is: mean and deviation over folds, patient-level bootstrap intervals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

MetricFunction = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Weights [resample, unit] of one fold -> metric -> values [resample]."""


@dataclass(frozen=True)
class FoldSample:
    """One fold of a cell: whose units they are and how they are scored."""

    patients: np.ndarray
    """[unit] patient of each unit: patients are resampled, with all their units."""
    score: MetricFunction


@dataclass(frozen=True)
class Estimate:
    """Mean over folds, standard deviation over folds (ddof 1, as published) and bootstrap interval."""

    mean: float
    sd: float
    ci_low: float
    ci_high: float
    folds: int
    by_fold: tuple[float, ...]


def resample_weights(patients: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Counts [resample, unit] of a bootstrap over patients: a patient's units come and go together."""
    names, owner = np.unique(patients, return_inverse=True)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return counts[:, owner].astype(float)


def estimate(folds: Sequence[FoldSample], *, resamples: int, confidence: float, seed: int) -> dict[str, Estimate]:
    """Estimate every metric of a cell.

    Patients are resampled within folds, the metric is computed per fold and averaged, so that the interval
    belongs to the printed mean; risks of different folds share no scale and are never pooled. Folds (and
    resamples of a fold) in which a metric is undefined are left out of its mean. The percentile interval
    covers the sampling of evaluation patients, not the variance of training.
    """
    rng = np.random.default_rng(seed)
    points = [fold.score(np.ones((1, len(fold.patients)))) for fold in folds]
    draws = [fold.score(resample_weights(fold.patients, resamples, rng)) for fold in folds] if resamples else []
    return {
        metric: _estimate([float(point[metric][0]) for point in points], [draw[metric] for draw in draws], confidence)
        for metric in points[0]
    }


def _estimate(by_fold: list[float], draws: list[np.ndarray], confidence: float) -> Estimate:
    values = np.array(by_fold)
    defined = values[~np.isnan(values)]
    mean = float(defined.mean()) if len(defined) else np.nan
    sd = float(defined.std(ddof=1)) if len(defined) > 1 else np.nan
    low, high = _interval(np.stack(draws), confidence) if draws and len(defined) else (np.nan, np.nan)
    return Estimate(mean, sd, low, high, len(defined), tuple(by_fold))


def _interval(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval of the mean over folds [fold, resample]."""
    counted = ~np.isnan(draws)
    n_folds = counted.sum(0)
    means = np.where(counted, np.nan_to_num(draws), 0).sum(0)[n_folds > 0] / n_folds[n_folds > 0]
    if len(means) == 0:
        return np.nan, np.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
