"""Aperio's SVS: a tiled, pyramidal TIFF that OpenSlide opens as it opens a scanner's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

from mirrorflow.demo.tissue import Image

LEVEL_STEP = 4
JPEG_QUALITY = 80

_TILE = (256, 256)
_LIBRARY = "Aperio Image Library v12.0.15"  # OpenSlide knows the vendor by how the description begins
_CODEC = f"JPEG/YCC Q={JPEG_QUALITY}"
_ENCODING: dict[str, Any] = {
    "compression": "jpeg",
    "compressionargs": {"level": JPEG_QUALITY},
    "photometric": "rgb",
    "subsampling": (2, 2),  # makes tifffile store YCbCr, as scanners do
}


def write_svs(path: Path, image: Image, *, mpp: float, objective: int, name: str, digest: str) -> None:
    """Write ``image`` (RGB [height, width, 3], level 0) with its pyramid (1, 4, 16) and a thumbnail.

    ``mpp`` in um per pixel and ``objective`` go into the description in Aperio's form, as does ``digest``
    (of the settings the slide was made with).
    """
    levels = list(_pyramid(image))
    about = f"|AppMag = {objective}|ScanScope ID = SIMULATED|Filename = {name}|MPP = {mpp:.4f}"
    about += f"|Settings = {digest}"
    full = f"{_size(image)} [0,0 {_size(image)}] (256x256)"
    with tifffile.TiffWriter(path, bigtiff=False) as tiff:
        _write_page(tiff, image, f"{full} {_CODEC}{about}", tile=_TILE)
        _write_page(tiff, levels[-1], f"{_size(image)} -> {_size(levels[-1])} - {about}", rowsperstrip=16)
        for level in levels[1:]:
            _write_page(tiff, level, f"{full} -> {_size(level)} {_CODEC}{about}", tile=_TILE)


def _size(image: Image) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def _write_page(tiff: tifffile.TiffWriter, image: Image, description: str, **layout: Any) -> None:
    said = f"{_LIBRARY} \r\n{description}"
    tiff.write(image, description=said, metadata=None, software=False, maxworkers=1, **_ENCODING, **layout)


def _pyramid(image: Image) -> Iterator[Image]:
    """Levels downsampled by 1, 4 and 16, sides rounded down as Aperio does."""
    yield image
    height, width = image.shape[:2]
    for step in (LEVEL_STEP, LEVEL_STEP**2):
        smaller = cv2.resize(image, (width // step, height // step), interpolation=cv2.INTER_AREA)
        yield np.asarray(smaller, np.uint8)


def truncate(path: Path, fraction: float = 0.4) -> None:
    """Cut the end off a file, as a download that broke."""
    with path.open("r+b") as stream:
        stream.truncate(int(path.stat().st_size * fraction))
