"""How training is laid out on the machine at hand: what memory, speed and the number of devices ask for."""

from torch import nn

from mirrorflow.models.paired import PairedNetwork
from mirrorflow.training.settings import ComputeSettings


def lay_out(network: PairedNetwork, compute: ComputeSettings) -> None:
    """Prepare ``network`` in place; its weights and their names stay as they are."""
    for block in network.heavy_blocks():
        block.checkpointing = compute.activation_checkpointing  # type: ignore[assignment]
    if compute.compile:
        for encoder in network.encoders():
            _compile(encoder)


def _compile(module: nn.Module) -> None:
    module.compile()
