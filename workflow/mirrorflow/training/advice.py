"""What a pretraining that cannot go on tells its user to set."""

from collections.abc import Mapping

from mirrorflow.training.compute import ComputeSettings
from mirrorflow.training.settings import PretrainSettings


def out_of_memory(settings: PretrainSettings, compute: ComputeSettings) -> str:
    """What to set when the GPU's memory is full, the mildest first."""
    remedies = []
    if not compute.activation_checkpointing:
        remedies.append("activation_checkpointing: true (same values, a third more time)")
    at_once = compute.micro_batch or settings.batch_size
    if at_once > 1 and not compute.compile:
        remedies.append(f"micro_batch: {max(1, at_once // 2)} (InfoNCE still sees the whole batch)")
    return (
        f"the GPU's memory is full with {at_once} units of {settings.tokens} tokens at a time (batch_size "
        f"{settings.batch_size}). Set in the section `compute` {'; or '.join(remedies) or 'nothing more'}; or in "
        "`pretrain` attention: exact, or a lower batch_size or tokens. With gpu_share above 1, let fewer folds share. "
        "The next run goes on from the last checkpoint"
    )


def not_finite(values: Mapping[str, float], epoch: int, step: int) -> str:
    """What to tell of a total that is not finite at an epoch and step, both from 1."""
    shown = ", ".join(f"{name}={value:.4g}" for name, value in values.items())
    return (
        f"pretraining stopped: the loss is not finite at epoch {epoch}, step {step} ({shown}); "
        "lower learning_rate, set precision: float32, or look for extreme features or expression values"
    )
