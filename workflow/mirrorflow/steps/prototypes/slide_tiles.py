"""Where the patches of a unit's slide lie, as its feature file says, and the thumbnail that the store keeps of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mirrorflow.errors import InputError
from mirrorflow.figures.slide_maps import Tiles
from mirrorflow.store.features import describe_features, read_coords
from mirrorflow.store.images import read_rgb
from mirrorflow.store.patches import read_patches
from mirrorflow.training.bags import CappedBags


@dataclass(frozen=True)
class SlidePart:
    """One slide of a unit: its name, its patches, and which rows of the unit's tokens they are."""

    slide: str
    tiles: Tiles
    rows: np.ndarray


def slide_part(
    slides: Sequence[str], files: Sequence[Path], looked_at: int | None, overlays: Path | None
) -> SlidePart | None:
    """The first of :func:`slide_parts`; None where no slide has places."""
    return next(slide_parts(slides, files, looked_at, overlays), None)


def slide_parts(
    slides: Sequence[str], files: Sequence[Path], looked_at: int | None, overlays: Path | None
) -> Iterator[SlidePart]:
    """The slides of a unit with places of their patches.

    files: feature files of ``slides``, whose patches stand one after the other in the unit's bag. looked_at: patches of
    a larger bag that the model looks at. overlays: folder of the store's thumbnails, ``<slide>.jpg``.
    """
    found = [describe_features(path) for path in files]
    starts = np.cumsum([0, *(one.n for one in found)])
    looked = tokens_of(int(starts[-1]), looked_at)
    for slide, path, one, start in zip(slides, files, found, starts, strict=False):
        rows = np.flatnonzero((looked >= start) & (looked < start + one.n))
        if one.has_coords and len(rows):
            tiles = tiles_of(path, looked[rows] - start, overlays and overlays / f"{slide}.jpg")
            yield SlidePart(slide, tiles, rows)


def tokens_of(size: int, looked_at: int | None) -> np.ndarray:
    """Which patches of a bag of ``size`` are the tokens, in their order: all, or as many as are looked at."""
    if looked_at is None or size <= looked_at:
        return np.arange(size)
    return CappedBags([], looked_at).drawn(size)  # type: ignore[arg-type]  # the draw follows from the size alone


def tiles_of(path: Path, chosen: np.ndarray, thumbnail: Path | None) -> Tiles:
    """Places of the patches ``chosen`` of a feature file. Size and scale of the slide are those that it notes."""
    coords = read_coords(path)
    if coords is None:
        message = f"{path}: no coords in level-0 pixels"
        raise InputError(message)
    noted = _noted(path)
    side, width, height, mpp = noted or (stride(coords), None, None, None)
    picture = read_rgb(thumbnail) if thumbnail is not None and width and thumbnail.exists() else None
    return Tiles(coords[chosen], side, width, height, mpp, picture, inferred=noted is None)


def _noted(path: Path) -> tuple[float, float | None, float | None, float | None] | None:
    """Side of a patch; width, height and mpp of the slide, None where the file does not say. None without a side."""
    try:
        patches = read_patches(path)
    except InputError:
        return None
    noted = patches.attributes
    width, height, mpp = (
        float(noted[name]) if name in noted else None for name in ("level0_width", "level0_height", "level0_mpp")
    )
    return patches.size_level0, width, height, mpp


def stride(coords: np.ndarray) -> float:
    """The step that most neighbours have within a column (equal x) or a row (equal y), the smaller of equally frequent.

    CLAM lays a grid of its own over every piece of tissue: distances between columns of two grids say nothing. Where no
    two patches share a column or row it is the smallest distance between columns or rows; 1 of one patch alone.
    """
    steps = np.concatenate([_steps(coords, along) for along in (0, 1)])
    if len(steps):
        sizes, counts = np.unique(steps, return_counts=True)
        return float(sizes[counts.argmax()])
    apart = np.concatenate([np.diff(np.unique(coords[:, axis])) for axis in (0, 1)])
    return float(apart.min()) if len(apart) else 1.0


def _steps(coords: np.ndarray, along: int) -> np.ndarray:
    """Distances along an axis between neighbours that are equal in the other."""
    places = np.unique(coords[:, [1 - along, along]], axis=0)  # sorted by line, then along it
    same_line = np.diff(places[:, 0]) == 0
    return np.diff(places[:, 1])[same_line]
