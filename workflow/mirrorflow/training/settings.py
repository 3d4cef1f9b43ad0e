"""How MIRROR is trained, checked: epochs, batches, precision, learning rate."""

from dataclasses import dataclass
from typing import Literal

from mirrorflow.errors import ConfigError
from mirrorflow.training.bags import ShortBags
from mirrorflow.training.schedule import Precision, Schedule


@dataclass(frozen=True)
class PretrainSettings:
    """How the network is trained. Published: the defaults, with ``drop_last`` and ``precision`` half.

    ``tokens`` are drawn from each bag at each step (``short``: what happens to a smaller one).
    ``feature_scaling: train`` standardises patch features with the training patches' mean and sd
    (published: ``none``). A last incomplete batch is used unless ``drop_last``; a last batch of one unit,
    in which InfoNCE has no negative, is merged into the one before it.

    Raises ConfigError naming the setting, its value and what is allowed.
    """

    epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 2e-5
    tokens: int = 2048
    seed: int = 42
    precision: Precision = "auto"
    drop_last: bool = False
    short: ShortBags = "resample"
    feature_scaling: Literal["none", "train"] = "none"
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    warmup_epochs: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "tokens", "learning_rate"):
            if getattr(self, name) <= 0:
                message = f"{name} is {getattr(self, name)}; it must be above 0"
                raise ConfigError(message)
        if self.batch_size < 2:
            message = f"batch_size is {self.batch_size}; InfoNCE needs at least 2 units in a batch"
            raise ConfigError(message)
        _check_choices(self)


def _check_choices(settings: PretrainSettings) -> None:
    allowed = {
        "precision": ("float32", "bfloat16", "auto"),
        "short": ("resample", "mask"),
        "feature_scaling": ("none", "train"),
        "schedule": ("constant", "cosine"),
    }
    for name, choices in allowed.items():
        if getattr(settings, name) not in choices:
            message = f"{name} is {getattr(settings, name)!r}; allowed: {', '.join(choices)}"
            raise ConfigError(message)
