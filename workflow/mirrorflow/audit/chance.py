"""What chance alone makes of something seen: the same figure after the patients' sites were dealt out anew."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 199
"""So many that the least p is 0.005."""
ALPHA = 0.05
"""p up to which a figure is beyond chance."""


@dataclass(frozen=True)
class Chance:
    """A figure, the largest one of ``permutations``, and p: how often permutations reach it, itself counted.

    p = (1 + permutations that reach the figure) / (1 + permutations) (Phipson & Smyth 2010). NaN: undefined.
    """

    value: float
    largest: float
    p: float
    permutations: int

    @property
    def beyond(self) -> bool:
        """Whether the figure is beyond chance."""
        return self.p <= ALPHA

    def words(self, digits: int = 3) -> str:
        """``largest of 199 permutations 0.601, p = 0.005``."""
        return f"largest of {self.permutations} permutations {self.largest:.{digits}f}, p = {self.p:.3f}"


def against_chance(
    figure: Callable[[NDArray[np.intp]], float], count: int, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> Chance:
    """``figure`` of a permutation of ``count`` patients, as they are and permuted ``permutations`` times.

    The seed decides the permutations.
    """
    value, rng = figure(np.arange(count)), np.random.default_rng(seed)
    others = np.array([figure(rng.permutation(count)) for _ in range(permutations)])
    if np.isnan(value) or not len(others):
        return Chance(value, np.nan, np.nan, permutations)
    reached = int((others >= value - 1e-12).sum())
    return Chance(value, float(np.nanmax(others)), (1 + reached) / (1 + permutations), permutations)


def with_most(placed: Sequence[tuple[str, str]], order: NDArray[np.intp]) -> float:
    """How many of ``placed`` (site, label) have the label of most of their site, when the labels are dealt out anew."""
    counts = Counter((site, placed[other][1]) for (site, _), other in zip(placed, order, strict=True))
    most: dict[str, int] = {}
    for (site, _), count in counts.items():
        most[site] = max(most.get(site, 0), count)
    return float(sum(most.values()))
