"""Parts of a network that compute as they stand, whatever precision the training has around them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def as_it_stands(tensor: Tensor) -> Iterator[None]:
    """Neither autocast on the tensor's device nor TF32; where operations are counted (meta) there is none of them."""
    if tensor.is_meta:
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.autocast(tensor.device.type, enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
