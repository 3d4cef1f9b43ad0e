"""Moments of patches, made of parts and merged exactly: mean and deviation by which patch features are standardised."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RUN_ROWS = 128
"""Rows at a time: their float64 copy stays in the cache."""


@dataclass(frozen=True)
class Moments:
    """Number of patches, their mean [feature], and the sum of squared distances from it [feature]; float64."""

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    def merged(self, other: "Moments") -> "Moments":
        """Of both together (Chan et al. 1979)."""
        if not self.count or not other.count:
            return other if not self.count else self
        count, shift = self.count + other.count, other.mean - self.mean
        squares = self.squares + other.squares + shift**2 * (self.count * other.count / count)
        return Moments(count, self.mean + shift * (other.count / count), squares)


NOTHING = Moments(0, np.zeros(1), np.zeros(1))


def moments_of_runs(runs: Iterable[NDArray]) -> Moments:
    """Of rows [row, feature] that come in runs: distances from the first run's mean, so that nothing cancels out."""
    count, shift = 0, np.zeros(1)
    sums, squares = np.zeros(1), np.zeros(1)
    for run in runs:
        if not len(run):
            continue
        if not count:
            shift = run.mean(axis=0, dtype=np.float64)
        away = run - shift
        count, sums = count + len(run), sums + away.sum(axis=0)
        squares = squares + np.einsum("ij,ij->j", away, away)
    if not count:
        return NOTHING
    return Moments(count, shift + sums / count, np.maximum(squares - sums * sums / count, 0.0))


def moments_of(bag: NDArray) -> Moments:
    """Of the patches of a bag [patch, feature]."""
    return moments_of_runs(bag[first : first + RUN_ROWS] for first in range(0, len(bag), RUN_ROWS))


def mean_and_deviation(parts: Iterable[Moments]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation [feature] of all patches; a constant feature gets sd 1."""
    whole = NOTHING
    for part in parts:
        whole = whole.merged(part)
    sd = np.sqrt(whole.squares / max(whole.count, 1))
    sd[sd <= 1e-6 * np.maximum(np.abs(whole.mean), 1e-6)] = 1.0
    return whole.mean.astype(np.float32), sd.astype(np.float32)
