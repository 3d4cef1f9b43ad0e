"""Tensors that say they lie on a GPU and hold nothing: what would be computed where, on a machine without one."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from unittest import mock

import torch
import torch.cuda.amp.common
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

GPU = torch.device("cuda")


@dataclass
class Seen:
    """What the processor would have waited for: copies between host and GPU, and numbers that are read off the GPU."""

    into: list[str] = field(default_factory=list)
    out: list[str] = field(default_factory=list)


class _Watch(TorchDispatchMode):
    def __init__(self, seen: Seen) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.name()
        if name == "aten::_local_scalar_dense":
            self.seen.out.append("a number")
            return 1.0
        made = func(*args, **kwargs)
        if name == "aten::_to_copy" and isinstance(made, Tensor) and not kwargs.get("non_blocking"):
            self._moved(args[0], made)
        if name == "aten::copy_" and not (len(args) > 2 and args[2]):
            self._moved(args[1], args[0])
        return made

    def _moved(self, source: Tensor, target: Tensor) -> None:
        if source.device.type != target.device.type:
            way = self.seen.into if target.device.type == "cuda" else self.seen.out
            way.append(f"{tuple(source.shape)} {source.dtype}")


@contextlib.contextmanager
def fake_cuda() -> Iterator[Seen]:
    """Inside, ``torch.device("cuda")`` can be built on and computed on; a mix of devices in one operation raises."""
    seen = Seen()

    def tolist(tensor: Tensor):
        if tensor.device.type == "cuda":
            seen.out.append(f"{tuple(tensor.shape)} as a list")
        return _ones(tensor.shape)

    patches = [
        mock.patch.object(torch.cuda.amp.common, "amp_definitely_not_available", return_value=False),
        mock.patch.object(torch.nn.init, "trunc_normal_", lambda tensor, **_: tensor),  # rejects until numbers fit
        mock.patch.object(FakeTensor, "tolist", tolist),
        mock.patch.object(torch.Tensor, "backward", return_value=None),  # autograd asks for a driver
        mock.patch.object(torch, "manual_seed", return_value=None),
        mock.patch.object(torch.Tensor, "pin_memory", lambda tensor: tensor),
        mock.patch.object(torch.cuda, "is_bf16_supported", return_value=True),
    ]
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(_Watch(seen))
        yield seen


def _ones(shape: torch.Size):
    if not shape:
        return 1.0
    return [_ones(shape[1:]) for _ in range(shape[0])]
