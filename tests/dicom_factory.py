"""A small whole-slide image in DICOM (supplement 145), written from the standard: a level a file, plain pixels."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
LONG = (b"OB", b"OW", b"SQ", b"UN")
Element = tuple[int, int, bytes, bytes]


class Said(NamedTuple):
    """What a file says it is."""

    series: str
    kind: str
    syntax: str


def write_dicom(
    folder: Path,
    image: NDArray[np.uint8],
    mpp: float,
    *,
    levels: Sequence[int] = (1, 4),
    name: str = "level",
    series: str = "1.2.3.9",
    kind: str = "VOLUME",
    syntax: str = EXPLICIT_LITTLE_ENDIAN,
) -> Path:
    """Write ``image`` and its smaller levels as ``<folder>/<name><k>.dcm``; returns the folder.

    kind: VOLUME, LABEL, ...; syntax: the transfer syntax that the files claim (Implicit VR is written as such).
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.txt").write_text("other files lie about")
    for number, factor in enumerate(levels):
        size = image.shape[1] // factor, image.shape[0] // factor
        level = image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        said = Said(series, kind, syntax)
        (folder / f"{name}{number}.dcm").write_bytes(_file(level, mpp * factor, number, said))
    return folder


def _file(level: NDArray[np.uint8], mpp: float, number: int, said: Said, tile: int = 128) -> bytes:
    frames = _frames(level, tile)
    uid = f"{said.series}.4.{number + 1}"
    implicit = said.syntax == IMPLICIT_LITTLE_ENDIAN
    spacing = [(0x28, 0x30, b"DS", f"{mpp / 1000:.6f}\\{mpp / 1000:.6f}".encode())]
    meta = _elements(
        [
            (0x02, 0x01, b"OB", b"\0\1"),
            (0x02, 0x02, b"UI", WHOLE_SLIDE.encode()),
            (0x02, 0x03, b"UI", uid.encode()),
            (0x02, 0x10, b"UI", said.syntax.encode()),
        ]
    )
    made, way = ("ORIGINAL", "NONE") if number == 0 else ("DERIVED", "RESAMPLED")
    kind = f"{made}\\PRIMARY\\{said.kind}\\{way}".encode()
    body: list[Element] = [
        (0x08, 0x08, b"CS", kind),
        (0x08, 0x16, b"UI", WHOLE_SLIDE.encode()),
        (0x08, 0x18, b"UI", uid.encode()),
        (0x08, 0x60, b"CS", b"SM"),
        (0x08, 0x1140, b"SQ", _item([(0x08, 0x1155, b"UI", b"1.2")], implicit=implicit)),
        (0x20, 0x0D, b"UI", b"1.2.3.8"),
        (0x20, 0x0E, b"UI", said.series.encode()),
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
        (0x5200, 0x9229, b"SQ", _item([(0x28, 0x9110, b"SQ", _item(spacing, implicit=implicit))], implicit=implicit)),
        (0x7FE0, 0x10, b"OB", b"".join(frames)),
    ]
    length = _elements([(0x02, 0x00, b"UL", struct.pack("<I", len(meta)))])
    return bytes(128) + b"DICM" + length + meta + _elements(body, implicit=implicit)


def _frames(level: NDArray[np.uint8], tile: int) -> list[bytes]:
    height, width = level.shape[:2]
    padded = np.zeros((-(-height // tile) * tile, -(-width // tile) * tile, 3), np.uint8)
    padded[:height, :width] = level
    starts = [(y, x) for y in range(0, padded.shape[0], tile) for x in range(0, padded.shape[1], tile)]
    return [np.ascontiguousarray(padded[y : y + tile, x : x + tile]).tobytes() for y, x in starts]


def _item(elements: Sequence[Element], *, implicit: bool) -> bytes:
    """An item of undefined length, as scanners write them."""
    content = _elements(elements, implicit=implicit)
    return struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + content + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)


def _elements(elements: Sequence[Element], *, implicit: bool = False) -> bytes:
    encoded = b""
    for group, element, kind, value in elements:
        undefined = kind == b"SQ"
        if undefined:
            value += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        if len(value) % 2:
            value += b"\0" if kind in (b"UI", b"OB") else b" "
        size = 0xFFFFFFFF if undefined else len(value)
        length = struct.pack("<HI", 0, size) if kind in LONG else struct.pack("<H", min(size, 0xFFFF))
        head = struct.pack("<I", size) if implicit else kind + length
        encoded += struct.pack("<HH", group, element) + head + value
    return encoded
