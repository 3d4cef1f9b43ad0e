"""The device a job computes on, and its arithmetic: chosen openly, checked once, said in the log."""

import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import torch

from mirrorflow.config.training_settings import Precision
from mirrorflow.errors import ConfigError, MirrorflowError
from mirrorflow.runtime.gpus import driver_version, why_expected
from mirrorflow.runtime.tf32 import set_tf32

logger = logging.getLogger("mirrorflow.device")

T = TypeVar("T")

MIN_WIDTH_BFLOAT16 = 256
TF32_SINCE = (8, 0)
"""Compute capability from which a GPU has TF32 (Ampere)."""


def choose_device(device: str) -> torch.device:
    """``auto``: the GPU if there is one, else the CPU; anything else is torch's own name of a device.

    Raises MirrorflowError where a GPU is there, or was allocated, and torch cannot use it: naming driver and wheel.
    """
    return _auto_device() if device == "auto" else _checked(torch.device(device))


def kind_of(device: str) -> str:
    """``cuda`` or ``cpu``, without taking the GPU: for a process whose children compute. Raises as choose_device."""
    if device != "auto":
        return torch.device(device).type
    if torch.cuda.is_available():
        return "cuda"
    return _auto_device().type


@lru_cache
def _auto_device() -> torch.device:
    if torch.cuda.is_available():
        return _checked(torch.device("cuda"))
    if why := why_expected():
        raise MirrorflowError(unusable(why, _why_not()))
    logger.info("device: CPU, %d threads", torch.get_num_threads())
    return torch.device("cpu")


@lru_cache
def _checked(device: torch.device) -> torch.device:
    """A device that has computed something; said once."""
    if device.type != "cuda":
        return device
    try:
        torch.ones(1, device=device).add_(1)
        name, memory = torch.cuda.get_device_name(device), torch.cuda.get_device_properties(device).total_memory
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for CUDA
        raise MirrorflowError(unusable(f"device {device}", str(error).splitlines()[0])) from error
    logger.info("device: %s (%s), %.0f GB; %s", name, device, memory / 1e9, wheel())
    return device


def _why_not() -> str:
    """What torch says when it is made to start CUDA."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            return str(error).splitlines()[0]
    return "torch sees no device"


def wheel() -> str:
    """Driver, torch, the CUDA it was built for and the GPUs it holds code for, in words."""
    driver = driver_version() or "no NVIDIA driver is loaded"
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    return f"driver: {driver}; torch {torch.__version__}, built for {built}"


REMEDIES = (
    ("busy or unavailable", "the GPU is in exclusive mode and another process has it: nvidia-smi -c DEFAULT"),
    ("too old", "update the driver (CUDA 13 wants 580 or newer), or install a torch wheel of an older CUDA"),
    ("insufficient", "update the driver (CUDA 13 wants 580 or newer), or install a torch wheel of an older CUDA"),
    ("no kernel image", "this torch wheel holds no code for the GPU's generation; install one that does"),
    ("not compiled", "install a torch wheel that is built for CUDA"),
    ("no nvidia driver", "load the driver; a container wants --gpus all, --device nvidia.com/gpu=all or --nv"),
    ("invalid device ordinal", "there are fewer GPUs than that; lower compute.devices"),
)
"""What torch says (in lower case) and what helps."""


def unusable(why: str, said: str) -> str:
    """What to tell of a GPU that is there (``why``) and cannot be used; ``said``: by torch."""
    fixes = [remedy for sign, remedy in REMEDIES if sign in said.lower()]
    advice = fixes[0] if fixes else "see `python -c 'import torch; torch.cuda.init()'`"
    return (
        f"{why}, but torch cannot use the GPU: {said} ({wheel()}). Fix: {advice}. To compute on the CPU all the same, "
        "set CUDA_VISIBLE_DEVICES to nothing"
    )


def check_enough(devices: int, device: str) -> None:
    """Raise ConfigError where a fold is to be spread over more GPUs than this job sees; CPUs are as many as asked."""
    if kind_of(device) == "cuda" and torch.cuda.device_count() < devices:
        message = (
            f"compute.devices is {devices}, this job sees {torch.cuda.device_count()} GPU(s); lower it, or let the run "
            f"use as many: --resources gpu={devices}"
        )
        raise ConfigError(message)


def limit_memory(device: str, share: int) -> None:
    """Bound this process to its part of the memory of a GPU that ``share`` of them use."""
    if share > 1 and kind_of(device) == "cuda":
        torch.cuda.set_per_process_memory_fraction(1 / share)


def make_deterministic(*, on: bool) -> None:
    """Whether kernels whose sums depend on timing give way to slower ones; before the first product on a GPU."""
    if on:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(on)


@dataclass(frozen=True)
class Arithmetic:
    """How a forward pass computes: under which autocast (None: none), float32 products in TF32 or as IEEE says.

    ``float16`` wants its loss scaled (:meth:`scaler`), or small gradients become 0.
    """

    device: torch.device
    dtype: torch.dtype | None = None
    tf32: bool = False

    def autocast(self) -> torch.autocast:
        """The context of a forward pass. TF32 is set for all that follows, the backward pass among it."""
        set_tf32(on=self.tf32)
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None)

    def scaler(self) -> torch.amp.GradScaler:
        """What scales the loss; does nothing in any other arithmetic."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)


