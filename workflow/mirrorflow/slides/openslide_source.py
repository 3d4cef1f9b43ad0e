"""Slides through OpenSlide (SVS, NDPI, MRXS, SCN, BIF, DICOM, generic tiled TIFF, ...)."""

import contextlib
from collections.abc import Mapping, Sequence
from ctypes import POINTER, c_uint32
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import openslide
from numpy.typing import NDArray
from openslide import lowlevel

from mirrorflow.slides.sources import Level, RegionError
from mirrorflow.slides.tiff_source import TiffLevel, jpeg_levels

CACHE_BYTES = 64 * 2**20
PROBED = (0.5, 0.3, 0.7, 0.4, 0.6, 0.2, 0.8)
"""Where a level's tiles are compared, as shares of width and height: one may be damaged, or bare glass."""


class OpenSlideSource:
    """A slide in OpenSlide's hands; plain JPEG tiles are decoded without it, to the same pixels."""

    reader: ClassVar[str] = "OpenSlide"

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._slide = _open(path)
            sizes, downsamples = self._slide.level_dimensions, self._slide.level_downsamples
            self.properties: Mapping[str, str] = dict(self._slide.properties)
        except openslide.OpenSlideError as error:
            message = str(error) or "not a format it knows"
            raise RegionError(message) from error
        self._leave_ome_tiff()
        self.levels: Sequence[Level] = [
            Level(width, height, scale) for (width, height), scale in zip(sizes, downsamples, strict=True)
        ]
        self._tiles = {
            index: level for index, level in jpeg_levels(path, self.levels).items() if self._same_pixels(index, level)
        }

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """RGB region [height, width, 3]; raises RegionError."""
        if level in self._tiles:
            # What the direct way cannot decode is for OpenSlide to judge.
            with contextlib.suppress(RegionError):
                return self._tiles[level].read(x, y, width, height)
        return self._read_openslide(level, x, y, width, height)

    def close(self) -> None:
        """Close the file."""
        for level in self._tiles.values():
            level.close()
        self._slide.close()

    def _leave_ome_tiff(self) -> None:
        """To OpenSlide an OME-TIFF is any tiled TIFF: it sees neither its pyramid nor its scale."""
        generic = self.properties.get(openslide.PROPERTY_NAME_VENDOR) == "generic-tiff"
        if generic and "<OME" in self.properties.get("tiff.ImageDescription", ""):
            self._slide.close()
            message = "an OME-TIFF is for the TIFF reader"
            raise RegionError(message)

    def _read_openslide(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Straight from the library: no detour over a PIL image and un-premultiplied alpha."""
        scale = self.levels[level].downsample
        pixels = np.empty((height, width, 4), np.uint8)
        try:
            lowlevel._read_region(
                self._slide._osr,
                pixels.ctypes.data_as(POINTER(c_uint32)),
                round(x * scale),
                round(y * scale),
                level,
                width,
                height,
            )
        except openslide.OpenSlideError as error:
            raise RegionError(str(error)) from error
        return on_white(pixels)

    def _same_pixels(self, index: int, level: TiffLevel) -> bool:
        """Whether a tile decoded directly equals OpenSlide's; asked once for each level of a slide.

        A tile of one colour, as of bare glass, shows nothing.
        """
        for fraction in PROBED:
            x, y, width, height = level.tile_at(fraction)
            with contextlib.suppress(RegionError):
                direct = level.read(x, y, width, height)
                if (direct == direct[0, 0]).all():
                    continue
                return np.array_equal(direct, self._probe(index, x, y, width, height))
        return False

    def _probe(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        try:
            return self._read_openslide(level, x, y, width, height)
        except RegionError:
            self._slide = _open(self._path)  # a handle is dead after its first error
            raise


def _open(path: Path) -> openslide.OpenSlide:
    slide = openslide.OpenSlide(path)
    slide.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
    return slide


def on_white(bgra: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Premultiplied BGRA [h, w, 4], as OpenSlide gives it, over white: RGB [h, w, 3]."""
    rgb = cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGB)
    alpha = bgra[..., 3]
    if alpha.min() < 255:
        rgb += (255 - alpha)[..., None]  # premultiplied: colour <= alpha, the sum stays below 256
    return rgb  # type: ignore[return-value]
