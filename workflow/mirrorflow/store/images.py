"""Pictures of the store: masks as PNG, thumbnails as JPEG."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import InputError
from mirrorflow.runtime.files import written_whole


def write_png(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Write a grey image [h, w] without loss."""
    _write(Path(path), ".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 6])


def write_jpeg(path: str | Path, rgb: NDArray[np.uint8]) -> None:
    """Write an RGB image [h, w, 3]."""
    _write(Path(path), ".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])


def read_rgb(path: str | Path) -> NDArray[np.uint8]:
    """Read an image as RGB [h, w, 3]. Raises InputError."""
    path = Path(path)
    data = np.fromfile(path, np.uint8) if path.exists() else np.empty(0, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if len(data) else None
    if image is None:
        message = f"{path}: no picture there, or a damaged one"
        raise InputError(message)
    return image.astype(np.uint8, copy=False)


def _write(path: Path, ending: str, image: NDArray[np.uint8], options: list[int]) -> None:
    _, encoded = cv2.imencode(ending, np.ascontiguousarray(image), options)
    with written_whole(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