FLOAT32 = Arithmetic(torch.device("cpu"))
UNSCALED = FLOAT32.scaler()


def arithmetic_of(precision: Precision, device: torch.device, width: int) -> Arithmetic:
    """What a setting ``precision`` means on a device. ``auto``: bfloat16 where the device is built for it.

    On a CPU a narrow model stays in float32: under 256 the casts cost more than the products gain. ``tf32`` is float32
    there. Raises ConfigError for a GPU without what is asked for.
    """
    if precision == "auto":
        wide = device.type != "cpu" or width >= MIN_WIDTH_BFLOAT16
        precision = "bfloat16" if wide and has_fast_bfloat16(device) else "float32"
    else:
        check_units(precision, device)
    dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(precision)
    return Arithmetic(device, dtype, precision == "tf32")


def check_units(precision: str, device: torch.device) -> None:
    """Raise ConfigError for a GPU that is not built for this precision; a CPU can do all of them."""
    if device.type != "cuda":
        return
    lacks_tf32 = precision == "tf32" and torch.cuda.get_device_capability(device) < TF32_SINCE
    if lacks_tf32 or (precision == "bfloat16" and not has_fast_bfloat16(device)):
        other = "float16 or float32" if precision == "bfloat16" else "float32"
        message = f"precision: {precision}, but {torch.cuda.get_device_name(device)} has no {precision}; set {other}"
        raise ConfigError(message)


def has_fast_bfloat16(device: torch.device) -> bool:
    """True for CPUs with AVX512-BF16 or AMX and for GPUs with bfloat16 units."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def wait_for(device: torch.device) -> None:
    """Return when the device has done all it was given: before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def guarded(work: Callable[[], T], full: Callable[[], str], *smaller: Callable[[], T]) -> T:
    """What ``work`` returns; where the GPU's memory is full, what the next of ``smaller`` does.

    Raises MirrorflowError of ``full()``, which says what to lower, where that is not enough either.
    """
    try:
        return work()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        said = str(error).splitlines()[0] if str(error) else "out of memory"
    # Out of the handler: its error holds the frames, and these what fills the memory.
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if not smaller:
        raise MirrorflowError(full())
    logger.warning("the GPU's memory is full (%s); once more with less of it", said)
    return guarded(smaller[0], full, *smaller[1:])


FULL = ("ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED", "out of memory")
"""How libraries beside torch's own allocator say that the GPU's memory is full."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the GPU's memory is full: torch's own error, or one of cuBLAS or cuDNN that says so."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in FULL)
