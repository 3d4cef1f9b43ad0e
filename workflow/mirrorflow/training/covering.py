"""Repeated draws of a bag that cover all its patches, and a weight of every patch from the draws that it is in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


def cover(size: int, tokens: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws of ``tokens`` patches each (fewer of a smaller bag), in random order, in which every patch of ``size`` is.

    No patch is twice in one draw; the last one is filled up with patches of the others.
    """
    order = rng.permutation(size)
    draws = [order[start : start + tokens] for start in range(0, size, tokens)]
    missing = tokens - len(draws[-1])
    if len(draws) > 1 and missing:
        others = np.setdiff1d(order, draws[-1])
        draws[-1] = np.concatenate([draws[-1], rng.choice(others, size=missing, replace=False)])
    return draws


@dataclass(frozen=True)
class Covered:
    """Of repeated draws: mean weight of each patch and its deviation over the draws [patch], and in how many it was.

    A weight is times the number of patches in its draw: 1 where all weigh the same. The deviation is NaN for a patch
    that was drawn once.
    """

    mean: np.ndarray
    deviation: np.ndarray
    drawn: np.ndarray


def covered(draws: Sequence[np.ndarray], size: int, weigh: Callable[[np.ndarray], np.ndarray]) -> list[Covered]:
    """Of every kind of weight that ``weigh`` gives for a draw's patches [kind, patch]."""
    counts = np.zeros(size)
    total = squares = np.zeros((1, size))
    for draw in draws:
        values = np.asarray(weigh(draw), float) * len(draw)
        if not counts.any():
            total, squares = (np.zeros((len(values), size)) for _ in range(2))
        counts[draw] += 1
        total[:, draw] += values
        squares[:, draw] += values**2
    mean = total / counts
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = (squares - counts * mean**2).clip(min=0) / (counts - 1)
    deviation = np.where(counts > 1, np.sqrt(variance), np.nan)
    return [Covered(one, spread, counts.astype(int)) for one, spread in zip(mean, deviation, strict=True)]
