"""Patch coordinates as h5 in TRIDENT's layout: ``coords`` [n, 2] and what they mean as its attributes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import InputError
from mirrorflow.runtime.files import written_whole
from mirrorflow.store.h5 import created, opened, own_dataset, read_settings, write_settings


class Patches(NamedTuple):
    """Patches of one slide.

    ``coords`` [n, 2]: x, y of upper left corners, level-0 pixels. ``attributes``: TRIDENT's (and CLAM's
    ``patch_level`` where a level has the patches' own scale). ``settings``: canonical JSON. ``facts``: what
    was found in the slide.
    """

    coords: NDArray[np.int64]
    attributes: dict[str, Any]
    settings: str
    facts: dict[str, Any]

    @property
    def size_level0(self) -> float:
        """True side of a patch in level-0 pixels; TRIDENT's attribute holds it rounded."""
        rounded = self.attributes["patch_size_level0"]
        return float(self.attributes.get("patch_size_level0_exact", rounded))


def write_patches(
    path: str | Path,
    coords: NDArray[np.int64],
    attributes: Mapping[str, Any],
    settings: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> None:
    """Write one slide's patches, whole or not at all."""
    with written_whole(path) as temporary, created(temporary) as file:
        dataset = file.create_dataset("coords", data=coords.astype(np.int64).reshape(-1, 2))
        dataset.attrs.update(attributes)
        write_settings(file, settings, facts)


def read_patches(path: str | Path) -> Patches:
    """Read patches written by this package, TRIDENT or CLAM.

    Raises InputError where the file is damaged or says too little.
    """
    with opened(path) as file:
        dataset = own_dataset(Path(path), file, "coords")
        if dataset is None or dataset.ndim != 2 or dataset.shape[1] != 2:
            message = f"{path}: no dataset coords [n, 2]; it has {', '.join(file) or 'nothing'}"
            raise InputError(message)
        coords = dataset[:].astype(np.int64)
        attributes = dict(dataset.attrs)
        settings, facts = read_settings(file)
    if "patch_size_level0" not in attributes:
        attributes["patch_size_level0"] = _clam_size_level0(Path(path), attributes)
    return Patches(coords, attributes, settings, facts)


def _clam_size_level0(path: Path, attributes: Mapping[str, Any]) -> int:
    """CLAM notes the size at a level, and how much coarser than level 0 that level is."""
    if "patch_size" not in attributes or "downsample" not in attributes:
        message = f"{path}: coords has neither patch_size_level0 (TRIDENT) nor patch_size, downsample (CLAM)"
        raise InputError(message)
    downsample = np.atleast_1d(attributes["downsample"])[0]
    return round(float(attributes["patch_size"]) * float(downsample))
