"""The patch grid: which squares of a slide are read, in level-0 pixels."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mirrorflow.config.slide_settings import PATCH_PRESETS, Encoder, Patching
from mirrorflow.errors import ConfigError

PRESETS: dict[str, dict[str, Any]] = {name: asdict(Patching(**values)) for name, values in PATCH_PRESETS.items()}
"""The papers' grids, every key spelled out."""


def patching_from(settings: Mapping[str, Any]) -> Patching:
    """Settings of a run (``preset`` and keys of Patching); what is not named is that of the encoders' usual grid.

    Raises ConfigError naming an unknown preset or key and what is allowed.
    """
    values = dict(settings)
    preset = values.pop("preset", None)
    if preset is not None and preset not in PRESETS:
        message = f"patch.preset {preset!r} is unknown; choose one of {', '.join(PRESETS)}"
        raise ConfigError(message)
    allowed = {field.name for field in fields(Patching)}
    if unknown := sorted(values.keys() - allowed):
        message = f"patch: unknown {', '.join(unknown)}; allowed are preset, {', '.join(sorted(allowed))}"
        raise ConfigError(message)
    return Patching(**(PRESETS[preset or Encoder.patching] | values))


def place_patches(
    mask: NDArray[np.bool_], slide_size: tuple[int, int], size: float, step: float, min_tissue: float
) -> NDArray[np.int64]:
    """Upper left corners [n, 2] (x, y in level-0 pixels) of the patches that hold tissue, row by row.

    ``mask`` covers the whole slide of ``slide_size`` (width, height) at any lower resolution; ``size`` and
    ``step`` are in level-0 pixels and need not be whole: corner k is ``round(k * step)``, so that nothing
    drifts. A patch lies wholly inside the slide, holds some tissue, and at least the fraction ``min_tissue``.
    """
    columns, rows = (_corners(length, size, step) for length in slide_size)
    if not len(columns) or not len(rows):
        return np.empty((0, 2), np.int64)
    covered = _covered(mask, slide_size, columns, rows, size)
    kept_rows, kept_columns = np.nonzero((covered > 1e-9) & (covered >= min_tissue - 1e-9))
    return np.column_stack([columns[kept_columns], rows[kept_rows]])


def _corners(length: int, size: float, step: float) -> NDArray[np.int64]:
    corners = np.unique(np.rint(np.arange(int(length / step) + 1) * step).astype(np.int64))
    return corners[corners + max(1, round(size)) <= length]


def _covered(
    mask: NDArray[np.bool_],
    slide_size: tuple[int, int],
    columns: NDArray[np.int64],
    rows: NDArray[np.int64],
    size: float,
) -> NDArray[np.float64]:
    """Fraction of tissue [rows, columns] in each square, exact for the mask's pixels as little squares.

    The integral image of a mask is bilinear inside each of its pixels, so its value between pixels is
    interpolated without error.
    """
    height, width = mask.shape
    integral = np.zeros((height + 1, width + 1))
    np.cumsum(np.cumsum(mask, axis=0, dtype=np.float64), axis=1, out=integral[1:, 1:])
    x, y = columns * (width / slide_size[0]), rows * (height / slide_size[1])
    side_x, side_y = size * width / slide_size[0], size * height / slide_size[1]
    low, high = _interpolate(integral, y), _interpolate(integral, y + side_y)
    strip = (high - low).T
    return (_interpolate(strip, x + side_x) - _interpolate(strip, x)).T / (side_x * side_y)


def _interpolate(values: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """``values`` [n, m] between its rows, at the positions ``at`` [k]: [k, m]."""
    at = np.clip(at, 0, len(values) - 1)
    below = np.minimum(at.astype(np.int64), len(values) - 2)
    part = (at - below)[:, None]
    return values[below] * (1 - part) + values[below + 1] * part
