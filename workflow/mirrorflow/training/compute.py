"""How training is laid out on the machine at hand: what memory, speed and the number of devices ask for."""

import os
import shutil

from torch import nn

from mirrorflow.errors import ConfigError
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.training.settings import ComputeSettings


def lay_out(network: PairedNetwork, compute: ComputeSettings) -> None:
    """Prepare ``network`` in place; its weights and their names stay as they are."""
    for block in network.heavy_blocks():
        block.checkpointing = compute.activation_checkpointing  # type: ignore[assignment]
    if compute.compile:
        _check_compiler()
        for module in to_compile(network):
            _compile(module)


def to_compile(network: PairedNetwork) -> list[nn.Module]:
    """The encoders, and what else does most of the work: heavy blocks outside of them."""
    encoders = list(network.encoders())
    inside = {id(module) for encoder in encoders for module in encoder.modules()}
    return [*encoders, *(block for block in network.heavy_blocks() if id(block) not in inside)]


def _check_compiler() -> None:
    named = os.environ.get("CXX", "")
    if not any(shutil.which(name) for name in (named, "g++", "clang++", "c++") if name):
        message = "compute.compile is true, but there is no C++ compiler (g++); install one, or set compile: false"
        raise ConfigError(message)


def _compile(module: nn.Module) -> None:
    module.compile()
