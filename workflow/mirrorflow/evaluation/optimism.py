"""The effect of a published choice: the same method under two protocols, paired by patient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mirrorflow.metrics.inference import Difference, FoldSample, interval, two_sided_p
from mirrorflow.metrics.resampled_t import evaluation_to_training, widening

WITHIN, ACROSS = "within folds", "across folds"


@dataclass(frozen=True)
class Effect:
    """A single change's mean less the base's: both means, the difference, and how patients were paired."""

    base_mean: float
    single_change_mean: float
    difference: Difference
    pairing: str
    patients: int


def single_change_effect(
    base: Sequence[FoldSample], single_change: Sequence[FoldSample], *, resamples: int, confidence: float, seed: int
) -> dict[str, Effect]:
    """Metric -> effect: mean over folds under ``single_change`` less that under ``base``.

    Both see the same resampled patients. Where a fold's patients are the same on both sides, or a subset (units lost
    with the last batch), they are resampled within folds; where the folds themselves differ, over all evaluated
    patients, each with all units wherever they are evaluated.
    """
    pairing = WITHIN if _same_folds(base, single_change) else ACROSS
    draws = (
        _within(base, single_change, resamples, seed)
        if pairing == WITHIN
        else _across(base, single_change, resamples, seed)
    )
    one = [np.ones((1, len(fold.patients))) for fold in (*base, *single_change)]
    points, drawn = _scores(base, single_change, one), _scores(base, single_change, draws) if resamples else None
    patients = len({name for fold in (*base, *single_change) for name in fold.patients})
    found = {}
    for metric in points[0]:
        if metric not in points[1]:
            continue
        means = [float(side[metric][0]) for side in points]
        difference = _difference(means[1] - means[0], metric, drawn, confidence, _widening(base))
        found[metric] = Effect(means[0], means[1], difference, pairing, patients)
    return found


def _same_folds(base: Sequence[FoldSample], single_change: Sequence[FoldSample]) -> bool:
    ours, theirs = ({fold.number: set(fold.patients) for fold in side} for side in (base, single_change))
    return set(ours) == set(theirs) and all(ours[k] <= theirs[k] or theirs[k] <= ours[k] for k in ours)


def _within(
    base: Sequence[FoldSample], single_change: Sequence[FoldSample], resamples: int, seed: int
) -> list[np.ndarray]:
    names = {fold.number: np.unique(fold.patients) for fold in base}
    for fold in single_change:
        names[fold.number] = np.union1d(names[fold.number], fold.patients)
    counts = {k: _counts(len(found), resamples, [seed, k]) for k, found in names.items()}
    return [
        counts[fold.number][:, np.searchsorted(names[fold.number], fold.patients)].astype(float)
        for fold in (*base, *single_change)
    ]


def _across(
    base: Sequence[FoldSample], single_change: Sequence[FoldSample], resamples: int, seed: int
) -> list[np.ndarray]:
    names = np.unique(np.concatenate([fold.patients for fold in (*base, *single_change)]))
    counts = _counts(len(names), resamples, [seed])
    return [counts[:, np.searchsorted(names, fold.patients)].astype(float) for fold in (*base, *single_change)]


def _counts(patients: int, resamples: int, seed: Sequence[int]) -> np.ndarray:
    rng = np.random.default_rng(list(seed))
    return rng.multinomial(patients, np.full(patients, 1 / patients), size=resamples)


def _scores(
    base: Sequence[FoldSample], single_change: Sequence[FoldSample], weights: Sequence[np.ndarray]
) -> list[dict[str, np.ndarray]]:
    """Mean over folds [resample] of each metric, of the base and of the change."""
    scored = [fold.score(drawn) for fold, drawn in zip((*base, *single_change), weights, strict=True)]
    sides = scored[: len(base)], scored[len(base) :]
    return [{metric: _mean([fold[metric] for fold in side]) for metric in side[0]} for side in sides]


def _mean(by_fold: Sequence[np.ndarray]) -> np.ndarray:
    values = np.stack(by_fold)
    counted = ~np.isnan(values)
    total = np.where(counted, np.nan_to_num(values), 0.0).sum(0)
    return np.where(counted.any(0), total / np.maximum(counted.sum(0), 1), np.nan)


def _widening(folds: Sequence[FoldSample]) -> float:
    """For the overlap of training patients."""
    sizes = [len(set(fold.patients)) for fold in folds]
    return widening(len(folds), evaluation_to_training(sizes, [fold.n_train for fold in folds]))


def _difference(
    mean: float, metric: str, drawn: Sequence[dict[str, np.ndarray]] | None, confidence: float, factor: float
) -> Difference:
    """With the resampled differences moved away from the mean by ``factor``, for interval and p alike."""
    if drawn is None or np.isnan(mean):
        return Difference(mean, np.nan, np.nan, np.nan)
    differences = drawn[1][metric] - drawn[0][metric]
    differences = mean + factor * (differences[~np.isnan(differences)] - mean)
    return Difference(mean, *interval(differences, confidence), two_sided_p(differences))
