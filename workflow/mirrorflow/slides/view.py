"""A low-resolution view of a whole slide, read block by block so that memory does not grow with it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mirrorflow.slides.reader import SlideReader, best_level, resample
from mirrorflow.slides.sources import Level, RegionError

BLOCK = 2048
"""Side of a block, in pixels of the level read: 12 MB of RGB."""

LEAF = 256
"""A block that fails is cut down to this side (about a tile), so that only what is damaged is lost."""


class Box(NamedTuple):
    """A rectangle in level pixels."""

    x: int
    y: int
    width: int
    height: int


class View(NamedTuple):
    """``rgb`` [height, width, 3]; ``unknown`` [height, width] marks what could not be read at any level;
    a view pixel spans ``scale_x`` x ``scale_y`` level-0 pixels.
    """

    rgb: NDArray[np.uint8]
    unknown: NDArray[np.bool_]
    scale_x: float
    scale_y: float


def read_view(slide: SlideReader, downsample: float) -> View:
    """The whole slide, ``downsample`` times smaller than level 0, by area from the best level.

    Unreadable parts are tried again tile by tile, then from the next finer level; what is lost at all of
    them is white in ``rgb`` and marked in ``unknown``.
    """
    full = slide.levels[0]
    width, height = max(1, round(full.width / downsample)), max(1, round(full.height / downsample))
    level = best_level(slide.levels, downsample)
    rgb = np.full((height, width, 3), 255, np.uint8)
    unknown = np.zeros((height, width), bool)
    for rows in _cuts(height, slide.levels[level].height):
        for columns in _cuts(width, slide.levels[level].width):
            box = _box(slide.levels[level], rows, columns, (height, width))
            block, lost = _read(slide, level, box)
            size = columns[1] - columns[0], rows[1] - rows[0]
            rgb[rows[0] : rows[1], columns[0] : columns[1]] = resample(block, *size)
            if lost is not None:
                cover = resample(lost.astype(np.uint8) * 255, *size)
                unknown[rows[0] : rows[1], columns[0] : columns[1]] = cover > 0
    return View(rgb, unknown, full.width / width, full.height / height)


def _cuts(view_length: int, level_length: int) -> list[tuple[int, int]]:
    """Cut an axis of the view so that each part spans at most about BLOCK pixels of the level."""
    ratio = max(level_length / view_length, 1.0)
    step = max(1, int(BLOCK / ratio))
    return [(start, min(start + step, view_length)) for start in range(0, view_length, step)]


def _box(level: Level, rows: tuple[int, int], columns: tuple[int, int], view: tuple[int, int]) -> Box:
    def span(ends: tuple[int, int], length: int, of: int) -> tuple[int, int]:
        first, last = round(ends[0] * length / of), round(ends[1] * length / of)
        first = min(first, length - 1)
        return first, max(last - first, 1)

    y, height = span(rows, level.height, view[0])
    x, width = span(columns, level.width, view[1])
    return Box(x, y, width, height)


def _read(slide: SlideReader, level: int, box: Box) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Region and, where something is lost, a mask of it."""
    try:
        return slide.read(level, *box), None
    except RegionError:
        if max(box.width, box.height) > LEAF:
            return _read_in_parts(slide, level, box)
    return _read_finer(slide, level, box)


def _read_in_parts(slide: SlideReader, level: int, box: Box) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """Quarters of the box, cut at multiples of LEAF, where tiles begin."""
    rgb = np.empty((box.height, box.width, 3), np.uint8)
    lost = np.zeros((box.height, box.width), bool)
    for y, height in _halves(box.y, box.height):
        for x, width in _halves(box.x, box.width):
            part, part_lost = _read(slide, level, Box(x, y, width, height))
            where = np.s_[y - box.y : y - box.y + height, x - box.x : x - box.x + width]
            rgb[where] = part
            if part_lost is not None:
                lost[where] = part_lost
    return rgb, lost if lost.any() else None


def _halves(start: int, length: int) -> list[tuple[int, int]]:
    if length <= LEAF:
        return [(start, length)]
    middle = (start + length // 2 + LEAF - 1) // LEAF * LEAF
    if middle >= start + length:
        middle -= LEAF
    return [(start, length)] if middle <= start else [(start, middle - start), (middle, start + length - middle)]


def _read_finer(slide: SlideReader, level: int, box: Box) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
    """The same part of the slide from the next finer level; white and lost where there is none."""
    finer = [i for i, other in enumerate(slide.levels) if other.downsample < slide.levels[level].downsample]
    if not finer:
        return np.full((box.height, box.width, 3), 255, np.uint8), np.ones((box.height, box.width), bool)
    other = max(finer, key=lambda i: slide.levels[i].downsample)
    whole = slide.levels[level].height, slide.levels[level].width
    rows, columns = (box.y, box.y + box.height), (box.x, box.x + box.width)
    rgb, lost = _read(slide, other, _box(slide.levels[other], rows, columns, whole))
    small = resample(rgb, box.width, box.height)
    if lost is None:
        return small, None
    return small, resample(lost.astype(np.uint8) * 255, box.width, box.height) > 0
