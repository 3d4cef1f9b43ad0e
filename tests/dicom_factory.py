"""A small whole-slide image in DICOM (supplement 145), written from the standard: a level a file, plain pixels."""

import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
LONG = (b"OB", b"OW", b"SQ", b"UN")
Element = tuple[int, int, bytes, bytes]


def write_dicom(folder: Path, image: NDArray[np.uint8], mpp: float, *, levels: Sequence[int] = (1, 4)) -> Path:
    """Write ``image`` and its smaller levels as ``<folder>/level<k>.dcm``; returns the folder."""
    folder.mkdir(parents=True)
    (folder / "README.txt").write_text("other files lie about")
    for number, factor in enumerate(levels):
        size = image.shape[1] // factor, image.shape[0] // factor
        level = image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        (folder / f"level{number}.dcm").write_bytes(_file(level, mpp * factor, number))
    return folder


def _file(level: NDArray[np.uint8], mpp: float, number: int, tile: int = 128) -> bytes:
    frames = _frames(level, tile)
    uid = f"1.2.3.4.{number + 1}"
    spacing = [(0x28, 0x30, b"DS", f"{mpp / 1000:.6f}\\{mpp / 1000:.6f}".encode())]
    meta = _elements(
        [
            (0x02, 0x01, b"OB", b"\0\1"),
            (0x02, 0x02, b"UI", WHOLE_SLIDE.encode()),
            (0x02, 0x03, b"UI", uid.encode()),
            (0x02, 0x10, b"UI", EXPLICIT_LITTLE_ENDIAN.encode()),
        ]
    )
    kind = b"ORIGINAL\\PRIMARY\\VOLUME\\NONE" if number == 0 else b"DERIVED\\PRIMARY\\VOLUME\\RESAMPLED"
    body: list[Element] = [
        (0x08, 0x08, b"CS", kind),
        (0x08, 0x16, b"UI", WHOLE_SLIDE.encode()),
        (0x08, 0x18, b"UI", uid.encode()),
        (0x08, 0x60, b"CS", b"SM"),
        (0x20, 0x0D, b"UI", b"1.2.3.8"),
        (0x20, 0x0E, b"UI", b"1.2.3.9"),
        (0x20, 0x9311, b"CS", b"TILED_FULL"),
        (0x28, 0x02, b"US", struct.pack("<H", 3)),
        (0x28, 0x04, b"CS", b"RGB"),
        (0x28, 0x06, b"US", struct.pack("<H", 0)),
        (0x28, 0x08, b"IS", str(len(frames)).encode()),
        (0x28, 0x10, b"US", struct.pack("<H", tile)),
        (0x28, 0x11, b"US", struct.pack("<H", tile)),
        (0x28, 0x100, b"US", struct.pack("<H", 8)),
        (0x28, 0x101, b"US", struct.pack("<H", 8)),
        (0x28, 0x102, b"US", struct.pack("<H", 7)),
        (0x28, 0x103, b"US", struct.pack("<H", 0)),
        (0x48, 0x06, b"UL", struct.pack("<I", level.shape[1])),
        (0x48, 0x07, b"UL", struct.pack("<I", level.shape[0])),
        (0x48, 0x303, b"UL", struct.pack("<I", 1)),
        (0x5200, 0x9229, b"SQ", _item([(0x28, 0x9110, b"SQ", _item(spacing))])),
        (0x7FE0, 0x10, b"OB", b"".join(frames)),
    ]
    length = _elements([(0x02, 0x00, b"UL", struct.pack("<I", len(meta)))])
    return bytes(128) + b"DICM" + length + meta + _elements(body)


def _frames(level: NDArray[np.uint8], tile: int) -> list[bytes]:
    height, width = level.shape[:2]
    padded = np.zeros((-(-height // tile) * tile, -(-width // tile) * tile, 3), np.uint8)
    padded[:height, :width] = level
    starts = [(y, x) for y in range(0, padded.shape[0], tile) for x in range(0, padded.shape[1], tile)]
    return [np.ascontiguousarray(padded[y : y + tile, x : x + tile]).tobytes() for y, x in starts]


def _item(elements: Sequence[Element]) -> bytes:
    content = _elements(elements)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def _elements(elements: Sequence[Element]) -> bytes:
    encoded = b""
    for group, element, kind, value in elements:
        if len(value) % 2:
            value += b"\0" if kind in (b"UI", b"OB") else b" "
        length = struct.pack("<HI", 0, len(value)) if kind in LONG else struct.pack("<H", len(value))
        encoded += struct.pack("<HH", group, element) + kind + length + value
    return encoded
