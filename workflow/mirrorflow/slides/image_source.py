"""Plain images (PNG, JPEG, ...) as slides of one level, held in memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mirrorflow.slides.sources import Level, RegionError

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class ImageSource:
    """An image that OpenCV decodes, up to its limit of 2^30 pixels; it knows no scale."""

    reader: ClassVar[str] = "image"

    def __init__(self, path: Path) -> None:
        data = np.fromfile(path, np.uint8)
        if data[:4].tobytes() in TIFF_MAGIC:
            message = "a TIFF is for the other readers"
            raise RegionError(message)
        try:
            pixels = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
        except cv2.error as error:
            raise RegionError(str(error).strip()) from error
        if pixels is None:
            message = "not an image format it knows, or damaged"
            raise RegionError(message)
        self._pixels = pixels.astype(np.uint8, copy=False)
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
