"""Logarithms of a matrix that holds none, where the config asks for them; nothing is transformed by itself."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import InputError
from mirrorflow.expression.matrix import Chunk

NONE, LOG2_PLUS_1, LOG2_CPM = "none", "log2_plus_1", "log2_cpm"
TRANSFORMS = (NONE, LOG2_PLUS_1, LOG2_CPM)
MILLION = 1e6


def transformed(
    values: NDArray[np.float32], ids: list[str], transform: str, totals: NDArray[np.float64] | None, where: str
) -> NDArray[np.float32]:
    """``values`` [gene, sample] as log2(x + 1), of ``log2_cpm`` after scaling each sample to a million.

    totals [sample]: sums of the samples, for ``log2_cpm``. Raises InputError naming the first negative value.
    """
    if transform == NONE:
        return values
    require_not_negative(values, ids, transform, where)
    if transform == LOG2_CPM:
        assert totals is not None
        values = values * (MILLION / np.where(totals > 0, totals, 1)).astype(np.float32)
    return np.log2(values + np.float32(1))


def require_not_negative(values: NDArray[np.float32], ids: list[str], transform: str, where: str) -> None:
    """Raise InputError naming the gene of a value below 0: such a matrix holds logarithms or z-scores already."""
    if (below := values < 0).any():
        gene, _ = np.argwhere(below)[0]
        message = (
            f"{where}: gene {ids[gene]!r} holds {float(values[below][0]):g}, and transform: {transform} takes values "
            "from 0 on; leave `transform` out for a matrix of logarithms or z-scores"
        )
        raise InputError(message)


def totals_of(chunks: Iterator[Chunk]) -> NDArray[np.float64]:
    """Sum of each sample [sample] over all genes, missing values as 0."""
    total: NDArray[np.float64] | None = None
    for _, values in chunks:
        sums = np.asarray(np.nansum(values, axis=0, dtype=np.float64))
        total = sums if total is None else total + sums
    return np.zeros(0) if total is None else total
