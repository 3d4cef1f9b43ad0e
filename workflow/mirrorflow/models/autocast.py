"""Parts of a network that compute as they stand, whatever precision the training has around them."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(tensor: Tensor) -> AbstractContextManager[object]:
    """Autocast is off on the tensor's device; where operations are counted (meta) there is none."""
    return nullcontext() if tensor.is_meta else torch.autocast(tensor.device.type, enabled=False)
