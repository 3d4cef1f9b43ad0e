"""How much a model's genes count: shares, ranks, overlap of folds, gene sets against the model's own genes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np


def shares(values: np.ndarray) -> np.ndarray:
    """Attributions [unit, gene] as shares of each unit's absolute sum, with their signs; 0 where all are 0."""
    total = np.abs(values).sum(1, keepdims=True)
    return np.divide(values, total, out=np.zeros_like(values, dtype=float), where=total > 0)


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each value [gene], 1 for the largest; of equal ones the first has the lower."""
    order = np.argsort(-values, kind="stable")
    found = np.empty(len(values), int)
    found[order] = np.arange(1, len(values) + 1)
    return found


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of two [gene]; NaN where either is constant or has fewer than 3."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)


@dataclass(frozen=True)
class Overlap:
    """Genes that the top lists of two folds share: a mean over pairs of folds, beside what chance shares.

    largest_p: of the pairs, that at least so many are shared (hypergeometric), the genes that both folds have being
    the background. Folds share training patients, so that chance is left more often than it says.
    """

    pairs: int
    shared: float
    expected: float
    largest_p: float


def overlap(lists: Sequence[Mapping[str, float]], top: int) -> Overlap | None:
    """Of importance by gene, one mapping a fold; None where no two folds have a gene in common."""
    found = [one for a, b in combinations(lists, 2) if (one := _pair(a, b, top)) is not None]
    if not found:
        return None
    shared, expected, p = np.array(found).T
    return Overlap(len(found), float(shared.mean()), float(expected.mean()), float(p.max()))


def _pair(first: Mapping[str, float], second: Mapping[str, float], top: int) -> tuple[float, float, float] | None:
    from scipy.stats import hypergeom

    both = [name for name in first if name in second]
    if not both:
        return None
    chosen = [
        {both[at] for at in np.argsort([-one[name] for name in both], kind="stable")[:top]} for one in (first, second)
    ]
    size, shared = len(chosen[0]), len(chosen[0] & chosen[1])
    return shared, size * size / len(both), float(hypergeom.sf(shared - 1, len(both), size, size))


@dataclass(frozen=True)
class SetTest:
    """A gene set among the model's own genes: how many of its symbols they have, how often one of them counts more
    than a gene outside (``above``: 0.5 by chance), one-sided rank-sum p, and q after Benjamini and Hochberg.
    """

    name: str
    genes: int
    of: int
    above: float
    p: float
    q: float


LEAST = 5
"""Genes of a set that a model must have for it to be tested."""


def set_tests(importance: Mapping[str, float], sets: Mapping[str, Sequence[str]]) -> tuple[list[SetTest], list[str]]:
    """Tests of the sets with LEAST genes at least inside and outside among the symbols of ``importance``, smallest p
    first; names of the others.
    """
    from scipy.stats import mannwhitneyu

    tested, left_out = [], []
    for name, members in sets.items():
        inside = [value for symbol, value in importance.items() if symbol in set(members)]
        outside = [value for symbol, value in importance.items() if symbol not in set(members)]
        if min(len(inside), len(outside)) < LEAST:
            left_out.append(name)
            continue
        found = mannwhitneyu(inside, outside, alternative="greater")
        above = float(found.statistic) / (len(inside) * len(outside))
        tested.append((float(found.pvalue), name, len(inside), len(set(members)), above))
    tested.sort()
    adjusted = benjamini_hochberg([one[0] for one in tested])
    return [
        SetTest(name, n, of, above, p, q) for (p, name, n, of, above), q in zip(tested, adjusted, strict=True)
    ], left_out


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p-values of sorted ones: the false discovery rate at which each would be called."""
    count = len(p)
    raw = np.array(p, float) * count / np.arange(1, count + 1)
    return np.minimum(1.0, np.minimum.accumulate(raw[::-1])[::-1]).tolist()


def by_symbol(values: np.ndarray, symbols: Sequence[str]) -> dict[str, float]:
    """Mean value of each symbol's rows, in the order of their first."""
    collected: dict[str, list[float]] = {}
    for symbol, value in zip(symbols, values, strict=True):
        collected.setdefault(symbol, []).append(float(value))
    return {symbol: float(np.mean(found)) for symbol, found in collected.items()}
