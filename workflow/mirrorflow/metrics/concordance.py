"""Concordance of risks and times, for many weightings of the units at once.

Which pairs can be compared, and who wins them, are matrices of a fold; a resample's pair has the product of its units'
counts as weight. So thousands of resamples are two matrix products, and several seeds of training cost what one does:
their wins are averaged beforehand. Exact: a resample's value is what scikit-survival gives for the resampled units.
"""

import numpy as np

from mirrorflow.metrics.weighted import ratio

TIED = 1e-8
"""Risks closer than this are tied, as in scikit-survival."""


def comparable(time_days: np.ndarray, event: np.ndarray) -> np.ndarray:
    """[unit, unit] whether the first had its event before the second was gone.

    At equal times an event comes before a censoring, and two events are no pair (as in scikit-survival).
    """
    earlier, same = time_days[:, None] < time_days[None, :], time_days[:, None] == time_days[None, :]
    return event[:, None] & (earlier | (same & ~event[None, :]))


def wins(risk: np.ndarray) -> np.ndarray:
    """[unit, unit] 1 where the first has the higher risk, 0.5 where the two are tied.

    risk: [unit], or [seed, unit]: then the mean over seeds, the share of seeds in which the first wins.
    """
    return np.mean([_wins_of_one(one) for one in np.atleast_2d(risk)], axis=0)


def _wins_of_one(risk: np.ndarray) -> np.ndarray:
    difference = risk[:, None] - risk[None, :]
    tied = np.abs(difference) <= TIED
    return 0.5 * tied + 1.0 * (~tied & (difference > 0))


def concordance(won: np.ndarray, pairs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share [resample] of the pairs' weight that is won; NaN in a resample without a pair.

    won: of :func:`wins`; pairs [unit, unit]: the weight of each comparable pair, 0 of others.
    """
    return ratio(pair_sums(pairs * won, weights), pair_sums(pairs, weights))


def pair_sums(pairs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sum [resample] over all pairs of their weight times both units' counts; weights: [resample, unit]."""
    first = np.flatnonzero(pairs.any(1))  # only who had an event comes first in a pair
    return np.einsum("ru,ru->r", weights[:, first] @ pairs[first].astype(float), weights)
