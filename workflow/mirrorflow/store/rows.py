"""Single rows of a feature file, through a memory map: what a draw needs is read, the rest stays on the disk.

h5 lays rows out in one piece or in chunks; where these are not compressed and hold numpy's own type, each row's place
in the file is known and the system's page cache serves repeated draws to every job on the machine. The map is kept, and
a draw is one call that gathers rows straight into the batch.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from mirrorflow.store.features import feature_dataset, feature_shape
from mirrorflow.store.h5 import opened, require_stored
from mirrorflow.store.kept import LAYOUTS, Stamp, stamp_of
from mirrorflow.store.mapped import map_file

if TYPE_CHECKING:  # pooled vectors do without torch
    from torch import Tensor

LAYOUT_BYTES, HEADER = 128 << 20, 512
"""Of layouts that a process keeps, and of one beside its chunks: files in chunks of one row have a number a patch."""


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
        """The rows of ``index``, in that order, as float32 [row, width], whatever they hold."""
        offsets = self._offsets(index)
        taken = np.empty((len(offsets), self.width), self.dtype)
        for row in np.argsort(offsets, kind="stable"):
            taken[row] = np.frombuffer(self._pages, self.dtype, self.width, int(offsets[row]))
        return taken.astype(np.float32, copy=False)

    def read_into(self, index: np.ndarray, out: "Tensor") -> int | None:
        """The rows of ``index``, in that order, into ``out`` float32 [row, width].

        Returns the first of these rows whose values are not finite, None where all are.
        """
        import torch

        starts = torch.from_numpy(self._offsets(index))
        if self._source is None:  # another byte order, or rows between two values
            out.copy_(torch.from_numpy(self.read(index)))
        elif self._source.dtype == torch.float32:
            torch.index_select(self._source, 0, starts.div_(self.dtype.itemsize, rounding_mode="trunc"), out=out)
        else:
            out.copy_(self._source.index_select(0, starts.div_(self.dtype.itemsize, rounding_mode="trunc")))
        return self._first_bad(index, out)

    def runs(self, at_most: int) -> Iterator[np.ndarray]:
        """All rows in the order of the file, as runs of up to ``at_most`` of them [row, width] in the map itself."""
        assert self.starts is not None
        for number, start in enumerate(self.starts):
            count = min(self.chunk_rows, self.rows - number * self.chunk_rows)
            whole = np.frombuffer(self._pages, self.dtype, count * self.width, int(start)).reshape(count, self.width)
            yield from (whole[first : first + at_most] for first in range(0, count, at_most))

    def _offsets(self, index: np.ndarray) -> np.ndarray:
        """Where each row begins, in bytes."""
        assert self.starts is not None
        chunk, within = np.divmod(np.asarray(index, np.int64), self.chunk_rows)
        return self.starts[chunk] + within * (self.width * self.dtype.itemsize)

    def _first_bad(self, index: np.ndarray, rows: "Tensor") -> int | None:
        if self._known_finite[index].all():
            return None
        # A product with zeros is 0 unless a value is NaN or infinite: one pass over what the cache still holds.
        bad = (rows @ rows.new_zeros(self.width)).isnan().numpy()
        self._known_finite[index[~bad]] = True
        return int(index[bad].min()) if bad.any() else None

    @cached_property
    def _pages(self) -> np.ndarray:
        return map_file(self.path)

    @cached_property
    def _known_finite(self) -> np.ndarray:
        """Rows that were looked at [row]."""
        return np.zeros(self.rows, bool)

    @cached_property
    def _source(self) -> "Tensor | None":
        """Every run of ``width`` values of the file [value, width], by the number of its first one."""
        import torch

        assert self.starts is not None
        size = self.dtype.itemsize
        if not self.dtype.isnative or (self.starts % size).any():
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of memory that cannot be written
            values = torch.from_numpy(self._pages[: len(self._pages) // size * size].view(self.dtype))
        return values.as_strided((len(values) - self.width + 1, self.width), (1, 1))


def kept_layout(path: Path) -> tuple[RowLayout, Stamp | None]:
    """:func:`row_layout`, read once a process, with a map of its own; and the file's stamp before that."""
    stamp = stamp_of(path)
    if stamp is None:
        return row_layout(path), None
    kept = LAYOUTS.get(stamp, 0)
    if kept is None:
        kept = row_layout(path)
        LAYOUTS.keep(stamp, kept, HEADER + (0 if kept.starts is None else kept.starts.nbytes), 0, LAYOUT_BYTES)
    return replace(kept), stamp


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
