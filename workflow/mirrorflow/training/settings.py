"""How networks are trained in one fold: what the config's sections say, and what the fold adds. Free of torch."""

from dataclasses import dataclass

from mirrorflow.config.bounds import check_passes
from mirrorflow.config.fields import COUNT, SEED, Settings, of_run, same
from mirrorflow.config.probe_settings import Adaptation, Probe
from mirrorflow.config.training_settings import NOT_NEGATIVE, Compute, PretrainSettings, Train

__all__ = ["AdaptationSettings", "ComputeSettings", "PretrainSettings", "SupervisedSettings"]


@dataclass(frozen=True)
class ComputeSettings(Settings):
    """What may change between two attempts at one training: the objective and its minimum stay as they are.

    ``micro_batch`` units go through the network at a time; InfoNCE still sees the whole batch (its gradient is
    taken on embeddings computed beforehand, Gao et al. 2021, "GradCache"), at the price of a second pass of the
    encoders. ``activation_checkpointing`` computes attention blocks again in the backward pass instead of keeping
    their activations. ``compile`` hands the encoders to torch.compile. ``devices`` train one fold together.
    ``cache_gb``: bags whose files cannot be mapped, kept in memory. ``deterministic``: on a GPU the same to the digit.

    Equal up to rounding; dropout's draws follow the layout (``micro_batch``, ``devices``, ``compile``).
    """

    micro_batch: int | None = same(Compute, "micro_batch")
    activation_checkpointing: bool = same(Compute, "activation_checkpointing")
    compile: bool = same(Compute, "compile")
    devices: int = same(Compute, "devices")
    cache_gb: float = same(Compute, "cache_gb")
    deterministic: bool = same(Compute, "deterministic")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_passes(compiled=self.compile, micro_batch=self.micro_batch)


@dataclass(frozen=True)
class SupervisedSettings(Train):
    """How a network is trained on labels, in one fold.

    An epoch goes over its units ``passes`` times, or as often as it takes until all epochs together have
    ``min_steps`` steps: a support set is trained on for longer, and its epoch is one of as many.
    """

    passes: int = of_run("How often an epoch goes over its units at least.", 1, **COUNT)
    seed: int = of_run("Of every draw.", SEED, **NOT_NEGATIVE)

    def passes_for(self, units: int) -> int:
        """How often an epoch goes over ``units`` training units."""
        return max(self.passes, -(-self.min_steps // (self.epochs * self.steps(units))))

    def steps(self, units: int) -> int:
        """Steps of one pass over ``units`` training units."""
        return -(-units // self.batch_size)


@dataclass(frozen=True)
class AdaptationSettings(Settings):
    """How RNA embedding and head are trained, by Adam; ``learning_rate`` and ``weight_decay`` (L2) are the head's.

    ``drop_last``: leave the last incomplete batch of an epoch out; a set under one batch is used whole.
    ``dropout``: the frozen RNA encoder stays in training mode while the parts are trained (the published probe's way).
    """

    epochs: int = same(Probe, "epochs")
    batch_size: int = same(Probe, "batch_size")
    learning_rate: float = same(Probe, "learning_rate")
    weight_decay: float = same(Probe, "weight_decay")
    embedding_learning_rate: float = same(Adaptation, "embedding_learning_rate")
    embedding_weight_decay: float = same(Adaptation, "embedding_weight_decay")
    drop_last: bool = same(Probe, "drop_last")
    dropout: bool = of_run("Dropout of the frozen RNA encoder.", False, type="boolean")
    seed: int = of_run("Of every draw.", SEED, **NOT_NEGATIVE)
