"""What a job used, measured by the job itself: CPU seconds of all its processes, and its peak memory.

Snakemake's benchmark files sample every half second for 15 s, then every 30 s, and not at the end: a busy job of 40 s
looks like one of 15. The kernel counts all of it. Linux says more than ``getrusage``, whose peak a process may have
from the one that started it; elsewhere ``getrusage`` alone is asked.
"""

import contextlib
import hashlib
import json
import resource
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mirrorflow.runtime.files import write_text

SUFFIX = ".used.json"
"""Of the record beside a job's log: ``embed.log`` has ``embed.used.json``."""

MEBIBYTE = 2**20
OF_MAXRSS = 1 if sys.platform == "darwin" else 1024
"""Bytes in a unit of ``ru_maxrss``."""

SMALL = 1_000_000
"""Bytes of an output that is read to know it again: records and tables; features are known by their size."""

EVERY_S = 1.0
"""How often the memory of a job's processes together is looked at. One process alone needs no looking."""


def record_of(log: Path) -> Path:
    """Where the record of the job with this log lies."""
    return log.with_suffix(SUFFIX)


@dataclass(frozen=True)
class _Before:
    """What a process had used before the block, where it does other work as well."""

    began: float
    cpu_s: float = 0.0
    largest_child: int = 0

    @classmethod
    def now(cls) -> "_Before":
        return cls(time.time(), _cpu_s(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)

    @classmethod
    def nothing(cls) -> "_Before":
        return cls(psutil.Process().create_time())


@contextlib.contextmanager
def usage_recorded(log: Path | None, outputs: Sequence[str] = (), *, of_case: bool = False) -> Iterator[None]:
    """Write down beside ``log`` what this process and its children used, once the block ends, well or not.

    Keys: ``seconds`` since the process began, ``cpu_seconds`` (user and system, its children's included) and
    ``peak_mb`` (2^20 bytes): the largest sum of its processes seen, and at least the peak of the largest of them.
    of_case: the process serves other cases of a job, too; the block alone counts, and the record says ``case``.
    outputs: what the job declares. A record of the same ones that took longer stays: they were made then, and found
    now. A disk on which it cannot be written costs the record and nothing else.
    """
    before = _Before.now() if of_case else _Before.nothing()
    if of_case:
        _forget_peak()
    watch = _Watch()
    watch.start()
    try:
        yield
    finally:
        watch.end()
        if log is not None:
            with contextlib.suppress(OSError):
                used = _longer(record_of(log), _used(watch.most, before) | {"made": _made(outputs)})
                write_text(record_of(log), json.dumps(used | ({"case": True} if of_case else {})) + "\n")


def _longer(path: Path, used: dict[str, Any]) -> dict[str, Any]:
    """What was used, or what a record says that was used to make the same."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        stored = {key: json.loads(path.read_text(encoding="utf-8"))[key] for key in used}
        if used["made"] and stored["made"] == used["made"] and stored["seconds"] > used["seconds"]:
            return stored
    return used


def _made(outputs: Sequence[str]) -> str:
    """Sixteen digits that stand for the files that are there, by their content where they are small; empty without."""
    found = hashlib.sha256()
    there = [path for path in map(Path, outputs) if path.is_file()]
    for path in there:
        size = path.stat().st_size
        found.update(f"{path} {size}\n".encode() + (path.read_bytes() if size <= SMALL else b""))
    return found.hexdigest()[:16] if there else ""


def _used(together: int, before: _Before) -> dict[str, Any]:
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # What the children's peak may have from this process, which started them, is not more than its own.
    peak = max(together, own_peak(), largest * OF_MAXRSS if largest > before.largest_child else 0)
    seconds, cpu = time.time() - before.began, _cpu_s() - before.cpu_s
    return {"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2), "peak_mb": round(peak / MEBIBYTE, 1)}


def _cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _forget_peak() -> None:
    """Let Linux count the peak of this process's memory from now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def own_peak() -> int:
    """Peak memory of this process in bytes."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * OF_MAXRSS


class _Watch(threading.Thread):
    """Looks at the memory of this process and all below it, while there are any."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="usage-watch")
        self.most = 0
        self._ended = threading.Event()

    def run(self) -> None:
        """Until the end."""
        while not self._ended.wait(EVERY_S):
            family = family_of(psutil.Process().pid)
            if len(family) > 1:
                self.most = max(self.most, sum(map(resident_bytes, family)))

    def end(self) -> None:
        """No more looks."""
        self._ended.set()
        self.join()


def family_of(pid: int) -> list[int]:
    """A process and all below it, by the kernel's own lists; the process alone where the kernel keeps none.

    Asking every process of the machine for its parent, as psutil does, costs much where there are thousands.
    """
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text(encoding="ascii").split())
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory of a process; nothing once it is gone. What forks share counts as a part of each."""
    shared_out = _kibibytes(pid, "Pss:")
    if shared_out is not None:
        return shared_out * 1024
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * resource.getpagesize()


def own_bytes(pid: int) -> int:
    """Memory that a process has to itself and has written to: without what it shares with others, and files it maps."""
    return (_kibibytes(pid, "Private_Dirty:") or 0) * 1024


def _kibibytes(pid: int, key: str) -> int | None:
    """A line of the kernel's summary of a process's memory; None where there is none."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith(key)).split()[1])
    return None
