"""Learning rate, precision, device."""

import math

import torch

from mirrorflow.config.training_settings import Precision, Schedule

MIN_WIDTH_BFLOAT16 = 256


def learning_rate_factor(step: int, steps: int, *, schedule: Schedule, warmup_steps: int = 0) -> float:
    """Factor on the learning rate at ``step`` of ``steps``: linear warm-up, then constant or a cosine."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))


def autocast_dtype(precision: Precision, device: torch.device, width: int) -> torch.dtype | None:
    """What to autocast to, None for plain float32. ``auto``: bfloat16 where the device is built for it.

    On a CPU a narrow model stays in float32: under 256 the casts cost more than the products gain.
    """
    if precision == "auto":
        wide = device.type != "cpu" or width >= MIN_WIDTH_BFLOAT16
        precision = "bfloat16" if wide and has_fast_bfloat16(device) else "float32"
    return torch.bfloat16 if precision == "bfloat16" else None


def has_fast_bfloat16(device: torch.device) -> bool:
    """True for CPUs with AVX512-BF16 or AMX and for GPUs with bfloat16 units."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def choose_device(device: str) -> torch.device:
    """``auto``: the GPU if there is one, else the CPU; anything else is torch's own name of a device."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)
