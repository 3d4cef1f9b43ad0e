"""Headers of DICOM files: which belong to one slide (a series), and what OpenSlide cannot read of them.

A whole-slide image is a series of files, one or more a level (DICOM PS3.3 A.32.8); label and overview may be files of
the same series or of another.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
OTHER_IMAGES = frozenset({"LABEL", "OVERVIEW", "THUMBNAIL", "LOCALIZER"})
"""Third value of ImageType (0008,0008) of what is no level of the slide."""

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
READ_BY_OPENSLIDE = frozenset(
    {"1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"}
)
"""Explicit little endian, JPEG baseline, JPEG 2000 (OpenSlide 4.0)."""

SYNTAXES = {
    IMPLICIT_LITTLE_ENDIAN: "Implicit VR little endian",
    "1.2.840.10008.1.2.1.99": "deflated",
    "1.2.840.10008.1.2.2": "big endian",
    "1.2.840.10008.1.2.4.51": "JPEG of 12 bits",
    "1.2.840.10008.1.2.4.57": "lossless JPEG",
    "1.2.840.10008.1.2.4.70": "lossless JPEG",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.81": "JPEG-LS",
    "1.2.840.10008.1.2.4.110": "JPEG XL",
    "1.2.840.10008.1.2.4.111": "JPEG XL",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.201": "HTJ2K",
    "1.2.840.10008.1.2.4.202": "HTJ2K",
    "1.2.840.10008.1.2.4.203": "HTJ2K",
    "1.2.840.10008.1.2.5": "RLE",
}
"""Transfer syntaxes (PS3.6 A-1) in words."""

LONG_LENGTHS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
SYNTAX, IMAGE_TYPE, SOP_CLASS, SERIES = (0x0002, 0x0010), (0x0008, 0x0008), (0x0008, 0x0016), (0x0020, 0x000E)
WANTED = frozenset({SYNTAX, IMAGE_TYPE, SOP_CLASS, SERIES})
META, LAST_GROUP = 0x0002, 0x0020


@dataclass(frozen=True)
class Header:
    """What a file says it is."""

    path: Path
    syntax: str
    kind: str
    """VOLUME, LABEL, OVERVIEW, ...: the third value of ImageType."""
    series: str
    sop_class: str

    @property
    def is_level(self) -> bool:
        """Whether it is pixels of a slide, not of its label or its overview."""
        return self.sop_class == WHOLE_SLIDE and self.kind not in OTHER_IMAGES


class _Element(NamedTuple):
    tag: tuple[int, int]
    kind: bytes
    length: int


def read_header(path: Path) -> Header | None:
    """The header of a DICOM file; None of any other file, and of one that ends within it."""
    try:
        with path.open("rb") as stream:
            stream.seek(128)
            if stream.read(4) != b"DICM":
                return None
            found = dict(_values(stream))
    except (OSError, struct.error):
        return None
    types = found.get(IMAGE_TYPE, "").split("\\")
    kind = types[2].upper() if len(types) > 2 else ""
    return Header(path, found.get(SYNTAX, ""), kind, found.get(SERIES, ""), found.get(SOP_CLASS, ""))


def slides_of(folder: Path) -> dict[str, list[Header]]:
    """Files of the levels of each slide of a folder by SeriesInstanceUID, both in order."""
    headers = [header for file in sorted(folder.iterdir()) if file.is_file() and (header := read_header(file))]
    series = sorted({header.series for header in headers if header.is_level})
    return {uid: [header for header in headers if header.is_level and header.series == uid] for uid in series}


def unread_by_openslide(path: Path) -> str:
    """Why OpenSlide refuses the slide of a DICOM file, with the fix; nothing where its files are of kinds it reads."""
    named = read_header(path)
    if named is None:
        return ""
    others = [header for file in sorted(path.parent.iterdir()) if file.is_file() and (header := read_header(file))]
    for header in [named, *(other for other in others if other.series == named.series)]:
        if header.syntax not in READ_BY_OPENSLIDE:
            return _fix(header)
    return ""


def _fix(header: Header) -> str:
    name = SYNTAXES.get(header.syntax, "a transfer syntax")
    if header.syntax == IMPLICIT_LITTLE_ENDIAN:
        fix = "rewrite it as Explicit VR, which decodes nothing: dcmconv --write-xfer-little in.dcm out.dcm (DCMTK)"
    else:
        fix = (
            "decode it once, as with pydicom: d = pydicom.dcmread(file); d.decompress(); d.save_as(file), or write it "
            "as JPEG or JPEG 2000"
        )
    return f"{header.path.name} is DICOM in {name} ({header.syntax}), which OpenSlide does not read: {fix}"


def _values(stream: BinaryIO) -> Iterator[tuple[tuple[int, int], str]]:
    """Wanted elements of the file meta information and of the data set, up to group 0020."""
    implicit = False
    while True:
        element = _next(stream, implicit)
        if element is None or element.tag[0] > LAST_GROUP:
            return
        if element.tag not in WANTED:
            _skip(stream, element, implicit)
            continue
        value = stream.read(element.length).decode("ascii", errors="replace").rstrip(" \0")
        implicit = implicit or (element.tag == SYNTAX and value == IMPLICIT_LITTLE_ENDIAN)
        yield element.tag, value


def _next(stream: BinaryIO, implicit: bool) -> _Element | None:  # noqa: FBT001
    """Head of the next element; None at the end. The file meta information (group 2) is explicit in any file."""
    start = stream.read(8)
    if not start:
        return None
    group, number, kind, short = struct.unpack("<HH2sH", start)
    if group == ITEM[0] or (implicit and group != META):
        return _Element((group, number), b"", struct.unpack("<I", start[4:])[0])
    if kind in LONG_LENGTHS:
        return _Element((group, number), kind, struct.unpack("<I", stream.read(4))[0])
    return _Element((group, number), kind, short)


def _skip(stream: BinaryIO, element: _Element, implicit: bool) -> None:  # noqa: FBT001
    """Go past the value of an element: a sequence or an item of undefined length ends where a mark says so."""
    if element.length != UNDEFINED:
        stream.seek(element.length, os.SEEK_CUR)
        return
    implicit = implicit or element.kind == b"UN"
    while (inner := _next(stream, implicit)) is not None and inner.tag not in (ITEM_END, SEQUENCE_END):
        _skip(stream, inner, implicit)
