"""Encoders by name, as config/encoders.yaml lists them: how each is built, pooled and normalised, and what it saw.

Free of torch and pandas, as the config is.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mirrorflow.config.resources import ENCODERS_FILE, read_yaml
from mirrorflow.errors import ConfigError

NATIVE = ("resnet50", "phikon")
"""Built by modules of their own."""
TOKEN_PATCH_MEAN = "token_patch_mean"
"""Pooling of [CLS] beside the mean of the patch tokens, without registers."""
QUERY = "query"
"""Pooling by a learned query that attends to all tokens: CONCH's."""
MOVES = ("network", "options", "layout", "pooling", "mean", "std")
"""What of an entry moves features: a feature file carries it."""


@dataclass(frozen=True)
class NamedEncoder:
    """One entry of the file; the file's head says what each field is. Without ``network`` it cannot be built."""

    name: str
    title: str
    saw: Sequence[str]
    pretrained_on: str
    hub: str = ""
    network: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    layout: str = "timm"
    pooling: str = "token"
    width: int = 0
    parameters: int = 0
    published_parameters: float = 0
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    image_size: int = 224
    mpp: Sequence[float] = ()
    licence: str = ""
    gated: bool = False
    also: Sequence[str] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    left_out: str = ""

    @property
    def patterns(self) -> list[str]:
        """Names, with * for anything, by which it is known."""
        return [self.name, *self.also]

    def recipe(self) -> dict[str, Any]:
        """What of it moves features, as a feature file carries it."""
        return {key: getattr(self, key) for key in MOVES}


@functools.cache
def encoder_table() -> dict[str, NamedEncoder]:
    """Every entry by its name. Raises ConfigError for an entry with an unknown field, or without one that it needs."""
    found = {}
    for name, entry in read_yaml(ENCODERS_FILE).items():
        try:
            found[name] = NamedEncoder(name=name, **entry)
        except TypeError as error:
            message = f"{ENCODERS_FILE.name}: {name}: {error}"
            raise ConfigError(message) from error
    return found


def named_encoder(model: str) -> NamedEncoder | None:
    """The entry that ``model`` names and that is built by it; None for resnet50, phikon, timm/<name>.

    Raises ConfigError for an encoder that is known and cannot be built by its name.
    """
    entry = encoder_table().get(model)
    if entry is None or model in NATIVE:
        return None
    if not entry.network:
        message = f"{entry.title} cannot be built by its name: {entry.left_out}"
        raise ConfigError(message)
    return entry


def buildable() -> list[str]:
    """Names that a config's ``model`` may have."""
    return [name for name, entry in encoder_table().items() if entry.network]
