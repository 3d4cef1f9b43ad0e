"""Calls side by side in forks of this process: as many as cores and memory allow, and none takes another along.

A fork starts in a moment and shares what this process has read. Each computes in one thread, so that what it returns
is to the bit what the same call returns alone. Nothing here is for a GPU: CUDA does not outlive a fork.
"""

import contextlib
import gc
import logging
import multiprocessing
import os
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import psutil

from mirrorflow.errors import MirrorflowError
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.job import die_with, end_with_children
from mirrorflow.runtime.threads import use_threads
from mirrorflow.runtime.usage import MEBIBYTE, own_bytes

logger = logging.getLogger("mirrorflow")

LOOKS_S = 0.5
"""How often the memory of forks is looked at."""
FIRST_MB = 600.0
"""Memory (2^20 bytes) that a fork counts with until one has ended, or takes more: folds of TCGA take 100 to 400."""


@dataclass(frozen=True)
class Cores:
    """How calls share the cores: ``processes`` at a time, a thread each; one process: this one, as it is.

    A fork has one thread: libgomp waits for ever for those of its parent, which a fork does not have. It has
    ``threads`` where its parent has computed nothing.
    memory_mb: what this process and its forks may take together (2^20 bytes). Fewer run where more would not fit.
    """

    processes: int = 1
    memory_mb: float = float("inf")
    threads: int = 1

    @classmethod
    def shared(cls, threads: int, calls: int, memory_mb: float) -> "Cores":
        """``threads`` shared out to so many calls, which are those of the whole job: a resumed one computes alike."""
        return cls(max(1, min(threads, calls)), memory_mb)


ONE_BY_ONE = Cores()


@dataclass(frozen=True)
class Failed:
    """What a call raised."""

    error: Exception


def run_each(calls: Sequence[Call], cores: Cores, done: Callable[[str], None]) -> list[Any]:
    """What each call returns, in their order. ``done`` is told the label of each as it ends.

    Raises, once all have ended, an error that names the calls that failed: of their own type where they agree on one.
    """
    outcomes = dict(_in_forks(calls, cores, done) if cores.processes > 1 else _here(calls, done))
    failed = {calls[i].label: outcomes[i].error for i in sorted(outcomes) if isinstance(outcomes[i], Failed)}
    if failed:
        raise _failure(failed)
    return [outcomes[i] for i in range(len(calls))]


def in_workers(calls: Sequence[Call], cores: Cores, done: Callable[[str], None]) -> list[str]:
    """Make each call for what it does, in forks that make one after the other; the labels of those that failed.

    A fork keeps what it has read and started for its next call. One that dies takes the call with it that it was
    making, and another goes on. Each failed call has said why; ``done`` is told the label of each as it ends.
    """
    waiting, busy, failed = deque(range(len(calls))), dict[Connection, _Fork](), set[int]()
    room = _Room(cores)
    with _sharing_memory(busy):
        while waiting or busy:
            while waiting and room.is_left(list(busy.values())):
                number = waiting.popleft()
                connection, process = _started(_work, calls, cores.threads)
                _sent(connection, number)  # one that is dead already says nothing, and is found out by that
                busy[connection] = _Fork(number, calls[number].label, process)
            ready = wait(list(busy), LOOKS_S)
            for connection in [one for one in busy if one in ready]:
                fork = busy.pop(connection)
                if isinstance(fork.outcome(connection, ended=False), Failed):
                    failed.add(fork.number)
                if fork.process.is_alive() and waiting and _sent(connection, waiting[0]):
                    number = waiting.popleft()
                    busy[connection] = _Fork(number, calls[number].label, fork.process)
                else:
                    _sent(connection, None)
                    fork.process.join()
                room.ended(fork)
                done(fork.label)
            room.look(busy.values())
    return [calls[number].label for number in sorted(failed)]


def _sent(connection: Connection, number: int | None) -> bool:
    """Whether a worker could be given a call, or was told that there is none."""
    try:
        connection.send(number)
    except OSError:
        return False
    return True


def _work(parent: int, connection: Connection, calls: Sequence[Call], threads: int) -> None:
    """What a worker does: the calls that it is given by number, until it is given none."""
    die_with(parent)
    use_threads(threads)
    while (number := connection.recv()) is not None:
        found = _made(calls[number])
        connection.send(Failed(MirrorflowError("")) if isinstance(found, Failed) else None)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    end_with_children()  # a library's own processes wait for more work


def _failure(failed: Mapping[str, Exception]) -> Exception:
    """One error of all; one that is no message for people stands in the log with its traceback."""
    first = next(iter(failed.values()))
    if not isinstance(first, MirrorflowError):
        first.add_note(f"in {', '.join(failed)}")
        return first
    by_text: dict[str, list[str]] = {}
    for label, error in failed.items():
        by_text.setdefault(str(error), []).append(label)
    texts = [f"{', '.join(labels)}: {text}" for text, labels in by_text.items()]
    kind = type(first) if len({type(error) for error in failed.values()}) == 1 else MirrorflowError
    return kind("\n".join(texts))


