"""Patches to fit on, a chunk at a time: of an array, or drawn from bags where they lie.

A pass over 1.6 million patches of width 1,024 reads 6.5 GB and holds a few megabytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mirrorflow.errors import CannotFitError

CHUNK = 1 << 19
"""Numbers of a chunk: 2 MB, which stays in a processor's cache."""
HELD_GB = 1.0
"""A sample of at most this is read once and kept."""


class Bags(Protocol):
    """Units by number, as :class:`mirrorflow.training.bags.Bags`."""

    def __len__(self) -> int:
        """Number of units."""

    def size(self, i: int) -> int:
        """Patches of unit ``i``."""

    def rows(self, i: int, index: np.ndarray) -> np.ndarray:
        """The patches ``index`` of unit ``i``, in that order: float32 [patch, feature]."""


class Rows(Protocol):
    """Patches [patch, feature] that are gone over again and again."""

    def __len__(self) -> int:
        """Number of patches."""

    def chunks(self) -> Iterator[np.ndarray]:
        """All of them in their order: float32 [some, feature]."""


@dataclass(frozen=True)
class ArrayRows:
    """An array float32 [patch, feature], in memory or mapped."""

    array: np.ndarray

    def __len__(self) -> int:
        return len(self.array)

    def chunks(self) -> Iterator[np.ndarray]:
        """Some rows at a time."""
        each = max(1, CHUNK // self.array.shape[1])
        for first in range(0, len(self.array), each):
            yield self.array[first : first + each]


@dataclass(frozen=True)
class DrawnRows:
    """Patches of bags that are read again in each pass: ``drawn`` holds the chosen rows of each unit, sorted."""

    bags: Bags
    drawn: Sequence[np.ndarray]

    def __len__(self) -> int:
        return sum(map(len, self.drawn))

    def chunks(self) -> Iterator[np.ndarray]:
        """A unit at a time, a large one in parts."""
        for unit, index in enumerate(self.drawn):
            for first in range(0, len(index), 512):
                yield np.asarray(self.bags.rows(unit, index[first : first + 512]), dtype=np.float32)


def draw(bags: Bags, sample: int, rng: np.random.Generator) -> Rows:
    """About ``sample`` patches, as many of each unit as its share or its bag has, without replacement.

    Raises CannotFitError where there is none.
    """
    share = -(-sample // max(len(bags), 1))
    sizes = [bags.size(unit) for unit in range(len(bags))]
    drawn = [np.sort(rng.choice(size, size=min(share, size), replace=False)) for size in sizes]
    rows = DrawnRows(bags, drawn)
    if not len(rows):
        message = "the training units have no patches to fit a mixture on; look into the ledger of their slides"
        raise CannotFitError(message)
    first = next(rows.chunks())
    if len(rows) * first.shape[1] * 4 <= HELD_GB * 1e9:
        return ArrayRows(np.concatenate(list(rows.chunks())))
    return rows


def some(rows: Rows, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` of the patches (or all), at random places, in their order: float32 [patch, feature]."""
    wanted = np.sort(rng.choice(len(rows), size=min(count, len(rows)), replace=False))
    found, before = [], 0
    for chunk in rows.chunks():
        mine = wanted[(wanted >= before) & (wanted < before + len(chunk))] - before
        if len(mine):
            found.append(chunk[mine])
        before += len(chunk)
    return np.concatenate(found)
