"""One way to read any slide: levels, RGB regions in level pixels, patches at a physical scale.

OpenSlide says what a slide is; where its levels are plain JPEG tiles in a TIFF, the tiles are decoded
directly, which gives the same pixels several times faster (:mod:`mirrorflow.slides.tiff_source`). Files
that OpenSlide refuses are tried as OME-TIFF and as plain images.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Protocol, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import InputError
from mirrorflow.slides.dicom import slides_of, unread_by_openslide
from mirrorflow.slides.sources import Level, RegionError, Source

LEVEL_TOLERANCE = 1.02
"""A level up to 2% coarser than wanted still counts as fine enough: a scan at 0.2527 um/px has its 20x
level at 0.5054. The patch keeps its physical size; it is resampled by that 1%."""


class SlideError(InputError):
    """A slide that cannot be opened."""


class SlideReader(Protocol):
    """What the pipeline needs of a slide."""

    levels: Sequence[Level]
    properties: Mapping[str, str]

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """RGB region [height, width, 3]; ``x``, ``y`` and sizes in pixels of ``level``."""


class Slide:
    """An open slide; safe to read from several threads at once.

    A region that cannot be decoded is tried once more through a freshly opened handle (OpenSlide's handles
    are dead after their first error), then :class:`RegionError` is raised.
    """

    def __init__(self, path: Path, opener: Callable[[Path], Source]) -> None:
        self.path = path
        self._opener = opener
        self._lock = Lock()
        self._source: Source | None = opener(path)
        self.levels: Sequence[Level] = self._source.levels
        self.properties: Mapping[str, str] = self._source.properties

    @property
    def width(self) -> int:
        """Width in level-0 pixels."""
        return self.levels[0].width

    @property
    def height(self) -> int:
        """Height in level-0 pixels."""
        return self.levels[0].height

    def read(self, level: int, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """RGB region [height, width, 3] at ``x``, ``y`` (pixels of ``level``, inside it).

        Raises RegionError where it cannot be decoded, tried twice.
        """
        source = self._healthy()
        try:
            return source.read(level, x, y, width, height)
        except RegionError:
            self._discard(source)
        fresh = self._opener(self.path)
        try:
            return fresh.read(level, x, y, width, height)
        finally:
            fresh.close()

    def read_patch(self, x: int, y: int, size_level0: float, level: int, size: int) -> NDArray[np.uint8]:
        """Square patch resampled to ``size`` pixels, RGB [size, size, 3].

        ``x``, ``y``: level-0 pixels; ``size_level0``: its true extent in level-0 pixels. Cut to whole pixels
        of ``level`` (at most half a pixel off), then resampled by area.
        """
        chosen = self.levels[level]
        width = min(max(1, round(size_level0 / chosen.downsample)), chosen.width)
        height = min(width, chosen.height)
        left = min(round(x / chosen.downsample), chosen.width - width)
        top = min(round(y / chosen.downsample), chosen.height - height)
        return resample(self.read(level, left, top, width, height), size, size)

    def close(self) -> None:
        """Close the file; reading afterwards opens it again."""
        with self._lock:
            source, self._source = self._source, None
        if source is not None:
            source.close()

    def _healthy(self) -> Source:
        with self._lock:
            if self._source is None:
                self._source = self._opener(self.path)
            return self._source

    def _discard(self, source: Source) -> None:
        # Not closed here: another thread may be reading from it. The last reference closes it.
        with self._lock:
            if self._source is source:
                self._source = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_slide(path: str | Path) -> Slide:
    """Open ``path`` with the first reader that understands it. Raises SlideError saying why none does."""
    # Imported here: the readers' libraries are needed by those who open slides only.
    from mirrorflow.slides.image_source import ImageSource
    from mirrorflow.slides.openslide_source import OpenSlideSource
    from mirrorflow.slides.tiff_source import TiffSource

    path = _one_file(Path(path))
    _check_file(path)
    reasons = []
    for opener in (OpenSlideSource, TiffSource, ImageSource):
        try:
            return Slide(path, opener)
        except RegionError as error:
            reasons.append(f"{opener.reader}: {error}")
    fix = unread_by_openslide(path) or "is the file complete?"
    message = f"{path}: cannot be opened as a slide ({'; '.join(reasons)}); {fix}"
    raise SlideError(message)


def source_bytes(path: str | Path) -> int | None:
    """Bytes of a slide's files (:func:`source_files`); None: not there."""
    return sum(file.stat().st_size for file in source_files(path)) if Path(path).exists() else None


def source_files(path: str | Path) -> list[Path]:
    """The files of a slide: one, those of its DICOM folder, or an ``.mrxs`` file and those of its folder."""
    path = Path(path)
    parts = [path, path.with_suffix("")] if path.suffix.lower() == ".mrxs" else [path]
    files = [file for part in parts for file in ([part] if part.is_file() else part.rglob("*"))]
    return sorted(file for file in files if file.is_file())


def best_level(levels: Sequence[Level], downsample: float) -> int:
    """Index of the coarsest level that is still at least as fine as ``downsample`` (2% tolerance)."""
    fine_enough = [i for i, level in enumerate(levels) if level.downsample <= downsample * LEVEL_TOLERANCE]
    return max(fine_enough, key=lambda i: levels[i].downsample, default=0)


def resample(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize by area (each output pixel is the mean of what it covers); enlarging is bilinear."""
    if image.shape[:2] == (height, width):
        return image
    smaller = width <= image.shape[1] and height <= image.shape[0]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method).astype(np.uint8, copy=False)


def _one_file(path: Path) -> Path:
    """A DICOM slide may be named by its folder: any file of it opens them all. Raises SlideError for several slides."""
    if not path.is_dir():
        return path
    found = slides_of(path)
    if len(found) > 1:
        named = "; ".join(f"{files[0].path.name} ({len(files)} files, series {uid})" for uid, files in found.items())
        message = (
            f"{path}: a folder of {len(found)} DICOM slides, of which one is meant: {named}. Name a file of that one "
            "in slides.tsv, or give each slide a folder of its own"
        )
        raise SlideError(message)
    for files in found.values():
        return files[0].path
    message = f"{path}: a folder without a DICOM slide; name the slide's file in slides.tsv"
    raise SlideError(message)


def _check_file(path: Path) -> None:
    if not path.is_file():
        message = f"{path}: no such file; correct its path in slides.tsv"
        raise SlideError(message)
    if path.stat().st_size == 0:
        message = f"{path}: the file is empty (0 bytes); copy or download it again"
        raise SlideError(message)
