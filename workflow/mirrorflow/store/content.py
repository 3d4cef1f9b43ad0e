"""What a feature file holds, from a few of its rows: enough to know the same slide under another name.

External features may have hundreds of gigabytes, so that nothing is read whole: the shape and twelve rows (the first,
the middle and the last four) stand for the file. Two slides that agree in these agree, as far as anyone can tell;
the same patches in another order, or a few of them left out, are not recognised.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import InputError
from mirrorflow.store.features import feature_dataset, feature_shape
from mirrorflow.store.h5 import opened
from mirrorflow.store.rows import row_layout

ROWS = 4
"""Rows that are read at the beginning, in the middle and at the end."""

OUTLINES = 8
"""Numbers that outline a file: its sampled rows' mean, seen from as many fixed directions."""

LARGEST_HALF = 65504.0


@dataclass(frozen=True)
class Content:
    """digest: of shape and sampled rows, the same for float16 and float32 (empty: nothing to tell files apart by);
    outline: numbers that are nearly the same for nearly the same features (empty where there is no digest)."""

    digest: str = ""
    outline: tuple[float, ...] = ()


def describe_content(path: Path) -> Content:
    """Digest and outline of a feature file; empty for one without patches, of one value only, or unreadable there."""
    try:
        return content_of(path)
    except InputError:
        return Content()


def content_of(path: Path) -> Content:
    """As :func:`describe_content`. Raises InputError where the sampled rows cannot be read."""
    rows, count = _sampled(path)
    if not rows.size or not np.isfinite(rows).all() or rows.min() == rows.max():
        return Content()
    half = rows.astype(np.float16) if np.abs(rows).max() < LARGEST_HALF else rows
    digest = hashlib.sha256(f"{count}x{rows.shape[1]}:".encode() + (half + 0).tobytes()).hexdigest()[:16]
    return Content(digest, tuple(outline_of(rows.astype(np.float64).mean(0)[None])[0].tolist()))


def outline_of(values: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """``values`` [row, feature] seen from :data:`OUTLINES` fixed random directions [row, direction]."""
    directions = np.random.default_rng(seed).standard_normal((OUTLINES, values.shape[1]))
    return np.stack([(values * direction).sum(1) for direction in directions], axis=1)


def _sampled(path: Path) -> tuple[NDArray[np.float32], int]:
    layout = row_layout(path)
    middle = max(0, layout.rows // 2 - ROWS // 2)
    starts = (0, middle, max(0, layout.rows - ROWS))
    runs = [np.arange(start, min(start + ROWS, layout.rows)) for start in starts]
    if layout.mapped:
        return layout.read(np.concatenate(runs)), layout.rows
    with opened(path) as file:
        dataset = feature_dataset(path, file)
        shape = feature_shape(path, dataset)
        parts = [dataset[..., run[0] : run[-1] + 1, :].reshape(-1, shape[1]) for run in runs if len(run)]
    return np.concatenate(parts).astype(np.float32) if parts else np.empty((0, shape[1]), np.float32), shape[0]
