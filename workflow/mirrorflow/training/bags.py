"""Bags of patches: one a unit (a patient or a slide), and the tokens drawn from them."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from mirrorflow.config.training_settings import ShortBags
from mirrorflow.errors import InputError
from mirrorflow.training.moments import Moments, mean_and_deviation, moments_of

T = TypeVar("T")


class Bags(Protocol):
    """Units by number. ``bags[i]`` is every patch of unit i: float32 [patch, feature].

    A step asks for the rows it drew alone, so that a bag need not be read whole.
    """

    def __len__(self) -> int:
        """Number of units."""

    def __getitem__(self, i: int, /) -> np.ndarray:
        """All patches of unit ``i``: float32 [patch, feature]."""

    def size(self, i: int) -> int:
        """Patches of unit ``i``."""

    def rows(self, i: int, index: np.ndarray) -> np.ndarray:
        """The patches ``index`` of unit ``i``, in that order: float32 [patch, feature]."""


class ArrayBags:
    """Bags that lie in memory; ``names`` are for messages."""

    def __init__(self, arrays: Sequence[np.ndarray], names: Sequence[str] | None = None) -> None:
        self.arrays = arrays
        self.names = list(names or map(str, range(len(arrays))))

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, i: int, /) -> np.ndarray:
        return self.arrays[i]

    def size(self, i: int) -> int:
        """Patches of unit ``i``."""
        return len(self.arrays[i])

    def rows(self, i: int, index: np.ndarray) -> np.ndarray:
        """The patches ``index`` of unit ``i``."""
        return np.asarray(self.arrays[i], dtype=np.float32)[index]


class SomeBags:
    """The bags ``chosen`` from a larger collection, e.g. the training units of a fold."""

    def __init__(self, bags: Bags, chosen: Sequence[int]) -> None:
        self.bags, self.chosen = bags, list(chosen)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, i: int, /) -> np.ndarray:
        return self.bags[self.chosen[i]]

    def size(self, i: int) -> int:
        """Patches of unit ``i``."""
        return self.bags.size(self.chosen[i])

    def rows(self, i: int, index: np.ndarray) -> np.ndarray:
        """The patches ``index`` of unit ``i``."""
        return self.bags.rows(self.chosen[i], index)

    def rows_into(self, i: int, index: np.ndarray, out: Tensor) -> None:
        """The patches ``index`` of unit ``i`` into ``out`` float32 [patch, feature]."""
        rows_into(self.bags, self.chosen[i], index, out)


class CappedBags:
    """Bags of which no more than ``tokens`` patches are looked at: the same ones whenever and with whomever a unit is
    asked for, since the draw follows from the size of its bag alone.
    """

    def __init__(self, bags: Bags, tokens: int) -> None:
        self.bags, self.tokens = bags, tokens

    def __len__(self) -> int:
        return len(self.bags)

    @property
    def names(self) -> list[str]:
        """What to call the units in messages."""
        return [unit_name(self.bags, unit) for unit in range(len(self.bags))]

    def __getitem__(self, i: int, /) -> np.ndarray:
        size = self.bags.size(i)
        return self.bags[i] if size <= self.tokens else self.bags.rows(i, self.drawn(size))

    def size(self, i: int) -> int:
        """Patches of unit ``i`` that are looked at."""
        return min(self.bags.size(i), self.tokens)

    def rows(self, i: int, index: np.ndarray) -> np.ndarray:
        """The patches ``index`` of those of unit ``i`` that are looked at."""
        size = self.bags.size(i)
        return self.bags.rows(i, index if size <= self.tokens else self.drawn(size)[index])

    def drawn(self, size: int) -> np.ndarray:
        """Which patches of a bag of ``size`` are looked at, in their order."""
        return np.sort(draw_rows(size, self.tokens, np.random.default_rng([self.tokens, size])))


def rows_into(bags: Bags, i: int, index: np.ndarray, out: Tensor) -> None:
    """The patches ``index`` of unit ``i`` into ``out`` float32 [patch, feature], without a copy where bags can."""
    own = getattr(bags, "rows_into", None)
    if own is not None:
        own(i, index, out)
    else:
        out.copy_(torch.from_numpy(np.asarray(bags.rows(i, index), dtype=np.float32)))


def width_of(bags: Bags, i: int) -> int:
    """Values of a patch of unit ``i``."""
    if isinstance(bags, SomeBags):
        return width_of(bags.bags, bags.chosen[i])
    own = getattr(bags, "width", None)
    return int(own(i)) if own is not None else bags[i].shape[1]


def draw_rows(size: int, n_tokens: int, rng: np.random.Generator, *, replace: bool = False) -> np.ndarray:
    """Draw ``n_tokens`` of a bag's ``size`` patches, in random order (no spatial order, as published).

    Without replacement unless ``replace``; a smaller bag is drawn with it (published ``short: resample``).
    Raises InputError for an empty bag.
    """
    if not size:
        message = "empty bag: a unit without patches cannot be drawn from; leave it out of the cohort"
        raise InputError(message)
    return rng.choice(size, size=n_tokens, replace=replace or size < n_tokens)


@dataclass(frozen=True)
class Batch:
    """Units [batch], their patches [batch, patch, feature] and, where bags are padded, counts [batch].

    copied: what a GPU's stream has to wait for before it reads the patches.
    """

    units: np.ndarray
    patches: Tensor
    counts: Tensor | None
    copied: torch.cuda.Event | None = None


Take = Callable[[int, int, int], Tensor]
"""Gives memory for patches [batch, patch, feature]."""


def fresh(*shape: int) -> Tensor:
    """Memory of its own for each batch."""
    return torch.empty(shape)


def draw_batch(
    bags: Bags,
    units: np.ndarray,
    *,
    tokens: int,
    short: ShortBags,
    rngs: Sequence[np.random.Generator],
    take: Take = fresh,
    replace: bool = False,
    in_order: bool = False,
) -> Batch:
    """Draw every unit's tokens (one generator a unit), each bag straight into its place of what ``take`` gives.

    ``short="mask"`` takes a bag under ``tokens`` whole and pads it with zeros; ``counts`` says how many are
    real. ``replace``: with replacement, from large bags, too. ``in_order``: in the order of the bags, not that of the
    draw. Raises InputError naming the unit whose bag is empty.
    """
    if not len(units):
        return Batch(units, torch.zeros(0, 1, 1), None)
    drawn = [
        draw_index(bags, int(unit), tokens, short, rng, replace=replace) for unit, rng in zip(units, rngs, strict=True)
    ]
    drawn = [np.sort(index) for index in drawn] if in_order else drawn
    # torch's own memory: sums over numpy's, aligned to 16 bytes only, can differ in the last digit.
    patches = take(len(drawn), max(map(len, drawn)), width_of(bags, int(units[0])))
    for row, unit, index in zip(patches, units, drawn, strict=True):
        rows_into(bags, int(unit), index, row[: len(index)])
        row[len(index) :] = 0
    return Batch(units, patches, None if short == "resample" else torch.tensor([len(index) for index in drawn]))


def draw_index(
    bags: Bags, unit: int, tokens: int, short: ShortBags, rng: np.random.Generator, *, replace: bool = False
) -> np.ndarray:
    """Which patches of a unit are drawn. Raises InputError naming it where it has none."""
    size = bags.size(unit)
    if not size:
        message = f"{unit_name(bags, unit)}: no patches; leave this unit out of the cohort"
        raise InputError(message)
    if short == "mask" and size <= tokens:
        return draw_rows(size, size, rng)  # the bag whole
    return draw_rows(size, tokens, rng, replace=replace)


def unit_name(bags: Bags, unit: int) -> str:
    """What to call a unit in a message: its name if the bags know names, else its number."""
    if isinstance(bags, SomeBags):
        return unit_name(bags.bags, bags.chosen[unit])
    names = getattr(bags, "names", None)
    return str(names[unit]) if names else f"unit {unit}"


def prefetched(items: Iterable[T], depth: int = 2) -> Generator[T]:
    """Yield ``items``, up to ``depth`` of them made ahead in a thread, so that the device never waits.

    An error in the thread is raised where its item would have come. The thread ends with the iteration,
    also when that is left early. A process that computes on one thread of a processor has no core for it: there each
    item is made when it is asked for.
    """
    if torch.get_num_threads() > 1 or torch.cuda.is_initialized():
        yield from _made_ahead(items, depth)
    else:
        yield from items


def _made_ahead(items: Iterable[T], depth: int) -> Generator[T]:
    ready: queue.Queue = queue.Queue(maxsize=depth)
    left = threading.Event()

    def offer(entry: tuple[str, object]) -> None:
        while not left.is_set():
            try:
                ready.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for item in items:
                offer(("item", item))
                if left.is_set():
                    return
            offer(("end", None))
        except BaseException as error:  # handed on to the consumer
            offer(("error", error))

    thread = threading.Thread(target=work, name="mirrorflow-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        left.set()
        thread.join()


def patch_moments(bags: Bags) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [feature] over all patches of all units; a constant feature gets sd 1.

    In float64, merged unit by unit (Chan et al. 1979), so that no more than a bag is held. Bags that know their
    ``moments`` (files: taken once) are not read.
    """
    with closing(prefetched(unit_moments(bags, i) for i in range(len(bags)))) as parts:
        return mean_and_deviation(parts)


def unit_moments(bags: Bags, i: int) -> Moments:
    """Moments of the patches of unit ``i``."""
    if isinstance(bags, SomeBags):
        return unit_moments(bags.bags, bags.chosen[i])
    own = getattr(bags, "moments", None)
    return own(i) if own is not None else moments_of(bags[i])
