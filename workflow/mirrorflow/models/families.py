"""Self-supervised families by name: what shapes a network, and the network. A new one is one line here."""

from typing import Any, NamedTuple

import torch

from mirrorflow.models.mirror import Mirror
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.models.settings import MirrorSettings
from mirrorflow.models.tangle import Tangle, TangleSettings


class Family(NamedTuple):
    """A frozen dataclass of settings, and the network it shapes."""

    settings: type[Any]
    network: type[PairedNetwork]


FAMILIES: dict[str, Family] = {
    "mirror": Family(MirrorSettings, Mirror),
    "tangle": Family(TangleSettings, Tangle),
}


def build_network(family: str, settings: Any, seed: int) -> PairedNetwork:
    """A freshly initialised network; the same for the same seed, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FAMILIES[family].network(settings)