def _here(calls: Sequence[Call], done: Callable[[str], None]) -> Iterator[tuple[int, Any]]:
    for number, call in enumerate(calls):
        yield number, _made(call)
        done(call.label)


def _made(call: Call) -> Any:
    """What the call returns, or what it raises, which is said at once."""
    try:
        return call.function(*call.arguments, **call.keywords)
    except MirrorflowError as error:
        logger.error("%s failed: %s", call.label, error)  # noqa: TRY400
        return Failed(error)
    except Exception as error:
        logger.error("%s failed:\n%s", call.label, traceback.format_exc())  # noqa: TRY400
        return Failed(error)


# forks


@dataclass
class _Fork:
    number: int
    label: str
    process: BaseProcess
    peak_mb: float = 0.0

    def outcome(self, connection: Connection, *, ended: bool = True) -> Any:
        """What the fork sends; one that died says nothing. ``ended``: it ends now."""
        try:
            found = connection.recv()
        except (EOFError, ConnectionError):
            self.process.join()
            message = f"its process ended with {self.process.exitcode}; -9: killed, often for want of memory"
            logger.error("%s failed: %s", self.label, message)  # noqa: TRY400
            return Failed(MirrorflowError(message))
        if ended:
            self.process.join()
        return found


def _in_forks(calls: Sequence[Call], cores: Cores, done: Callable[[str], None]) -> Iterator[tuple[int, Any]]:
    waiting, running = deque(enumerate(calls)), dict[Connection, _Fork]()
    room = _Room(cores)
    with _sharing_memory(running):
        while waiting or running:
            while waiting and room.is_left(list(running.values())):
                number, call = waiting.popleft()
                connection, process = _started(_fork, call)
                running[connection] = _Fork(number, call.label, process)
            ready = wait(list(running), LOOKS_S)
            for connection in [one for one in running if one in ready]:
                fork = running.pop(connection)
                yield fork.number, fork.outcome(connection)
                room.ended(fork)
                done(fork.label)
            room.look(running.values())


@contextlib.contextmanager
def _sharing_memory(running: Mapping[Connection, _Fork]) -> Iterator[None]:
    """What is here is no garbage of the forks: looking for some would copy its memory. Who is left is killed."""
    frozen = gc.get_freeze_count()
    gc.freeze()
    try:
        yield
    finally:
        if not frozen:
            gc.unfreeze()
        for fork in running.values():
            fork.process.kill()


def _started(work: Callable[..., None], *given: Any) -> tuple[Connection, BaseProcess]:
    """A fork that does ``work`` with this process's number, a connection and what is ``given``; our end of that."""
    ours, theirs = multiprocessing.Pipe()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    process = multiprocessing.get_context("fork").Process(target=work, args=(os.getpid(), theirs, *given))
    process.start()
    theirs.close()
    return ours, process


def _fork(parent: int, connection: Connection, call: Call) -> None:
    """What a fork does: make the call, say what came of it. It ends with its parent, which ends with the run."""
    die_with(parent)
    use_threads(1)
    found = _made(call)
    if isinstance(found, Failed) and not isinstance(found.error, MirrorflowError):  # not all errors can be sent
        found = Failed(MirrorflowError(f"unexpected error, see its traceback above: {found.error!r}"))
    connection.send(found)


class _Room:
    """Whether another fork fits: beside this process each counts with the most that one has been seen to take."""

    def __init__(self, cores: Cores) -> None:
        self.cores, self._most_mb, self._known = cores, 0.0, False
        available = psutil.virtual_memory().available / MEBIBYTE
        self._left_mb = min(cores.memory_mb - own_bytes(os.getpid()) / MEBIBYTE, available)

    def is_left(self, running: Sequence[_Fork]) -> bool:
        """One always runs."""
        if not running:
            return True
        each = self._most_mb if self._known else max(self._most_mb, FIRST_MB)
        return len(running) < self.cores.processes and (len(running) + 1) * each <= self._left_mb

    def look(self, running: Iterable[_Fork]) -> None:
        """Note what the forks take now."""
        for fork in running:
            fork.peak_mb = max(fork.peak_mb, own_bytes(fork.process.pid or 0) / MEBIBYTE)
            self._most_mb = max(self._most_mb, fork.peak_mb)

    def ended(self, fork: _Fork) -> None:
        """Note that a fork has ended: once one was looked at before, the peak that was seen counts."""
        self._known = self._known or fork.peak_mb > 0
