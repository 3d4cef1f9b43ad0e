"""Whether float32 products and convolutions round to TF32 (10 bits of mantissa) on a GPU."""

import torch


def set_tf32(*, on: bool) -> None:
    """Both of torch's switches, for this process from now on: by default convolutions round, and products do not."""
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on
