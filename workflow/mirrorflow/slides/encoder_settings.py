"""Which network turns patches into features, with which weights; free of torch."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mirrorflow.config.encoder_table import named_encoder
from mirrorflow.config.fields import Settings, of_data, same
from mirrorflow.config.slide_settings import Encoder
from mirrorflow.errors import ConfigError

TIMM = "timm/"
RANDOM, HUB = "random", "hub"


@dataclass(frozen=True)
class EncoderSettings(Settings):
    """One encoder of the config and its name, without the grid it sees, which is a matter of folders."""

    name: str = of_data("How the store and the tables call it: resnet50-random, phikon.", type="string", minLength=1)
    model: str = same(Encoder, "model")
    weights: str = same(Encoder, "weights")
    weights_set: str = same(Encoder, "weights_set")
    seed: int = same(Encoder, "seed")
    precision: str = same(Encoder, "precision")
    image_size: int | None = same(Encoder, "image_size", or_none=True)
    """None: what a timm model asks for."""
    output_dtype: str = same(Encoder, "output_dtype")
    options: Mapping[str, Any] = same(Encoder, "options", unset={})
    pooling: str | None = same(Encoder, "pooling", unset=None, or_none=True)
    """None: as timm's own config says."""
    mean: tuple[float, ...] | None = same(Encoder, "mean", unset=None, or_none=True)
    """None: the model's own."""
    std: tuple[float, ...] | None = same(Encoder, "std", unset=None, or_none=True)
    """None: the model's own."""

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
        if (entry := named_encoder(self.model)) is not None:
            values["recipe"] = entry.recipe()
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
    try:
        encoder = EncoderSettings(**values)
    except ConfigError as error:
        message = f"encoder {values['name']}: {error}"
        raise ConfigError(message) from error
    _check_network(encoder)
    return encoder


def _check_network(encoder: EncoderSettings) -> None:
    """Raises ConfigError for options of a network that takes none, and for an impossible normalisation."""
    if not encoder.model.startswith(TIMM) and (encoder.options or encoder.pooling):
        message = f"encoder {encoder.name}: {encoder.model} is as it is; options and pooling are for timm/<name>"
        raise ConfigError(message)
    entry = named_encoder(encoder.model)
    if entry is not None and encoder.mean is not None:
        message = (
            f"encoder {encoder.name}: {encoder.model} is normalised as its makers do (mean {list(entry.mean)}, std "
            f"{list(entry.std)}); leave mean and std out, or build it as timm/<name>"
        )
        raise ConfigError(message)
    if entry is not None and encoder.image_size not in (None, entry.image_size):
        message = (
            f"encoder {encoder.name}: {encoder.model} sees {entry.image_size} px, image_size is {encoder.image_size}"
        )
        raise ConfigError(message)
    if taken := sorted(
        {"pretrained", "pretrained_cfg", "checkpoint_path", "in_chans", "global_pool"} & set(encoder.options)
    ):
        message = f"encoder {encoder.name}: options: {', '.join(taken)} cannot be set here; see weights and pooling"
        raise ConfigError(message)
    if (encoder.mean is None) != (encoder.std is None):
        message = f"encoder {encoder.name}: set mean and std together (mean {encoder.mean}, std {encoder.std})"
        raise ConfigError(message)


def _file_digest(path: Path, name: str) -> str:
    if not path.is_file():
        message = f"encoder {name}: no weights file {path}; put it there, or set weights to hub or random"
        raise ConfigError(message)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
