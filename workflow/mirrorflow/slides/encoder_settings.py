"""Which network turns patches into features, with which weights; free of torch."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from mirrorflow.errors import ConfigError

TIMM = "timm/"
RANDOM, HUB = "random", "hub"
CHOICES = {
    "weights_set": ("IMAGENET1K_V2", "IMAGENET1K_V1"),
    "precision": ("float32", "bfloat16", "float16"),
    "output_dtype": ("float32", "float16"),
}


@dataclass(frozen=True)
class EncoderSettings:
    """One encoder of the config."""

    name: str
    """How the store and the tables call it: resnet50-random, phikon."""
    model: str
    """resnet50 (cut after its third stage: 1,024 values), phikon (768) or timm/<name>."""
    weights: str
    """random, hub, or the path of a file (safetensors or torch state dict)."""
    weights_set: str = "IMAGENET1K_V2"
    """resnet50 from the hub: V2 as MIRROR, V1 as CLAM and TRIDENT."""
    seed: int = 0
    """Of random weights."""
    precision: str = "float32"
    """Arithmetic of the network."""
    image_size: int | None = 224
    """Pixels a side that the network sees; None: what a timm model asks for."""
    output_dtype: str = "float32"
    """Type of the stored values."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments a timm model is built with: init_values (LayerScale), img_size, dynamic_img_size, reg_tokens, ..."""
    pooling: str | None = None
    """How a timm model pools (its ``global_pool``: token, avg, ...); None: as its own config says."""
    mean: tuple[float, ...] | None = None
    """Of RGB in 0 to 1, taken off the images; None: the model's own."""
    std: tuple[float, ...] | None = None
    """What they are divided by then; None: the model's own."""

    @property
    def local(self) -> Path | None:
        """The weights file, if they come from one."""
        return None if self.weights in (RANDOM, HUB) else Path(self.weights)

    def noted(self) -> dict[str, Any]:
        """What feature files carry and are compared with: what moves values, and no path.

        A local file stands for its content. Raises ConfigError where it is missing.
        """
        values = asdict(self)
        for key, matters in {
            "seed": self.weights == RANDOM,
            "weights_set": self.weights == HUB and self.model == "resnet50",
            **{key: bool(values[key]) for key in ("options", "pooling", "mean", "std")},  # as before these existed
        }.items():
            if not matters:
                del values[key]
        if self.local is not None:
            values["weights"] = f"sha256:{_file_digest(self.local, self.name)}"
        return values


def encoder_from(settings: Mapping[str, Any]) -> EncoderSettings:
    """From the config. Raises ConfigError naming the key, the value and what is allowed."""
    allowed = [field.name for field in fields(EncoderSettings)]
    # `patching` says which grid the encoder sees: a matter of folders, not of the network.
    if unknown := sorted(settings.keys() - {*allowed, "patching"}):
        message = f"encoder: unknown {', '.join(unknown)}; allowed are {', '.join(allowed)}"
        raise ConfigError(message)
    values = {key: value for key, value in settings.items() if key != "patching"}
    if values.get("weights_set") in ("V1", "V2"):
        values["weights_set"] = f"IMAGENET1K_{values['weights_set']}"
    for key in ("name", "model", "weights"):
        if not values.get(key):
            message = f"encoder {settings.get('name', '')}: {key} is missing"
            raise ConfigError(message)
    values |= {key: tuple(values[key]) for key in ("mean", "std") if values.get(key) is not None}
    encoder = EncoderSettings(**values)
    if encoder.model not in ("resnet50", "phikon") and not encoder.model.startswith(TIMM):
        message = f"encoder {encoder.name}: model {encoder.model!r}; allowed are resnet50, phikon, timm/<name>"
        raise ConfigError(message)
    for key, choices in CHOICES.items():
        if getattr(encoder, key) not in choices:
            message = f"encoder {encoder.name}: {key} {getattr(encoder, key)!r}; allowed: {', '.join(choices)}"
            raise ConfigError(message)
    _check_network(encoder)
    return encoder


def _check_network(encoder: EncoderSettings) -> None:
    """Raises ConfigError for options of a network that takes none, and for a normalisation that cannot be."""
    if not encoder.model.startswith(TIMM) and (encoder.options or encoder.pooling):
        message = f"encoder {encoder.name}: {encoder.model} is as it is; options and pooling are for timm/<name>"
        raise ConfigError(message)
    if taken := sorted(
        {"pretrained", "pretrained_cfg", "checkpoint_path", "in_chans", "global_pool"} & set(encoder.options)
    ):
        message = f"encoder {encoder.name}: options: {', '.join(taken)} cannot be set here; see weights and pooling"
        raise ConfigError(message)
    if (encoder.mean is None) != (encoder.std is None):
        message = f"encoder {encoder.name}: set mean and std together (mean {encoder.mean}, std {encoder.std})"
        raise ConfigError(message)
    for key, values, low in (("mean", encoder.mean, 0.0), ("std", encoder.std, 1e-6)):
        if values is not None and (len(values) != 3 or not all(low <= value <= 1 for value in values)):
            message = f"encoder {encoder.name}: {key} {list(values)}; three values of RGB in 0 to 1 are wanted"
            raise ConfigError(message)


def _file_digest(path: Path, name: str) -> str:
    if not path.is_file():
        message = f"encoder {name}: no weights file {path}; put it there, or set weights to hub or random"
        raise ConfigError(message)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
