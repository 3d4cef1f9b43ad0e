"""How sure a table's cell is: mean and deviation over folds, patient-level bootstrap intervals, paired differences.

Patients are resampled within folds, the metric is computed per fold and averaged, so that an interval belongs
to the printed mean; risks of different folds share no scale and are never pooled. The resamples of a fold follow
from the seed, the fold's number and its patients alone: two methods that were evaluated on the same patients see the
same resamples, which pairs their differences.

A bootstrap within folds takes folds for independent, though they train on many of the same patients. So the interval of
a value is widened about it by Nadeau and Bengio's factor (:func:`mirrorflow.metrics.resampled_t.widening`), and a
difference is tested by the corrected resampled t-test as well.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from mirrorflow.metrics.resampled_t import TTest, contributions, evaluation_to_training, t_test, widening

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
    counts: MetricFunction | None = None
    """Pairs [resample] of the fold, by metric: a metric named here weights folds by them, others count folds alike."""
    n_train: int | None = None
    """Training patients of the fold; None: nothing was trained."""


@dataclass(frozen=True)
class Draws:
    """One metric of a cell on every fold: as it is, and on the resamples."""

    points: Mapping[int, float]
    """Fold -> value."""
    resampled: Mapping[int, np.ndarray]
    """Fold -> values [resample]; empty without a bootstrap."""
    patients: Mapping[int, frozenset[str]]
    """Fold -> who was resampled."""
    counts: Mapping[int, float] = field(default_factory=dict)
    """Fold -> what it counts for; empty: folds count alike."""
    resampled_counts: Mapping[int, np.ndarray] = field(default_factory=dict)
    """Fold -> what it counts for in each resample."""
    n_train: Mapping[int, int | None] = field(default_factory=dict)
    """Fold -> training patients."""

    def mean(self) -> float:
        """The printed mean over the folds in which the metric is defined; NaN without any."""
        counts = [np.array([self.counts[k]]) for k in self.points] if self.counts else None
        found = weighted_mean([np.array([value]) for value in self.points.values()], counts)
        return float(found[0]) if len(found) else np.nan

    def means(self) -> np.ndarray:
        """The mean over folds of each resample that is defined in any."""
        counts = [self.resampled_counts[k] for k in self.resampled] if self.resampled_counts else None
        return weighted_mean(list(self.resampled.values()), counts)

    def ratio(self, folds: Sequence[int]) -> float:
        """Evaluation to training patients, mean over ``folds``."""
        return evaluation_to_training([len(self.patients[k]) for k in folds], [self.n_train.get(k) for k in folds])

    def values(self) -> dict[int, float]:
        """Fold -> its value on the scale of one fold, whose mean is the printed one; undefined folds left out."""
        known = [k for k, value in self.points.items() if not np.isnan(value)]
        values = np.array([self.points[k] for k in known])
        if self.counts and len(known):
            values = contributions(values, np.array([self.counts[k] for k in known]))
        return dict(zip(known, values.tolist(), strict=True))


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
    """One method less another on the same patients: mean over folds, interval, two-sided bootstrap p, t-test."""

    mean: float
    ci_low: float
    ci_high: float
    p_value: float
    t_test: TTest | None = None
    """None where there are fewer than two folds."""
    bootstrap_error: float = np.nan
    """Deviation of the resampled differences."""
    widened_by: float = 1.0
    folds: int = 0


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
    counted = [_counts(fold, resamples, seed) for fold in folds]
    return {
        metric: Draws(
            {k: float(points[k][metric][0]) for k in numbers},
            {k: drawn[k][metric] for k in drawn},
            patients,
            {k: float(one[metric][0]) for k, (one, _) in zip(numbers, counted, strict=True) if metric in one},
            {k: many[metric] for k, (_, many) in zip(numbers, counted, strict=True) if metric in many},
            {fold.number: fold.n_train for fold in folds},
        )
        for metric in points[numbers[0]]
    }


def _counts(fold: FoldSample, resamples: int, seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Pairs of a fold as it is, and of its resamples."""
    if fold.counts is None:
        return {}, {}
    whole = fold.counts(np.ones((1, len(fold.patients))))
    return whole, fold.counts(_weights(fold, resamples, seed)) if resamples else {}


def _weights(fold: FoldSample, resamples: int, seed: int) -> np.ndarray:
    return _shared_weights(tuple(fold.patients.tolist()), resamples, seed, fold.number)


@lru_cache(maxsize=32)
def _shared_weights(patients: tuple[str, ...], resamples: int, seed: int, number: int) -> np.ndarray:
    """A fold's resamples are drawn once for all methods that were evaluated on its patients."""
    weights = resample_weights(np.array(patients), resamples, np.random.default_rng([seed, number]))
    weights.flags.writeable = False
    return weights


def estimate(folds: Sequence[FoldSample], *, resamples: int, confidence: float, seed: int) -> dict[str, Estimate]:
    """Estimate every metric of a cell: :func:`bootstrap`, then :func:`summarise`."""
    draws = bootstrap(folds, resamples=resamples, seed=seed)
    return {metric: summarise(one, confidence) for metric, one in draws.items()}


