"""Tiles of a slide as GeoJSON that QuPath opens: a FeatureCollection of tiles with measurements (QuPath 0.7)."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

NAMESPACE = uuid.UUID("6f2d1f57-30a6-5f0b-9d3c-6a7d0c1d5a11")
"""Of the tiles' ids: the same tile has the same id in every export, so that QuPath asks before it doubles them."""
BOUNDS = tuple(f"openslide.bounds-{part}" for part in ("x", "y", "width", "height"))


def origin_of(properties: Mapping[str, str]) -> tuple[float, float]:
    """Where QuPath's image begins, in level-0 pixels: at the bounds where OpenSlide reports all four, else at 0, 0."""
    if not all(name in properties for name in BOUNDS):
        return 0.0, 0.0
    return float(properties[BOUNDS[0]]), float(properties[BOUNDS[1]])


def tile_features(
    slide: str,
    corners: np.ndarray,
    side: float,
    measurements: Mapping[str, np.ndarray],
    origin: tuple[float, float] = (0.0, 0.0),
) -> dict[str, Any]:
    """A FeatureCollection of square tiles.

    corners [tile, 2] and ``side`` in level-0 pixels of the whole image, ``origin`` as :func:`origin_of` has it;
    measurements: name -> value [tile]. A value that is not finite is left out: QuPath then leaves the tile uncoloured.
    """
    places = np.round(corners - np.asarray(origin), 2)
    far = np.round(corners + side - np.asarray(origin), 2)
    features = [
        _tile(slide, corners[row], places[row], far[row], {name: values[row] for name, values in measurements.items()})
        for row in range(len(corners))
    ]
    return {"type": "FeatureCollection", "features": features}


def _tile(
    slide: str, corner: np.ndarray, near: np.ndarray, far: np.ndarray, measured: Mapping[str, float]
) -> dict[str, Any]:
    (x, y), (right, bottom) = near.tolist(), far.tolist()
    ring: Sequence[Sequence[float]] = [[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(NAMESPACE, f"{slide},{int(corner[0])},{int(corner[1])}")),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "tile",
            "measurements": {name: float(f"{value:.6g}") for name, value in measured.items() if np.isfinite(value)},
        },
    }
