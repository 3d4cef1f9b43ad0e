"""What every reader of slide files offers, and what it raises."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Level(NamedTuple):
    """One resolution of a slide; ``downsample`` is 1 for level 0."""

    width: int
    height: int
    downsample: float


class RegionError(Exception):
    """A file or a region of it cannot be decoded."""


class Source(Protocol):
    """An open file. ``read`` must be safe to call from several threads."""

    reader: ClassVar[str]
    levels: Sequence[Level]
    properties: Mapping[str, str]

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """RGB region [height, width, 3] in pixels of ``level``; raises RegionError."""

    def close(self) -> None:
        """Close the file."""


def level_of(width: int, height: int, level0: tuple[int, int]) -> Level:
    """Level of this size in a slide of size ``level0``."""
    return Level(width, height, (level0[0] / width + level0[1] / height) / 2)