def summarise(draws: Draws, confidence: float) -> Estimate:
    """Mean, deviation and widened percentile interval of the mean over folds.

    Folds (and resamples of a fold) in which a metric is undefined are left out of its mean. The interval covers
    the sampling of evaluation patients and, by the widening, the overlap of training patients.
    """
    values = np.array(list(draws.points.values()))
    defined = [k for k, value in draws.points.items() if not np.isnan(value)]
    mean = draws.mean()
    sd = float(values[~np.isnan(values)].std(ddof=1)) if len(defined) > 1 else np.nan
    low, high = (np.nan,) * 2
    if draws.resampled and defined:
        bounds = interval(draws.means(), confidence)
        low, high = widened(bounds, mean, widening(len(defined), draws.ratio(defined)), limits=(0.0, 1.0))
    return Estimate(mean, sd, low, high, len(defined), tuple(float(value) for value in values))


def widened(
    bounds: tuple[float, float], mean: float, factor: float, limits: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    """``bounds`` moved away from ``mean`` by ``factor``, not beyond ``limits`` unless they were there before."""
    low, high = (mean + factor * (bound - mean) for bound in bounds)
    if factor == 1:
        return bounds
    return max(low, min(limits[0], bounds[0])), min(high, max(limits[1], bounds[1]))


def weighted_mean(by_fold: Sequence[np.ndarray], counts: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """Means [resample] over the folds in which a resample is defined; resamples defined in none are left out.

    counts: what each fold counts for, [fold][resample]; None: folds count alike.
    """
    values = np.stack(by_fold)
    weights = ~np.isnan(values) * (np.stack(counts) if counts is not None else 1.0)
    total = weights.sum(0)
    return (np.where(weights > 0, values, 0) * weights).sum(0)[total > 0] / total[total > 0]


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
    that it is never 0). The interval that is given holds every difference that bootstrap (:func:`not_rejected`) and
    t-test do not both reject, so that it leaves 0 out exactly where both find a difference. Without a t-test it is the
    percentile interval, widened.
    """
    shared = [k for k in one.points if k in other.points and one.patients[k] == other.patients[k]]
    less = _less(one, other, shared)
    values = less.values()
    if not values:
        return Difference(np.nan, np.nan, np.nan, np.nan)
    mean = less.mean()
    ratio = one.ratio(list(values))
    test, factor = t_test(np.array(list(values.values())), mean, ratio, confidence), widening(len(values), ratio)
    if not less.resampled:
        return Difference(mean, np.nan, np.nan, np.nan, test, folds=len(values))
    means = less.means()
    if test is None:
        low, high = widened(interval(means, confidence), mean, factor)
    else:
        low, high = either(not_rejected(means, confidence), test)
    error = float(means.std(ddof=1)) if len(means) > 1 else np.nan
    return Difference(mean, low, high, two_sided_p(means), test, error, factor, len(values))


def _less(one: Draws, other: Draws, shared: Sequence[int]) -> Draws:
    """The differences of ``shared`` folds as draws of their own: pairs count for both alike."""
    drawn = [k for k in shared if k in one.resampled and k in other.resampled]
    return Draws(
        {k: one.points[k] - other.points[k] for k in shared},
        {k: one.resampled[k] - other.resampled[k] for k in drawn},
        {k: one.patients[k] for k in shared},
        {k: one.counts[k] for k in shared} if one.counts else {},
        {k: one.resampled_counts[k] for k in drawn} if one.resampled_counts else {},
        one.n_train,
    )


def two_sided_p(differences: np.ndarray) -> float:
    """Two-sided bootstrap p value of "no difference" from resampled differences; NaN without any."""
    if len(differences) == 0:
        return np.nan
    rounded = _less_rounding(differences)
    smaller = np.minimum((rounded <= 0).sum(), (rounded >= 0).sum())
    return float(_p_of(smaller, len(differences)))


def not_rejected(differences: np.ndarray, confidence: float) -> tuple[float, float]:
    """The least and the largest difference that :func:`two_sided_p` does not reject at 1 - ``confidence``.

    An order statistic of the resampled differences at each end: a quantile between two of them would leave out what is
    not rejected. Where the resamples are too few to reject anything, 0 is always inside. NaN without any.
    """
    count = len(differences)
    if count == 0:
        return np.nan, np.nan
    ordered = np.sort(_less_rounding(differences))
    beyond = int((_p_of(np.arange(count), count) < 1 - confidence).sum())
    if beyond == 0:
        return min(float(ordered[0]), 0.0), max(float(ordered[-1]), 0.0)
    return float(ordered[beyond - 1]), float(ordered[-beyond])


def either(bounds: tuple[float, float], test: TTest) -> tuple[float, float]:
    """The interval that holds ``bounds`` and the t-test's."""
    return min(bounds[0], test.ci_low), max(bounds[1], test.ci_high)


def _p_of(smaller: np.ndarray, count: int) -> np.ndarray:
    """p where ``smaller`` of ``count`` resamples are on the smaller side, the observed one counted."""
    return np.minimum(1.0, 2 * (1 + smaller) / (1 + count))


def _less_rounding(differences: np.ndarray) -> np.ndarray:
    return np.where(np.abs(differences) < 1e-12, 0.0, differences)


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment (Holm 1979) of a family of p values; NaN stays NaN and does not count."""
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(order) else scaled
    return adjusted
