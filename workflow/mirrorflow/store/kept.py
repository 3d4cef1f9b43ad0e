"""What a process has read of the store, kept for the next cases that it serves.

A file is known by its place, size, number on the disk and the time at which it last changed: one that was made again is
read again.
"""

import itertools
import math
import os
import threading
import time
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

SETTLED_NS = 2_000_000_000
"""A file that changed this short a time ago may change again without a trace: clocks of file systems are coarse."""


class Stamp(NamedTuple):
    """A file as it lies on the disk."""

    path: Path
    size: int
    changed_ns: int
    number: tuple[int, int]


def stamp_of(path: Path) -> Stamp | None:
    """None where there is no such file, or one that was written just now."""
    try:
        found = path.stat()
    except OSError:
        return None
    if time.time_ns() - found.st_ctime_ns < SETTLED_NS:
        return None
    return Stamp(path, found.st_size, found.st_ctime_ns, (found.st_dev, found.st_ino))


@dataclass
class _Entry:
    value: Any
    size: int
    reader: int
    """Who asked for it last; 0: one that is gone."""


class Memory:
    """What was read, by what it was read from. Each reader may fill it to a budget of its own.

    Where it is full, what earlier readers alone asked for makes room. What the same reader asked for stays: one that
    goes over more than fits, round after round, would else find nothing. Of readers that are gone no more than ``idle``
    bytes stay.
    """

    def __init__(self, idle: int = 0) -> None:
        self.idle = idle
        self._entries: dict[Hashable, _Entry] = {}
        self._bytes = 0
        self._numbers = itertools.count(1)
        self.forked()

    def reader(self) -> int:
        """A new reader's number."""
        return next(self._numbers)

    def get(self, key: Hashable, reader: int) -> Any:
        """What is kept of ``key``, else None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.reader = max(entry.reader, reader)
        return entry.value

    def keep(self, key: Hashable, value: Any, size: int, reader: int, budget: int) -> None:
        """Keep a ``value`` of ``size`` bytes if all that is kept then takes no more than ``budget`` bytes."""
        with self._lock:
            if key in self._entries:
                return
            needed = self._bytes + size - budget
            older = [(key, entry) for key, entry in self._all() if entry.reader < reader] if needed > 0 else []
            if needed > sum(entry.size for _, entry in older):
                return
            self._drop(older, needed)
            self._entries[key] = _Entry(value, size, reader)
            self._bytes += size

    def gone(self, reader: int) -> None:
        """A reader is gone, and with it what nobody else can ask for: the keys that begin with its number."""
        with self._lock:
            own = [(key, entry) for key, entry in self._all() if entry.reader == reader]
            self._drop([(key, entry) for key, entry in own if isinstance(key, tuple) and key[0] == reader])
            for _, entry in own:
                entry.reader = 0
            idle = [(key, entry) for key, entry in self._all() if entry.reader == 0]
            self._drop(idle, sum(entry.size for _, entry in idle) - self.idle)

    def _all(self) -> list[tuple[Hashable, _Entry]]:
        """Of keys that are there: garbage may be collected, and a reader be gone, amid this."""
        found = ((key, self._entries.get(key)) for key in list(self._entries))
        return [(key, entry) for key, entry in found if entry is not None]

    def _drop(self, entries: Iterable[tuple[Hashable, _Entry]], needed: float = math.inf) -> None:
        """Drop entries until ``needed`` bytes are free."""
        for key, _ in entries:
            if needed <= 0:
                return
            if (entry := self._entries.pop(key, None)) is not None:
                self._bytes, needed = self._bytes - entry.size, needed - entry.size

    def forked(self) -> None:
        """A lock of its own: one that another thread held before a fork would never be given back.

        Garbage is collected amid anything, and a reader that is garbage calls :meth:`gone`: the lock lets it in.
        """
        self._lock = threading.RLock()


BAGS = Memory(idle=1_000_000_000)
"""Bags of patches."""
GENES = Memory()
"""Genes of patients."""
LAYOUTS = Memory()
"""Where the rows of feature files lie."""


def _forked() -> None:
    for memory in (BAGS, GENES, LAYOUTS):
        memory.forked()


os.register_at_fork(after_in_child=_forked)
