"""States of a training on their way to the disk: now and then, on a GPU beside the training.

A state at published size is 590 MB and takes a second to write, half of what an epoch takes on a fast GPU. One of a
small network takes 50 ms, and its epoch on a CPU 200.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from mirrorflow.training.trainer import TrainingState

EVERY_S = 5.0
"""Seconds of training that a killed job may lose, beside the epoch that it was in."""
BESIDE_EVERY_S = 60.0
"""The same on a GPU."""


class Keeper:
    """Hands states to ``save``, with ``beside`` in a thread, and no two within ``every_s`` seconds.

    every_s: None: BESIDE_EVERY_S in a thread, else EVERY_S. An error of the thread is raised at the next state, or at
    the end of the block, which waits for it.
    """

    def __init__(self, save: Callable[[TrainingState], None], *, beside: bool, every_s: float | None = None) -> None:
        self._save, self._beside = save, beside
        self._every_s = (BESIDE_EVERY_S if beside else EVERY_S) if every_s is None else every_s
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint") if beside else None
        self._under_way: Future[None] | None = None
        self._last = time.monotonic()
        self._memory: dict[str, Tensor] = {}

    def keep(self, state: TrainingState) -> None:
        """Write the state, or leave it: one was written lately, or is being written."""
        if self._under_way is not None and self._under_way.done():
            self._end()
        if self._under_way is not None or time.monotonic() - self._last < self._every_s:
            return
        if self._thread is None:
            self._save(state)
            self._last = time.monotonic()
            return
        self._last = time.monotonic()
        parts = {name: self._copied(getattr(state, name), name) for name in ("model", "optimizer")}
        copied = _recorded(state)
        copy = replace(state, **parts, history=[dict(row) for row in state.history])
        self._under_way = self._thread.submit(self._write, copy, copied)

    def _write(self, state: TrainingState, copied: "torch.cuda.Event | None") -> None:
        if copied is not None:
            copied.synchronize()
        self._save(state)

    def _copied(self, value: Any, place: str) -> Any:
        """The same with tensors in memory of this object's own, which is used for every state."""
        if isinstance(value, Tensor):
            if place not in self._memory:
                self._memory[place] = torch.empty_like(value, device="cpu", pin_memory=value.is_cuda)
            return self._memory[place].copy_(value.detach(), non_blocking=True)
        if isinstance(value, dict):
            return {key: self._copied(part, f"{place}.{key}") for key, part in value.items()}
        if isinstance(value, list):
            return [self._copied(part, f"{place}.{number}") for number, part in enumerate(value)]
        return value

    def _end(self) -> None:
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if self._thread is None:
            return
        self._thread.shutdown(wait=True)
        if kind is None:
            self._end()


def _recorded(state: TrainingState) -> "torch.cuda.Event | None":
    """What says that the copies of a state on a GPU are done."""
    tensor = next(iter(state.model.values()), None)
    if tensor is None or not tensor.is_cuda:
        return None
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(tensor.device))
    return event
