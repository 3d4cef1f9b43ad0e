"""The processes that train one fold together: who has which units, sums over all of them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class ProcessGroup:
    """``size`` processes, this one is number ``rank``. Alone by default: every sum is the value itself."""

    rank: int = 0
    size: int = 1

    def rows(self, total: int) -> np.ndarray:
        """Rows of a batch of ``total`` units that are this process's: a run of them, none if there are too few."""
        return np.array_split(np.arange(total), self.size)[self.rank]

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def max(self, number: int) -> int:
        """The largest of all processes' numbers."""
        if self.size == 1:
            return number
        largest = torch.tensor(number, device=_device())
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        return int(largest)

    def gather(self, mine: Tensor, total: int) -> Tensor:
        """All ``total`` rows of a batch [row, width]; ``mine`` are those of :meth:`rows`. Without gradient."""
        whole = torch.zeros(total, *mine.shape[1:], dtype=mine.dtype, device=mine.device)
        rows = self.rows(total)
        if len(rows):
            whole[rows[0] : rows[-1] + 1] = mine.detach()
        return self.sum(whole)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum every parameter's gradient over all processes; one that has none counts as zero."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)

    def sum_values(self, values: Sequence[float]) -> list[float]:
        """Sums of numbers over all processes."""
        return self.sum(torch.tensor(values, dtype=torch.float64, device=_device())).tolist()


def _device() -> torch.device:
    return torch.device("cuda") if dist.is_initialized() and dist.get_backend() == "nccl" else torch.device("cpu")


@contextmanager
def torchruns_world(device: str) -> Iterator[tuple[ProcessGroup, str]]:
    """The world that torchrun describes in the environment, and this process's device; alone without torchrun."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ProcessGroup(), device
        return
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    on_gpus = device == "cuda" or (device == "auto" and torch.cuda.device_count() > 0)
    if on_gpus:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if on_gpus else "gloo")
    try:
        yield ProcessGroup(rank, size), f"cuda:{local}" if on_gpus else "cpu"
    finally:
        dist.destroy_process_group()
