"""How an epoch's order of units is cut into batches, alike for every training. Free of torch."""

from itertools import pairwise

import numpy as np


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


def probe_batch(count: int, size: int) -> int:
    """Units a step of the published probe; with no more units than ``size``, the power of two below, 2 at least.

    12 units at 16: batches of 8. Its evaluation goes by the same batches.
    """
    return size if size < count else max(2, 1 << (count.bit_length() - 1))


def event_batches(order: np.ndarray, event: np.ndarray, size: int) -> list[np.ndarray]:
    """An order of units [unit] in batches of about ``size``, each with the cohort's share of events ``event`` [unit].

    As many batches as plain ones would be, their sizes equal up to one. Every unit comes once: events are never drawn
    more often than they are, which would pull log hazard ratios towards 0. With fewer events than batches some have
    none.
    """
    count = -(-len(order) // size)
    sizes = [len(part) for part in np.array_split(order, count)]
    events, others = order[event[order]], order[~event[order]]
    batches, start = [], 0
    for number, wanted in enumerate(sizes):
        own = events[number::count]
        rest = others[start : start + wanted - len(own)]
        start += len(rest)
        batches.append(np.concatenate([own, rest]))
    return batches
