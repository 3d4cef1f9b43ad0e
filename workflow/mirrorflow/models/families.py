"""Self-supervised families by name: what shapes a network, and the network.

A family is a module of this package, named after it, with ``SETTINGS`` (a frozen dataclass) and ``NETWORK`` (the
:class:`~mirrorflow.models.paired.PairedNetwork` that it shapes).
"""

from typing import Any, NamedTuple

import torch

from mirrorflow.config.modules import part_of
from mirrorflow.models.paired import PairedNetwork


class Family(NamedTuple):
    """A frozen dataclass of settings, and the network it shapes."""

    settings: type[Any]
    network: type[PairedNetwork]


def family_of(name: str) -> Family:
    """The family of a name. Raises ConfigError where there is no such module."""
    return Family(part_of("models", name, "SETTINGS"), part_of("models", name, "NETWORK"))


def build_network(family: str, settings: Any, seed: int) -> PairedNetwork:
    """A freshly initialised network; the same for the same seed, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return family_of(family).network(settings)
