"""Patch features as h5 in TRIDENT's layout; files of TRIDENT, CLAM and STAMP are read as they are."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import InputError
from mirrorflow.runtime.files import written_whole
from mirrorflow.store.h5 import Sink, opened, own_dataset, read_settings, require_stored, write_settings

NAMES = ("features", "feats")
STAMP_TILE = 224
"""Pixels of a tile of 256 um in STAMP's first files."""
CHUNK_ROWS = 256
BYTES_AT_ONCE = 32 << 20
"""Of a file whose values are looked through: a run of rows of at most this size."""


class FeatureFile(NamedTuple):
    """What a feature file holds: ``n`` patches of ``dim`` values by ``encoder`` (empty: it does not say)."""

    n: int
    dim: int
    encoder: str
    has_coords: bool


class FeatureWriter:
    """Writes one slide's features piece by piece, so that memory does not grow with the slide.

    The file appears under its name at :meth:`finish`; :meth:`abandon`, or a crash, leaves nothing.
    """

    def __init__(self, path: Path, dim: int, dtype: str, attributes: Mapping[str, Any]) -> None:
        self._whole = contextlib.ExitStack()
        temporary = self._whole.enter_context(written_whole(path))
        self._sink = self._whole.enter_context(contextlib.closing(Sink(temporary)))
        self._file = h5py.File(self._sink, "w")
        layout: dict[str, Any] = {"chunks": (CHUNK_ROWS, dim), "maxshape": (None, dim)}
        self._features = self._file.create_dataset("features", (0, dim), dtype, **layout)
        self._features.attrs.update(attributes)
        self._coords = self._file.create_dataset("coords", (0, 2), np.int64, chunks=(4096, 2), maxshape=(None, 2))

    def append(self, features: NDArray[Any], coords: NDArray[np.int64]) -> None:
        """Add rows [k, dim] and their corners [k, 2]."""
        start = len(self._features)
        for dataset, rows in ((self._features, features), (self._coords, coords)):
            dataset.resize(start + len(rows), axis=0)
            dataset[start:] = rows
        if self._sink.error is not None:
            self._close()

    def finish(
        self, coord_attributes: Mapping[str, Any], settings: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> None:
        """Note what the rows mean and give the file its name."""
        self._coords.attrs.update(coord_attributes)
        write_settings(self._file, settings, facts)
        self._close()

    def _close(self) -> None:
        """Close both files; the whole one gets its name unless something could not be written."""
        self._file.close()
        with self._whole:
            self._sink.check()

    def abandon(self) -> None:
        """Drop what was written."""
        self._file.close()
        with contextlib.suppress(_AbandonedError), self._whole:
            raise _AbandonedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self.abandon()


class _AbandonedError(Exception):
    """Makes ``written_whole`` drop its file."""


def read_features(path: str | Path) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """Features [n, dim] as float32, and coords [n, 2] in level-0 pixels or None.

    Understands TRIDENT, CLAM and STAMP (``feats``), float16 and a leading batch axis of 1. Raises InputError
    for anything else, and for values that are not finite.
    """
    with opened(path) as file:
        dataset = feature_dataset(Path(path), file)
        shape = feature_shape(Path(path), dataset)
        require_stored(Path(path), dataset)
        features = dataset[:].astype(np.float32).reshape(shape)
        coords = _coords(Path(path), file, len(features))
    _require_finite(Path(path), features)
    return features, coords


def read_coords(path: str | Path) -> NDArray[np.int64] | None:
    """Upper left corners [n, 2] in level-0 pixels, or None; values are not read. Raises InputError as
    :func:`read_features`.
    """
    with opened(path) as file:
        count = feature_shape(Path(path), feature_dataset(Path(path), file))[0]
        return _coords(Path(path), file, count)


def _require_finite(path: Path, features: NDArray[Any], first: int = 0) -> None:
    """``first``: number of the first row in the file."""
    if not np.isfinite(features).all():
        row = first + int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        message = f"{path}: features hold NaN or infinity (first in row {row}); make the file again"
        raise InputError(message)


def check_values(path: str | Path) -> None:
    """Read every value of a file, a part at a time. Raises InputError where one is not finite, as read_features."""
    with opened(path) as file:
        dataset = feature_dataset(Path(path), file)
        n, dim = feature_shape(Path(path), dataset)
        rows = max(CHUNK_ROWS, BYTES_AT_ONCE // (max(1, dim) * dataset.dtype.itemsize) // CHUNK_ROWS * CHUNK_ROWS)
        for start in range(0, n, rows):
            part = dataset[..., start : start + rows, :].reshape(-1, dim)
            _require_finite(Path(path), part, start)


def describe_features(path: str | Path) -> FeatureFile:
    """What a file holds, without reading its values. Raises InputError as :func:`read_features`."""
    with opened(path) as file:
        dataset = feature_dataset(Path(path), file)
        n, dim = feature_shape(Path(path), dataset)
        require_stored(Path(path), dataset)
        encoder = dataset.attrs.get("encoder", file.attrs.get("encoder", file.attrs.get("extractor", "")))
        return FeatureFile(n, dim, _text(encoder), _coords(Path(path), file, n) is not None)


def stored_settings(path: str | Path) -> tuple[str, dict[str, Any]]:
    """Settings (canonical JSON) and facts of a file made here."""
    with opened(path) as file:
        return read_settings(file)


def feature_dataset(path: Path, file: h5py.File) -> h5py.Dataset:
    """The dataset of features, whatever it is called. Raises InputError where this file holds none."""
    for name in NAMES:
        if (dataset := own_dataset(path, file, name)) is not None:
            return dataset
    message = f"{path}: no dataset {' or '.join(NAMES)}; it has {', '.join(file) or 'nothing'}"
    raise InputError(message)


def feature_shape(path: Path, dataset: h5py.Dataset) -> tuple[int, int]:
    """Patches and values a patch, without a leading axis of 1. Raises InputError for anything else.

    A slide without patches is (0,), as TRIDENT writes it, or (0, values): 0 patches of 0 or of so many values.
    """
    shape = dataset.shape
    if shape == (0,):
        return 0, 0
    if len(shape) == 3 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) != 2 or (shape[1] == 0 and shape[0] > 0) or dataset.dtype.kind != "f":
        message = (
            f"{path}: {dataset.name.strip('/')} has shape {dataset.shape} and type {dataset.dtype}; "
            "it should be floating point, [patches, values]"
        )
        raise InputError(message)
    return int(shape[0]), int(shape[1])


def _coords(path: Path, file: h5py.File, n: int) -> NDArray[np.int64] | None:
    dataset = own_dataset(path, file, "coords")
    if dataset is None:
        return None
    if _text(file.attrs.get("unit", dataset.attrs.get("unit", ""))) in ("um", "µm"):
        return None  # STAMP's newer files count in micrometres: no level-0 pixels
    coords = dataset[:]
    if coords.ndim == 3 and len(coords) == 1:
        coords = coords[0]
    if n == 0 and coords.size == 0:
        return np.empty((0, 2), np.int64)
    if coords.shape != (n, 2):
        message = f"{path}: coords has shape {coords.shape} for {n} patches; it should be [{n}, 2]"
        raise InputError(message)
    return None if "feats" in file and _is_historic_stamp(file, dataset, coords) else coords.astype(np.int64)


def _is_historic_stamp(file: h5py.File, dataset: h5py.Dataset, coords: NDArray[Any]) -> bool:
    """Whether coords without a unit are STAMP's of before it named one: pixels of 256/224 um, whatever the scan.

    STAMP itself tells them by the tile's size or the stride of the grid, about 224; micrometres without a unit, in
    files between the two, by ``tile_size_um``. Where nothing tells, a place in the slide cannot be had.
    """
    if "unit" in file.attrs or "unit" in dataset.attrs:
        return False
    steps = [np.diff(np.unique(coords[:, axis])) for axis in (0, 1)]
    strides = [float(step.min()) for step in steps if len(step)]
    size = float(file.attrs.get("tile_size", min(strides, default=STAMP_TILE)))
    return "tile_size_um" in file.attrs or round(size) == STAMP_TILE or not np.array_equal(coords, np.floor(coords))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
