"""Learning rate over the steps of a training. Free of torch."""

import math

from mirrorflow.config.training_settings import Schedule


def learning_rate_factor(step: int, steps: int, *, schedule: Schedule, warmup_steps: int = 0) -> float:
    """Factor on the learning rate at ``step`` of ``steps``: linear warm-up, then constant or a cosine."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))
