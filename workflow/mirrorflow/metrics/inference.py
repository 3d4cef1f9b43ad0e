"""How sure a table's cell is: mean and deviation over folds, patient-level bootstrap intervals, paired differences.

Patients are resampled within folds, the metric is computed per fold and averaged, so that an interval belongs
to the printed mean; risks of different folds share no scale and are never pooled. The resamples of a fold follow
from the seed, the fold's number and its patients alone: two methods that were evaluated on the same patients see the
same resamples, which pairs their differences.
"""

from collections.abc import Callable, Mapping, Sequence
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
    number: int = 0
    """Number of the fold, which decides its resamples."""


@dataclass(frozen=True)
class Draws:
    """One metric of a cell on every fold: as it is, and on the resamples."""

    points: Mapping[int, float]
    """Fold -> value."""
    resampled: Mapping[int, np.ndarray]
    """Fold -> values [resample]; empty without a bootstrap."""
    patients: Mapping[int, frozenset[str]]
    """Fold -> who was resampled."""


@dataclass(frozen=True)
class Estimate:
    """Mean over folds, standard deviation over folds (ddof 1, as published) and bootstrap interval."""

    mean: float
    sd: float
    ci_low: float
    ci_high: float
    folds: int
    by_fold: tuple[float, ...]


@dataclass(frozen=True)
class Difference:
    """One method less another on the same patients: mean over folds, interval, two-sided bootstrap p."""

    mean: float
    ci_low: float
    ci_high: float
    p_value: float


def resample_weights(patients: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Counts [resample, unit] of a bootstrap over patients: a patient's units come and go together."""
    names, owner = np.unique(patients, return_inverse=True)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    return counts[:, owner].astype(float)


def bootstrap(folds: Sequence[FoldSample], *, resamples: int, seed: int) -> dict[str, Draws]:
    """Score every fold and its resamples; metric -> draws. Fold numbers must differ."""
    numbers = [fold.number for fold in folds]
    if len(set(numbers)) < len(numbers):
        message = f"folds {numbers}: a number stands twice"
        raise ValueError(message)
    points = {fold.number: fold.score(np.ones((1, len(fold.patients)))) for fold in folds}
    drawn = {fold.number: fold.score(_weights(fold, resamples, seed)) for fold in folds} if resamples else {}
    patients = {fold.number: frozenset(fold.patients.tolist()) for fold in folds}
    return {
        metric: Draws(
            {k: float(points[k][metric][0]) for k in numbers},
            {k: drawn[k][metric] for k in drawn},
            patients,
        )
        for metric in points[numbers[0]]
    }


def _weights(fold: FoldSample, resamples: int, seed: int) -> np.ndarray:
    return resample_weights(fold.patients, resamples, np.random.default_rng([seed, fold.number]))


def estimate(folds: Sequence[FoldSample], *, resamples: int, confidence: float, seed: int) -> dict[str, Estimate]:
    """Estimate every metric of a cell: :func:`bootstrap`, then :func:`summarise`."""
    draws = bootstrap(folds, resamples=resamples, seed=seed)
    return {metric: summarise(one, confidence) for metric, one in draws.items()}


def summarise(draws: Draws, confidence: float) -> Estimate:
    """Mean, deviation and percentile interval of the mean over folds.

    Folds (and resamples of a fold) in which a metric is undefined are left out of its mean. The interval covers
    the sampling of evaluation patients, not the variance of training.
    """
    values = np.array(list(draws.points.values()))
    defined = values[~np.isnan(values)]
    mean = float(defined.mean()) if len(defined) else np.nan
    sd = float(defined.std(ddof=1)) if len(defined) > 1 else np.nan
    bootstrapped = len(draws.resampled) > 0 and len(defined) > 0
    low, high = interval(mean_over_folds(list(draws.resampled.values())), confidence) if bootstrapped else (np.nan,) * 2
    return Estimate(mean, sd, low, high, len(defined), tuple(float(value) for value in values))


def mean_over_folds(by_fold: Sequence[np.ndarray]) -> np.ndarray:
    """Means [resample] over the folds in which a resample is defined; resamples defined in none are left out."""
    values = np.stack(by_fold)
    counted = ~np.isnan(values)
    n_folds = counted.sum(0)
    return np.where(counted, np.nan_to_num(values), 0).sum(0)[n_folds > 0] / n_folds[n_folds > 0]


def interval(means: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile interval of resampled means; NaN without any."""
    if len(means) == 0:
        return np.nan, np.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def paired_difference(one: Draws, other: Draws, confidence: float) -> Difference:
    """``one`` less ``other`` over the folds that both have with the same patients; NaN where there are none.

    The p value is twice the smaller share of resamples on one side of zero (with the observed one counted, so
    that it is never 0): what inverts the percentile interval.
    """
    shared = [k for k in one.points if k in other.points and one.patients[k] == other.patients[k]]
    points = np.array([one.points[k] - other.points[k] for k in shared])
    if np.isnan(points).all():
        return Difference(np.nan, np.nan, np.nan, np.nan)
    mean = float(np.nanmean(points))
    drawn = [one.resampled[k] - other.resampled[k] for k in shared if k in one.resampled and k in other.resampled]
    if not drawn:
        return Difference(mean, np.nan, np.nan, np.nan)
    means = mean_over_folds(drawn)
    return Difference(mean, *interval(means, confidence), two_sided_p(means))


def two_sided_p(differences: np.ndarray) -> float:
    """Two-sided bootstrap p value of "no difference" from resampled differences; NaN without any."""
    if len(differences) == 0:
        return np.nan
    rounded = np.where(np.abs(differences) < 1e-12, 0.0, differences)
    smaller = min((rounded <= 0).sum(), (rounded >= 0).sum())
    return float(min(1.0, 2 * (1 + smaller) / (1 + len(differences))))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment (Holm 1979) of a family of p values; NaN stays NaN and does not count."""
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(order) else scaled
    return adjusted
