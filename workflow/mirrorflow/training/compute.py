"""How training is laid out on the machine at hand: what memory, speed and the number of devices ask for."""

from dataclasses import dataclass

from torch import nn

from mirrorflow.errors import ConfigError
from mirrorflow.models.paired import PairedNetwork


@dataclass(frozen=True)
class ComputeSettings:
    """What may change between two attempts at one training: the objective and its minimum stay as they are.

    ``micro_batch`` units go through the network at a time; InfoNCE still sees the whole batch (its gradient is
    taken on embeddings computed beforehand, Gao et al. 2021, "GradCache"), at the price of a second pass of the
    encoders. ``activation_checkpointing`` computes attention blocks again in the backward pass instead of keeping
    their activations. ``compile`` hands the encoders to torch.compile. ``devices`` train one fold together.
    ``cache_gb``: bags whose files cannot be mapped, kept in memory.

    Equal up to rounding; dropout's draws follow the layout (``micro_batch``, ``devices``, ``compile``), and the
    Nystrom form's pseudo-inverse starts from the units that go through together.

    Raises ConfigError naming the setting, its value and what is allowed.
    """

    micro_batch: int | None = None
    activation_checkpointing: bool = False
    compile: bool = False
    devices: int = 1
    cache_gb: float = 4.0

    def __post_init__(self) -> None:
        for name in ("micro_batch", "devices"):
            value = getattr(self, name)
            if value is not None and value < 1:
                message = f"{name} is {value}; it must be at least 1"
                raise ConfigError(message)
        if self.compile and self.micro_batch is not None:
            message = (
                "compile and micro_batch are both set: compiled passes draw other dropout the second time; drop one"
            )
            raise ConfigError(message)


def lay_out(network: PairedNetwork, compute: ComputeSettings) -> None:
    """Prepare ``network`` in place; its weights and their names stay as they are."""
    for block in network.heavy_blocks():
        block.checkpointing = compute.activation_checkpointing  # type: ignore[assignment]
    if compute.compile:
        for encoder in network.encoders():
            _compile(encoder)


def _compile(module: nn.Module) -> None:
    module.compile()
