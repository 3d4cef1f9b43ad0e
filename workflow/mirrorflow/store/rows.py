"""Single rows of a feature file, through a memory map: what a draw needs is read, the rest stays on the disk.

h5 lays rows out in one piece or in chunks; where these are not compressed and hold numpy's own type, each row's place
in the file is known and the system's page cache serves repeated draws to every job on the machine. Nothing is copied
or converted.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from mirrorflow.store.features import feature_dataset, feature_shape
from mirrorflow.store.h5 import opened, require_stored


@dataclass(frozen=True)
class RowLayout:
    """Where the rows of a file lie. ``starts`` [chunk] are byte offsets of runs of ``chunk_rows`` rows."""

    path: Path
    rows: int
    width: int
    dtype: np.dtype
    starts: np.ndarray | None
    chunk_rows: int

    @property
    def mapped(self) -> bool:
        """False where the file is compressed, of another type or laid out otherwise: it has to be read whole."""
        return self.starts is not None

    def read(self, index: np.ndarray) -> np.ndarray:
        """The rows of ``index``, in that order, as float32 [row, width]."""
        assert self.starts is not None
        chunk, within = np.divmod(np.asarray(index), self.chunk_rows)
        offsets = self.starts[chunk] + within * (self.width * self.dtype.itemsize)
        taken = np.empty((len(offsets), self.width), self.dtype)
        pages = np.memmap(self.path, np.uint8, "r")
        # In the order of the file, so that a disk reads forward.
        for row in np.argsort(offsets, kind="stable"):
            taken[row] = np.frombuffer(pages, self.dtype, self.width, int(offsets[row]))
        return taken.astype(np.float32, copy=False)


def row_layout(path: Path) -> RowLayout:
    """Where the rows of a feature file lie. Raises InputError as ``read_features``, values apart."""
    with opened(path) as file:
        dataset = feature_dataset(path, file)
        rows, width = feature_shape(path, dataset)
        require_stored(path, dataset)
        starts, chunk_rows = _starts(dataset, rows, width)
        return RowLayout(path, rows, width, dataset.dtype, starts, chunk_rows)


def _starts(dataset: h5py.Dataset, rows: int, width: int) -> tuple[np.ndarray | None, int]:
    if not rows or not _holds_its_type(dataset) or dataset.is_virtual:
        return None, 1
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        return (None if offset is None else np.array([offset])), rows
    *_, chunk_rows, chunk_width = dataset.chunks
    expected = -(-rows // chunk_rows)
    if chunk_width != width or dataset.id.get_create_plist().get_nfilters():
        return None, chunk_rows
    if dataset.id.get_num_chunks() != expected:
        return None, chunk_rows
    starts = np.empty(expected, np.int64)
    for number in range(expected):
        chunk = dataset.id.get_chunk_info(number)
        starts[chunk.chunk_offset[-2] // chunk_rows] = chunk.byte_offset
    return starts, chunk_rows


def _holds_its_type(dataset: h5py.Dataset) -> bool:
    """Whether values are stored as ``dataset.dtype``: h5py names float32 for a stored bfloat16, which HDF5 converts."""
    return bool(dataset.id.get_type() == h5py.h5t.py_create(dataset.dtype))
