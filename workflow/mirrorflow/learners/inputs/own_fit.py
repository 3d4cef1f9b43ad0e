"""What a family fits by itself on a fold's training patients, by functions of its module.

``fit_inputs(train, rng)`` is given the training units, bags and scaled genes. ``fit_patches(bags, rng, *, ...)`` is
given their bags alone and the settings of the network that its keywords name; what it gives is kept beside the index of
the features by the digest of everything it follows from, so that one fit serves every method that asks for the same.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mirrorflow.config.modules import optional_part_of
from mirrorflow.errors import ConfigError
from mirrorflow.runtime.files import written_whole
from mirrorflow.store.digest import digest
from mirrorflow.training.bags import Bags
from mirrorflow.training.supervised import Units

OWN_FIT = "fitted inputs"
"""What a family fits by itself, such as prototypes."""
VERSION = 1
"""Raised where the same settings give another fit."""

Fit = Callable[[Units, np.random.Generator], Mapping[str, np.ndarray]]
"""A family's ``fit_inputs``: from all training units of a fold, their bags and scaled genes, without labels."""


@dataclass(frozen=True)
class PatchFit:
    """A family's ``fit_patches``, and its settings."""

    function: Callable[..., Mapping[str, np.ndarray]]
    settings: Mapping[str, Any]

    def __call__(self, bags: Bags, rng: np.random.Generator) -> Mapping[str, np.ndarray]:
        """Arrays by the names of the network's buffers. Raises InputError for too few patches."""
        return self.function(bags, rng, **self.settings)

    @property
    def parts(self) -> dict[str, Any]:
        """What of the digest of a fit is the function's: two families that share it share what it gives."""
        name = f"{self.function.__module__}.{self.function.__qualname__}"
        return {"fit": name, "settings": dict(self.settings), "version": VERSION}


class ScaledBags:
    """Bags standardised by ``mean`` and ``deviation`` [feature], as networks see them."""

    def __init__(self, bags: Bags, mean: np.ndarray, deviation: np.ndarray) -> None:
        self.bags, self.mean, self.deviation = bags, np.float32(mean), np.float32(deviation)

    def __len__(self) -> int:
        return len(self.bags)

    def __getitem__(self, i: int, /) -> np.ndarray:
        return (self.bags[i] - self.mean) / self.deviation

    def size(self, i: int) -> int:
        """Patches of unit ``i``."""
        return self.bags.size(i)

    def rows(self, i: int, index: np.ndarray) -> np.ndarray:
        """The patches ``index`` of unit ``i``."""
        return (self.bags.rows(i, index) - self.mean) / self.deviation


def own_fit_of(family: str, network: Mapping[str, Any]) -> Fit | PatchFit | None:
    """What a family fits beforehand, with settings ``network``, if it does. Raises ConfigError for both forms."""
    whole, patches = (optional_part_of("models", family, name) for name in ("fit_inputs", "fit_patches"))
    if patches is None:
        return whole
    if whole is not None:
        message = f"{family}: its module has both fit_inputs and fit_patches; give it one of them"
        raise ConfigError(message)
    asked = [one.name for one in inspect.signature(patches).parameters.values() if one.kind is one.KEYWORD_ONLY]
    return PatchFit(patches, {name: network[name] for name in asked})


def fits_beside(features_index: Path) -> Path:
    """The folder of the fits on patches of the files that an index names."""
    return features_index.with_suffix(".fits")


def kept_fit(
    fit: PatchFit, bags: Bags, rng: np.random.Generator, folder: Path, of: Mapping[str, Any]
) -> Mapping[str, np.ndarray]:
    """What ``fit`` gives of ``bags``: as it lies in ``folder`` under the digest of ``of`` and the fit, or made now."""
    path = folder / f"{digest({**fit.parts, **of})}.safetensors"
    if (known := _read(path)) is not None:
        return known
    found = {name: np.asarray(array, order="C") for name, array in fit(bags, rng).items()}
    with written_whole(path) as temporary:
        save_file(found, str(temporary))
    return found


def _read(path: Path) -> dict[str, np.ndarray] | None:
    if not path.exists():
        return None
    try:
        return load_file(str(path))
    except (SafetensorError, OSError):
        return None
