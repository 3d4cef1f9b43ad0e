"""Genes as seen from the samples: blocks of rows, Gram matrices, weights.

With far fewer samples than genes every linear model lives in the span of the samples. What an elimination
needs of 198,619 transcripts is then a 764 x 764 matrix and, once a step, one pass over the rows.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import InputError

Array = NDArray[np.float64]
Genes = NDArray[np.int64]

BLOCK = 512
"""Genes a block: 512 rows of 764 float64 values stay in a core's cache."""


class SampleSpace:
    """The expression of n samples, genes sorted by id so that the order of columns never matters.

    values: [sample, gene], float32 or float64; ids: one a gene, unique. Sums are taken in float64
    whatever the values are. Raises InputError for NaN or infinite values (gene and sample are named) and
    for ids that occur twice.
    """

    def __init__(self, values: NDArray, ids: Sequence[str], samples: Sequence[str] | None = None) -> None:
        names = np.asarray(ids, dtype=object)
        self.order: Genes = np.argsort(names, kind="stable")
        self.ids = names[self.order]
        _refuse_repeated(self.ids)
        self.rows = _as_rows(values, self.order)
        _refuse_not_finite(self.rows, self.ids, samples)

    @property
    def n_genes(self) -> int:
        """Number of genes."""
        return self.rows.shape[0]

    @property
    def n_samples(self) -> int:
        """Number of samples, held-out ones included."""
        return self.rows.shape[1]

    def blocks(self, genes: Genes, samples: NDArray[np.int64] | None = None) -> Iterator[tuple[slice, Array]]:
        """The rows of ``genes`` in float64, a block at a time (the array is used again: do not keep it).

        ``samples``: only these of the samples, by position.
        """
        rows = min(BLOCK, len(genes))
        stored = np.empty((rows, self.n_samples), self.rows.dtype)
        chosen = stored if samples is None else np.empty((rows, len(samples)), self.rows.dtype)
        wide = np.empty(chosen.shape, np.float64)
        for start in range(0, len(genes), BLOCK):
            part = genes[start : start + BLOCK]
            size = len(part)
            np.take(self.rows, part, axis=0, out=stored[:size], mode="clip")
            if samples is not None:
                np.take(stored[:size], samples, axis=1, out=chosen[:size], mode="clip")
            wide[:size] = chosen[:size]
            yield slice(start, start + size), wide[:size]

    def take(self, genes: Genes) -> Array:
        """The rows of ``genes`` in float64 [gene, sample], to keep."""
        return self.rows[genes].astype(np.float64)

    def gram(self, genes: Genes, train: NDArray[np.bool_] | None = None) -> Array:
        """Inner products of the samples over ``genes``, without the intercept's 1 [sample, sample].

        ``train`` [sample]: of these samples only.
        """
        samples = None if train is None or train.all() else np.flatnonzero(train)
        size = self.n_samples if samples is None else len(samples)
        gram = np.zeros((size, size))
        for _, block in self.blocks(genes, samples):
            gram += block.T @ block
        return gram

    def weights(self, genes: Genes, duals: Array) -> Array:
        """Weights w = X' d [machine, gene] of ``duals`` [machine, sample]."""
        return self.weights_and_decisions(genes, duals)[0]

    def weights_and_decisions(self, genes: Genes, duals: Array) -> tuple[Array, Array]:
        """The same, and the decision values w.x + b [machine, sample] of all samples, in one pass."""
        weights = np.empty((len(duals), len(genes)))
        decisions = np.repeat(duals.sum(axis=1, keepdims=True), self.n_samples, axis=1)
        for part, block in self.blocks(genes):
            weights[:, part] = (block @ duals.T).T
            decisions += weights[:, part] @ block
        return weights, decisions

    def twins(self, train: NDArray[np.bool_]) -> Genes:
        """For each gene the last one (by id) with the same values in all ``train`` samples, often itself.

        Equal rows must get equal weights for ties to break by id, and BLAS does not promise that: it may
        add in another order at a block's edge.
        """
        probe = np.where(train, np.random.default_rng(0).standard_normal(self.n_samples), 0.0)
        every = np.arange(self.n_genes)
        sums = self.weights(every, probe[None])[0]
        by_sum = np.argsort(sums, kind="stable")
        near = np.abs(np.diff(sums[by_sum])) <= 1e-9 * (1 + np.abs(sums[by_sum[1:]]))
        same = np.zeros(self.n_genes, dtype=bool)
        for where in np.array_split(np.flatnonzero(near), max(1, near.sum() // BLOCK)):
            left, right = self.rows[by_sum[where]], self.rows[by_sum[where + 1]]
            same[where + 1] = (left == right)[:, train].all(axis=1)
        group = np.cumsum(~same) - 1
        last = np.zeros(group[-1] + 1, dtype=np.int64)
        np.maximum.at(last, group, by_sum)
        twins = np.empty(self.n_genes, dtype=np.int64)
        twins[by_sum] = last[group]
        return twins


def _as_rows(values: NDArray, order: Genes) -> NDArray:
    """Genes as contiguous rows in the order of their ids, block by block (no second full copy)."""
    kind = values.dtype if values.dtype in (np.float32, np.float64) else np.float64
    rows = np.empty((values.shape[1], values.shape[0]), kind)
    for start in range(0, len(order), BLOCK):
        rows[start : start + BLOCK] = values[:, order[start : start + BLOCK]].T
    return rows


def _refuse_repeated(sorted_ids: NDArray) -> None:
    repeated = sorted_ids[1:][sorted_ids[1:] == sorted_ids[:-1]]
    if len(repeated):
        message = f"gene ids occur twice: {', '.join(map(str, repeated[:3]))}; ties break by id, so make them unique"
        raise InputError(message)


def _refuse_not_finite(rows: NDArray, ids: NDArray, samples: Sequence[str] | None) -> None:
    for start in range(0, len(rows), BLOCK):
        bad = np.argwhere(~np.isfinite(rows[start : start + BLOCK]))
        if len(bad):
            gene, sample = bad[0]
            who = samples[sample] if samples is not None else f"number {sample}"
            message = (
                f"gene {ids[start + gene]}, sample {who}: the value is {rows[start + gene, sample]}; "
                "elimination needs finite values: impute or drop it first (expression.RnaScaler does)"
            )
            raise InputError(message)
