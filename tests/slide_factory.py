"""Small slides for tests: Aperio-like pyramids of JPEG tiles, with the oddities of real archives."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

GLASS = (244, 243, 242)
TISSUE = (190, 110, 170)
REAL_SLIDE = Path(__file__).parents[1].parent / "shared" / "slides" / "CMU-1-Small-Region.svs"


def glass(width: int, height: int) -> NDArray[np.uint8]:
    """An empty slide with a scanner's noise."""
    return _glass(width, height).copy()


@functools.lru_cache(maxsize=4)
def _glass(width: int, height: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, 1.0, (height, width, 1))
    return np.clip(np.array(GLASS) + noise, 0, 255).astype(np.uint8)


def add_tissue(image: NDArray[np.uint8], x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
    """Paint a rectangle of mottled H&E colour."""
    mottle = np.random.default_rng(1).normal(0, 14, (height, width, 1))
    blur = cv2.GaussianBlur(mottle, (0, 0), 3)[..., None] * 4
    image[y : y + height, x : x + width] = np.clip(np.array(TISSUE) + blur, 0, 255)
    return image


def simple(width: int = 2048, height: int = 1536) -> NDArray[np.uint8]:
    """Glass with tissue in the left upper quarter: [0, width / 2) x [0, height / 2)."""
    return _simple(width, height).copy()


@functools.lru_cache(maxsize=4)
def _simple(width: int, height: int) -> NDArray[np.uint8]:
    return add_tissue(glass(width, height), 0, 0, width // 2, height // 2)


def write_svs(
    path: Path,
    image: NDArray[np.uint8],
    *,
    mpp: float | None = 0.5,
    power: float | None = 20,
    downsamples: Sequence[int] = (1, 4),
    tile: int = 256,
    per_cm: float | None = None,
) -> Path:
    """Write ``image`` as an Aperio SVS that OpenSlide opens with these levels, mpp and objective power.

    per_cm: pixels a centimetre, in the resolution tags.
    """
    tags = {} if per_cm is None else {"resolution": (per_cm, per_cm), "resolutionunit": 3}
    height, width = image.shape[:2]
    with tifffile.TiffWriter(path) as tiff:
        for index, factor in enumerate(downsamples):
            level = image if factor == 1 else _smaller(image, factor)
            size = f"{width}x{height} [0,0 {width}x{height}] ({tile}x{tile}) JPEG/RGB Q=90"
            scan = "".join(
                f"|{key} = {value:g}" for key, value in (("AppMag", power), ("MPP", mpp)) if value is not None
            )
            tiff.write(
                level,
                tile=(tile, tile),
                compression="jpeg",
                compressionargs={"level": 90},
                photometric="rgb",
                description=f"Aperio Image Library v11.2.1\r\n{size}{scan}",
                metadata=None,
                subfiletype=int(index > 0),
                **tags,
            )
    return path


def corrupt_tile(path: Path, index: int, *, page: int = 0) -> None:
    """Overwrite the bytes of one tile with zeros."""
    with tifffile.TiffFile(path) as tiff:
        offset, size = tiff.pages[page].dataoffsets[index], tiff.pages[page].databytecounts[index]
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(bytes(size))


def _smaller(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    size = max(1, image.shape[1] // factor), max(1, image.shape[0] // factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


Paint = Callable[[NDArray[np.uint8]], None]
