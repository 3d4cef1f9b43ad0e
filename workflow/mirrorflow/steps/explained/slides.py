"""The slide of an explained unit: where its patches lie, and its tissue, from its file or from the stored thumbnail."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.figures.explained import Backdrop, Shown, canvas_of
from mirrorflow.figures.slide_maps import Tiles
from mirrorflow.slides.qupath import origin_of
from mirrorflow.slides.reader import Slide, best_level, open_slide, resample
from mirrorflow.slides.scale import find_scale
from mirrorflow.slides.sources import RegionError
from mirrorflow.slides.view import read_view
from mirrorflow.steps.prototypes.slide_tiles import SlidePart

SIDE = 96
"""Pixels of a patch in the strip."""


@dataclass(frozen=True)
class SlideFile:
    """A slide's file as the sheet names it: None where it names none; mpp as the sheet states it."""

    path: Path | None = None
    mpp: float | None = None


@dataclass(frozen=True)
class Placed:
    """A slide's part with the size and scale that its file has; origin: of QuPath's image, in level-0 pixels.

    gone: why the file cannot be read; empty where it can. Without it the origin is not known and taken as 0, 0.
    """

    part: SlidePart
    origin: tuple[float, float] = (0.0, 0.0)
    gone: str = ""


@contextmanager
def opened(file: SlideFile) -> Iterator[Slide | str]:
    """The open slide, or a sentence why it cannot be opened."""
    if file.path is None:
        yield "the sheet of slides names no file of it"
        return
    try:
        slide = open_slide(file.path)
    except MirrorflowError as error:
        yield str(error)
        return
    with slide:
        yield slide


def placed(part: SlidePart, file: SlideFile) -> Placed:
    """The part as its slide's file says, if that can be read."""
    with opened(file) as slide:
        if isinstance(slide, str):
            return Placed(part, gone=slide)
        mpp = part.tiles.mpp or _mpp(slide, file.mpp)
        tiles = replace(part.tiles, width=float(slide.width), height=float(slide.height), mpp=mpp)
        return Placed(replace(part, tiles=tiles), origin_of(slide.properties))


def tissue_of(place: Placed, slide: Slide | str) -> tuple[Backdrop, str]:
    """The tissue behind a slide's maps: of its file, else of the stored thumbnail, else nothing; which, in words."""
    tiles = place.part.tiles
    if not isinstance(slide, str):
        height, width, spans = canvas_of(tiles)
        return Backdrop(resample(read_view(slide, spans).rgb, width, height), spans), ""
    below = "the maps lie on the thumbnail that the store keeps"
    if tiles.thumbnail is None:
        below = "the store has no thumbnail of it either, so that no tissue is below the maps"
    return backdrop_of(tiles, tiles.thumbnail), f"The slide's file cannot be read ({slide}): {below}."


def _mpp(slide: Slide, stated: float | None) -> float | None:
    try:
        return float(find_scale(slide.properties, stated).mpp)
    except MirrorflowError:
        return None


def backdrop_of(tiles: Tiles, thumbnail: np.ndarray | None) -> Backdrop:
    """The thumbnail at the maps' size; white where there is none."""
    height, width, spans = canvas_of(tiles)
    if thumbnail is None:
        return Backdrop(np.full((height, width, 3), 255, np.uint8), spans)
    return Backdrop(resample(np.ascontiguousarray(thumbnail), width, height), spans)


def cut(slide: Slide | str, part: SlidePart, chosen: Iterable[int], labels: Mapping[int, str]) -> list[Shown]:
    """The patches ``chosen`` of the part's, cut from the slide. Raises InputError where its file cannot be read."""
    if isinstance(slide, str):
        message = f"{part.slide}: patches cannot be cut, its file cannot be read ({slide})"
        raise InputError(message)
    side = part.tiles.side
    level = best_level(slide.levels, side / SIDE)
    shown = []
    for one in chosen:
        x, y = (int(value) for value in part.tiles.corners[one])
        try:
            picture = slide.read_patch(x, y, side, level, SIDE)
        except RegionError as error:
            message = f"{part.slide}: patches cannot be cut, the one at ({x}, {y}) cannot be read ({error})"
            raise InputError(message) from error
        shown.append(Shown(picture, labels[one]))
    return shown
