"""Batches on their way to the device: into memory that is used again, and on a GPU copied while it computes.

A batch at published size is 134 MB. Memory that is fresh costs a page fault every 4 kB of it, more than the reading
itself. On a GPU batches are drawn into pinned memory and copied on a stream of their own.
"""

import dataclasses
import math
import sys
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mirrorflow.training.bags import Bags, Batch, draw_batch
from mirrorflow.training.devices import is_out_of_memory

KEPT = 6
"""Pieces of memory that are kept: two batches ahead, the one in use, and room for a last one that is smaller."""
ALONE = 3
"""References to a piece that nobody else holds: the list's, the loop's, and that of the call which counts."""


class Buffers:
    """Memory for batches. A piece is given out again when nothing looks into it any more."""

    def __init__(self) -> None:
        self._pieces: list[np.ndarray] = []

    def take(self, *shape: int) -> Tensor:
        """Memory [*shape] float32 that nobody else looks into; what it holds is left over."""
        size = math.prod(shape)
        for piece in self._pieces:
            if len(piece) >= size and sys.getrefcount(piece) == ALONE:
                return torch.from_numpy(piece[:size]).view(shape)
        self._pieces = [piece for piece in self._pieces if sys.getrefcount(piece) > ALONE][-KEPT:]
        piece = torch.empty(size).numpy()
        self._pieces.append(piece)
        return torch.from_numpy(piece[:size]).view(shape)


class Pinned:
    """Page-locked memory for batches. A piece is given out again when its copy to the GPU has ended."""

    def __init__(self) -> None:
        self._pieces: list[tuple[Tensor, torch.cuda.Event | None]] = []

    def take(self, *shape: int) -> Tensor:
        """Memory [*shape] float32, waited for where two copies are under way."""
        size = math.prod(shape)
        if len(self._pieces) >= 2:
            piece, copied = self._pieces.pop(0)
            if copied is not None:
                copied.synchronize()
            if piece.numel() < size:
                piece = torch.empty(size, pin_memory=True)
        else:
            piece = torch.empty(size, pin_memory=True)
        self._pieces.append((piece, None))
        return piece[:size].view(shape)

    def copying(self, event: torch.cuda.Event) -> None:
        """The piece that was given out last is being copied; the event says until when."""
        self._pieces[-1] = (self._pieces[-1][0], event)


@lru_cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """One for all loaders of a device: memory that was taken on a stream serves none but that one again."""
    return torch.cuda.Stream(device)


class Loader:
    """Draws batches for a device; to be used by one thread, :func:`received` by the one that computes."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._on_gpu = device.type == "cuda"
        self._memory: Any = Pinned() if self._on_gpu else Buffers()
        self._stream = _copy_stream(device) if self._on_gpu else None

    def draw(self, bags: Any, units: np.ndarray, **how: Any) -> Batch:
        """As :func:`~mirrorflow.training.bags.draw_batch`, with the patches on the device or on their way to it."""
        return self.sent(draw_batch(bags, units, take=self._memory.take, **how))

    def whole(self, bags: Bags, unit: int) -> Batch:
        """Every patch of one unit [1, patch, feature], copied once, on the device or on its way to it."""
        bag = bags[unit]
        patches = self._memory.take(1, *bag.shape)
        np.copyto(patches[0].numpy(), bag)
        return self.sent(Batch(np.array([unit]), patches, None))

    def sent(self, batch: Batch) -> Batch:
        """The batch with its patches on their way; as it is on a CPU.

        Where the GPU has no room for them now, it is a copy of the batch: whoever receives it brings it there, and
        knows what to do where there is no room then either.
        """
        if self._stream is None or not batch.patches.is_pinned():
            return batch
        try:
            with torch.cuda.stream(self._stream):
                patches = batch.patches.to(self.device, non_blocking=True)
                copied = torch.cuda.Event()
                copied.record(self._stream)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return dataclasses.replace(batch, patches=batch.patches.clone())
        self._memory.copying(copied)
        return dataclasses.replace(batch, patches=patches, copied=copied)


def halves(batch: Batch, device: torch.device) -> list[Batch]:
    """The batch as two, its patches on the device; one where it holds one unit."""
    patches, cut = received(batch, device), (len(batch.units) + 1) // 2
    parts = [slice(0, cut), slice(cut, None)] if cut < len(batch.units) else [slice(None)]
    counts = batch.counts
    return [Batch(batch.units[part], patches[part], None if counts is None else counts[part]) for part in parts]


def on_device(numbers: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Numbers, of units for example, on the device; the processor does not wait for it."""
    rows = numbers if isinstance(numbers, Tensor) else torch.from_numpy(numbers)
    return rows.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else rows.to(device)


def received(batch: Batch, device: torch.device) -> Tensor:
    """The batch's patches on the device: the stream that computes waits for their copy, the processor does not."""
    if batch.copied is None:
        return batch.patches.to(device)
    stream = torch.cuda.current_stream(device)
    stream.wait_event(batch.copied)
    batch.patches.record_stream(stream)
    return batch.patches
