"""Plain images (PNG, JPEG, ...) as slides of one level, held in memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mirrorflow.slides.sources import Level, RegionError
from mirrorflow.slides.tiff_colour import over_white

JPEG_MAGIC, PNG_MAGIC = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
PNG_COLOUR_TYPE, PNG_WITH_ALPHA = 25, (4, 6)
"""Byte of a PNG's header that says what a pixel holds: 4 is grey and alpha, 6 RGB and alpha."""
HEAD_BYTES = 4 << 20
ROWS_AT_ONCE = 1024
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class ImageSource:
    """An image that OpenCV decodes, up to its limit of 2^30 pixels; it knows no scale. What is transparent is white."""

    reader: ClassVar[str] = "image"

    def __init__(self, path: Path) -> None:
        data = np.fromfile(path, np.uint8)
        if data[:4].tobytes() in TIFF_MAGIC:
            message = "a TIFF is for the other readers"
            raise RegionError(message)
        try:
            pixels = _decoded(data)
        except cv2.error as error:
            raise RegionError(str(error).strip()) from error
        if pixels is None:
            message = "not an image format it knows, or damaged"
            raise RegionError(message)
        self._pixels = pixels
        self.levels: Sequence[Level] = [Level(pixels.shape[1], pixels.shape[0], 1.0)]
        self.properties: Mapping[str, str] = {}

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """RGB region [height, width, 3]."""
        if level != 0:
            message = "an image has one level"
            raise RegionError(message)
        return np.ascontiguousarray(self._pixels[y : y + height, x : x + width])

    def close(self) -> None:
        """Nothing to close: the file was read whole."""


def _decoded(data: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """RGB [height, width, 3] of 8 bits, over white where the image has alpha; None where OpenCV knows no such image."""
    if _may_have_alpha(data[:HEAD_BYTES].tobytes()):
        whole = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
        if whole is not None and whole.ndim == 3 and whole.shape[2] == 4:
            return _over_white(whole)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    return None if pixels is None else pixels.astype(np.uint8, copy=False)


def _may_have_alpha(head: bytes) -> bool:
    if head.startswith(PNG_MAGIC):
        return head[PNG_COLOUR_TYPE] in PNG_WITH_ALPHA or b"tRNS" in head[: head.find(b"IDAT")]
    return not head.startswith(JPEG_MAGIC)


def _over_white(bgra: NDArray) -> NDArray[np.uint8]:
    """RGB of BGRA [height, width, 4] of 8 or 16 bits, some rows at a time: the sums take twice the bytes."""
    rgb = np.empty((*bgra.shape[:2], 3), np.uint8)
    for start in range(0, len(bgra), ROWS_AT_ONCE):
        part = bgra[start : start + ROWS_AT_ONCE]
        part = (part >> 8).astype(np.uint8) if part.dtype == np.uint16 else part.astype(np.uint8, copy=False)
        rgb[start : start + ROWS_AT_ONCE] = over_white(part[..., 2::-1], part[..., 3:], associated=False)
    return rgb
