"""How near slide and RNA vectors of a patient lie: distances in the vectors' own space, retrieval, intervals.

All after scaling to length 1. Nothing here is measured on a map. A resample draws patients of the fold; distances and
recalls of the gallery as it is are weighed by it, so that a patient who is drawn twice is no neighbour of himself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mirrorflow.errors import InputError
from mirrorflow.evaluation.bands import Resampling
from mirrorflow.metrics.inference import resample_weights
from mirrorflow.metrics.resampled_t import evaluation_to_training, widening
from mirrorflow.metrics.weighted import ratio
from mirrorflow.training.retrieval import ahead_of_own, chance_at, of_length_one

FEWEST = 4
"""Evaluation units of a fold; fewer say nothing, and have no map."""
KS = (1, 5)
PAIRS, SPREAD, RELATIVE, GAP = "distance of pairs", "spread within modalities", "pairs / spread", "centroid gap"
TO_RNA, TO_SLIDE = "slide to RNA recall@{k}", "RNA to slide recall@{k}"


@dataclass(frozen=True)
class Vectors:
    """Slide and RNA vectors [unit, width] of a fold's evaluation units; patients [unit]; trained: training patients."""

    fold: int
    slide: np.ndarray
    rna: np.ndarray
    patients: Sequence[str]
    trained: int

    def __post_init__(self) -> None:
        if not (np.isfinite(self.slide).all() and np.isfinite(self.rna).all()):
            message = f"fold {self.fold}: a vector holds NaN or infinity; embed again"
            raise InputError(message)
        if len(self.slide) < FEWEST:
            message = f"fold {self.fold}: {len(self.slide)} evaluation units with both modalities; {FEWEST} at least"
            raise InputError(message)


@dataclass(frozen=True)
class Measured:
    """A measure of a fold (None: the mean over folds) with its interval; by_chance: NaN where chance gives none."""

    fold: int | None
    measure: str
    value: float
    low: float
    high: float
    by_chance: float
    units: int


def length_one(vectors: np.ndarray) -> np.ndarray:
    """Vectors [unit, width] scaled to length 1, in float64."""
    return of_length_one(np.asarray(vectors, np.float64))


def scores(of: Vectors, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Measures [resample] under weights [resample, unit] of the units."""
    slide, rna, patients = length_one(of.slide), length_one(of.rna), np.asarray(of.patients)
    total = weights.sum(1)
    pairs = weights @ np.linalg.norm(slide - rna, axis=1) / total
    other = patients[:, None] != patients[None, :]
    spread = (_within(slide, other, weights) + _within(rna, other, weights)) / 2
    gap = _of_pairs((slide - rna) @ (slide - rna).T, other, weights)
    found = {PAIRS: pairs, SPREAD: spread, RELATIVE: ratio(pairs, spread), GAP: np.sqrt(np.maximum(gap, 0))}
    for name, queries, gallery in ((TO_RNA, slide, rna), (TO_SLIDE, rna, slide)):
        ahead = ahead_of_own(queries, gallery, ~other)
        found |= {name.format(k=k): weights @ (ahead < k) / total for k in KS}
    return found


def _within(vectors: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean distance [resample] of vectors of different patients."""
    return _of_pairs(np.sqrt(np.maximum(2 - 2 * vectors @ vectors.T, 0)), other, weights)


def _of_pairs(values: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean value [resample] over pairs of units [unit, unit] of different patients; NaN where a resample has one alone.

    Of differences' products it is the squared distance of the modalities' means without what the patients' scatter adds
    to that, which grows in resamples.
    """
    both = ((weights @ other) * weights).sum(1)
    return ratio(((weights @ (values * other)) * weights).sum(1), both)


def measured(folds: Sequence[Vectors], how: Resampling) -> list[Measured]:
    """Every fold with the percentile interval of its resamples, then the mean over folds, its interval widened for
    training patients that folds share (:func:`mirrorflow.metrics.resampled_t.widening`).
    """
    by_fold = {one.fold: scores(one, _weights(one, how)) for one in folds}
    chance = {one.fold: _chance(one) for one in folds}
    rows = [row for one in folds for row in _rows(one.fold, by_fold[one.fold], chance[one.fold], len(one.slide), how)]
    mean = {name: np.mean([by_fold[one.fold][name] for one in folds], axis=0) for name in by_fold[folds[0].fold]}
    by_chance = {name: float(np.mean([one[name] for one in chance.values()])) for name in chance[folds[0].fold]}
    units = sum(len(one.slide) for one in folds)
    return [*rows, *_rows(None, mean, by_chance, units, how, _widened(folds))]


def _weights(one: Vectors, how: Resampling) -> np.ndarray:
    rng = np.random.default_rng([how.seed, one.fold])
    drawn = resample_weights(np.asarray(one.patients), how.resamples, rng)
    return np.vstack([np.ones((1, len(one.slide))), drawn])


def _widened(folds: Sequence[Vectors]) -> float:
    evaluated = [len(set(one.patients)) for one in folds]
    return widening(len(folds), evaluation_to_training(evaluated, [one.trained for one in folds]))


def _chance(one: Vectors) -> dict[str, float]:
    """Of recall in a gallery in random order; of pairs the mean distance of vectors of different patients."""
    by_k, patients = chance_at(one.patients, KS), np.asarray(one.patients)
    squared = np.maximum(2 - 2 * length_one(one.slide) @ length_one(one.rna).T, 0)
    other = patients[:, None] != patients[None, :]
    unpaired = float(np.sqrt(squared)[other].mean()) if other.any() else np.nan
    return {name.format(k=k): by_k[k] for name in (TO_RNA, TO_SLIDE) for k in KS} | {PAIRS: unpaired}


def _rows(
    fold: int | None,
    found: Mapping[str, np.ndarray],
    chance: Mapping[str, float],
    units: int,
    how: Resampling,
    factor: float = 1.0,
) -> Iterator[Measured]:
    tail = (1 - how.confidence) / 2
    for name, values in found.items():
        known = values[1:][np.isfinite(values[1:])]
        value = float(values[0])
        low, high = np.quantile(known, [tail, 1 - tail]) if len(known) else (np.nan, np.nan)
        ends = (value + factor * (float(end) - value) for end in (low, high))
        low, high = (min(max(end, 0.0), 1.0) if "recall" in name else end for end in ends)
        yield Measured(fold, name, value, low, high, chance.get(name, np.nan), units)


def less_than(mine: Sequence[Vectors], theirs: Sequence[Vectors], how: Resampling) -> Measured:
    """By which share the mean distance of pairs is below another method's, on the same patients: one bootstrap of both.

    Raises InputError where the folds' patients differ.
    """
    if [(one.fold, list(one.patients)) for one in mine] != [(one.fold, list(one.patients)) for one in theirs]:
        message = "the two methods are evaluated on other patients: their distances do not compare"
        raise InputError(message)
    both = [np.mean([scores(one, _weights(one, how))[PAIRS] for one in folds], axis=0) for folds in (mine, theirs)]
    share = 1 - both[0] / both[1]
    (row,) = _rows(None, {"less than TANGLE's": share}, {}, sum(len(one.slide) for one in mine), how, _widened(mine))
    return row
