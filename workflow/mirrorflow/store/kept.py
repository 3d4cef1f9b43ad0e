"""What a process has read of the store, kept for the next cases that it serves.

A file is known by its place, size, number on the disk and the time at which it last changed: one that was made again is
read again.
"""

import os
import threading
import time
import weakref
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

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
    if abs(time.time_ns() - found.st_ctime_ns) < SETTLED_NS:
        return None
    return Stamp(path, found.st_size, found.st_ctime_ns, (found.st_dev, found.st_ino))


@dataclass
class _Entry:
    values: np.ndarray
    reader: int
    """Who asked for it last."""


class Memory:
    """Arrays by what they were read from. Each reader may fill it to a budget of its own.

    Where it is full, what earlier readers alone asked for makes room. What the same reader asked for stays: one that
    goes over more than fits, round after round, would else find nothing.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, _Entry] = {}
        self._bytes = 0
        self._readers = 0
        self.forked()
        _memories.add(self)

    def reader(self) -> int:
        """A new reader's number."""
        self._readers += 1
        return self._readers

    def get(self, key: Hashable, reader: int) -> np.ndarray | None:
        """What is kept of ``key``."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.reader = max(entry.reader, reader)
        return entry.values

    def keep(self, key: Hashable, values: np.ndarray, reader: int, budget: int) -> None:
        """Keep ``values`` if all that is kept then takes no more than ``budget`` bytes."""
        with self._lock:
            if key in self._entries or values.nbytes > budget:
                return
            self._make_room(self._bytes + values.nbytes - budget, reader)
            if self._bytes + values.nbytes <= budget:
                self._entries[key] = _Entry(values, reader)
                self._bytes += values.nbytes

    def forget(self, reader: int) -> None:
        """Drop what nobody but this reader can ask for: the key begins with its number."""
        with self._lock:
            own = [key for key in self._entries if isinstance(key, tuple) and key[0] == reader]
            for key in own:
                self._drop(key)

    def _make_room(self, needed: int, reader: int) -> None:
        older = (key for key, entry in list(self._entries.items()) if entry.reader < reader)
        while needed > 0 and (key := next(older, None)) is not None:
            needed -= self._drop(key)

    def _drop(self, key: Hashable) -> int:
        """Returns its bytes."""
        entry = self._entries.pop(key, None)
        gone = 0 if entry is None else entry.values.nbytes
        self._bytes -= gone
        return gone

    def forked(self) -> None:
        """A lock of its own: one that another thread held before a fork would never be given back.

        Garbage is collected amid anything, and a reader that is garbage calls :meth:`forget`: the lock lets it in.
        """
        self._lock = threading.RLock()


def _forked() -> None:
    for memory in _memories:
        memory.forked()


_memories: "weakref.WeakSet[Memory]" = weakref.WeakSet()
os.register_at_fork(after_in_child=_forked)
BAGS = Memory()
"""Bags of patches."""
EXPRESSION = Memory()
"""Genes of patients."""
