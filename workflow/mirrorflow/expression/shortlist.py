"""Which gene has the smallest weight, without computing every weight every time.

For any positive definite matrix B, the weight of gene j has moved since the duals were d(then) by at most

    |w_j - w_j(then)| = |x_j.(d - d(then))| <= g_j delta,   g_j = |x_j|_(inverse of B),  delta = |d - d(then)|_B

(Cauchy-Schwarz). With B the machines' own matrix of some time ago the bound is tight: the gene that leaves
has the smallest weight, so that it hardly moves the others. A shortlist holds every gene that can be the
lowest while the lowest weight stays under a ceiling and delta within a limit. Short lists are cut from
longer ones, and those from all genes; the answer is always that of computing every weight.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from mirrorflow.expression.sample_space import Array, Genes, SampleSpace

LONG, SHORT = 4000, 600
"""Genes on a list cut from all genes, from a long list. Longer ones last longer and cost more a step."""

CEILING_RANK = 8
"""The lowest 1 / this of a list lie under its ceiling: the limit, not the ceiling, should end a list."""

SLACK = 1e-9
"""Relative widening of the bounds, far above rounding."""


@dataclass(frozen=True)
class Shortlist:
    """Genes among which the lowest is, while it stays under ``ceiling`` and the duals within ``limit``.

    genes [m] ascending; rows [m, sample]; duals and images [machine, sample]: d(then) and B d(then).
    """

    genes: Genes
    rows: Array
    ceiling: float
    limit: float
    duals: Array
    images: Array

    def sizes(self, duals: Array) -> Array:
        """Norms of the weights over the machines [m]."""
        return norms((self.rows @ duals.T).T)

    def holds(self, lowest: float, duals: Array, images: Array) -> bool:
        """Whether the lowest weight of the list is the lowest of all."""
        if lowest > self.ceiling:
            return False
        squared = float(np.sum((duals - self.duals) * (images - self.images)))
        return np.sqrt(max(squared, 0.0)) * (1 + SLACK) <= self.limit


def norms(weights: Array) -> Array:
    """Norm over the machines of weights [machine, gene]."""
    return np.abs(weights[0]) if len(weights) == 1 else np.sqrt(np.square(weights).sum(axis=0))


def horizon(sizes: Array, reach: Array, length: int) -> tuple[NDArray[np.bool_], float, float]:
    """Members, ceiling and limit of a shortlist of about ``length`` genes.

    sizes [m]: weights' norms now; reach [m]: g_j. A gene outside has size > ceiling + reach * limit, so its
    weight cannot fall below the ceiling before the duals have moved by the limit.
    """
    if len(sizes) <= length:
        return np.ones(len(sizes), dtype=bool), np.inf, np.inf
    rank = length // CEILING_RANK
    ceiling = np.partition(sizes, rank)[rank]
    enters = (sizes - ceiling) / np.maximum(reach, np.finfo(float).tiny)
    limit = np.partition(enters, length)[length]
    return enters <= limit, float(ceiling * (1 - SLACK)), float(limit)


class Shortlists:
    """The two lists in use, the metric B and each gene's reach in it.

    genes: those that can leave, ascending, no two with equal rows; metric [sample, sample]: B.
    """

    def __init__(self, space: SampleSpace, genes: Genes, metric: Array) -> None:
        self.space, self.metric = space, metric
        self.here = np.zeros(space.n_genes, dtype=bool)
        self.here[genes] = True
        self.reach = self._reach(genes)
        self.long: Shortlist | None = None
        self.short: Shortlist | None = None

    def drop(self, gene: int) -> None:
        """The gene has left."""
        self.here[gene] = False

    def lowest(self, duals: Array) -> tuple[int, Array]:
        """The gene with the smallest weight under ``duals`` [machine, sample], and its row [sample]."""
        images = duals @ self.metric
        short = self.short or self._cut_short(duals, images)
        at, size = self._lowest_of(short, duals)
        if not all(shortlist and shortlist.holds(size, duals, images) for shortlist in (short, self.long)):
            short = self._cut_short(duals, images)
            at, size = self._lowest_of(short, duals)
        self.short = short
        return int(short.genes[at]), short.rows[at]

    def _lowest_of(self, short: Shortlist, duals: Array) -> tuple[int, float]:
        sizes = np.where(self.here[short.genes], short.sizes(duals), np.inf)
        at = int(sizes.argmin())
        return at, float(sizes[at])

    def _cut_short(self, duals: Array, images: Array) -> Shortlist:
        """A fresh short list, from a fresh long one where that no longer holds."""
        if self.long is not None:
            here = np.flatnonzero(self.here[self.long.genes])
            sizes = self.long.sizes(duals)[here]
            if len(here) and self.long.holds(sizes.min(), duals, images):
                return self._cut(self.long, here, sizes, duals, images)
        long = self.long = self._cut_long(duals, images)
        return self._cut(long, np.arange(len(long.genes)), long.sizes(duals), duals, images)

    def _cut(self, long: Shortlist, places: Genes, sizes: Array, duals: Array, images: Array) -> Shortlist:
        """A short list from the genes at ``places`` of a long one, whose weights now have these ``sizes``."""
        members, ceiling, limit = horizon(sizes, self.reach[long.genes[places]], SHORT)
        kept = places[members]
        return Shortlist(long.genes[kept], long.rows[kept], ceiling, limit, duals.copy(), images)

    def _cut_long(self, duals: Array, images: Array) -> Shortlist:
        genes = np.flatnonzero(self.here)
        sizes = norms(self.space.weights(genes, duals))
        members, ceiling, limit = horizon(sizes, self.reach[genes], LONG)
        rows = self.space.take(genes[members])
        return Shortlist(genes[members], rows, ceiling, limit, duals.copy(), images)

    def _reach(self, genes: Genes) -> Array:
        factor = np.linalg.cholesky(self.metric)
        reach = np.zeros(self.space.n_genes)
        for part, block in self.space.blocks(genes):
            whitened = solve_triangular(factor, block.T, lower=True, check_finite=False)
            reach[genes[part]] = np.sqrt(np.square(whitened).sum(axis=0)) * (1 + SLACK)
        return reach
