"""How an epoch's order of units is cut into batches, alike for every training. Free of torch."""

from itertools import pairwise


def batch_slices(count: int, size: int, *, drop_last: bool = False, at_least: int = 1) -> list[slice]:
    """Where each batch of ``size`` lies in an order of ``count`` units.

    A last incomplete batch is left out with ``drop_last``, unless it is the only one; else, under ``at_least`` units
    (a loss over pairs of units needs two), it is joined to the batch before it.
    """
    bounds = [*range(0, count, size), count]
    if len(bounds) > 2:
        last = bounds[-1] - bounds[-2]
        if drop_last and last < size:
            bounds.pop()
        elif last < at_least:
            del bounds[-2]
    return [slice(start, stop) for start, stop in pairwise(bounds)]
