"""Bags of patch features from the store's h5 files: drawn rows through a memory map, whole bags on request."""

import contextlib
import weakref
from collections.abc import Hashable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mirrorflow.errors import InputError
from mirrorflow.store.features import read_features
from mirrorflow.store.fingerprint import features_fingerprint
from mirrorflow.store.kept import BAGS
from mirrorflow.store.moments import MomentsFolder
from mirrorflow.store.rows import RowLayout, kept_layout
from mirrorflow.training.moments import Moments

if TYPE_CHECKING:  # pooled vectors do without torch
    from torch import Tensor

__all__ = ["FeatureBags", "features_fingerprint"]


class FeatureBags:
    """Units by number: ``bags[i]`` is all patches of unit i, float32 [patch, feature].

    ``files`` lists each unit's feature files (a patient's slides are concatenated). Rows are read where they lie;
    only files that cannot be mapped (compressed ones) are read whole, and up to ``cache_gb`` (10^9 bytes) of
    such bags are kept in memory, for the next cases of this process as well (:mod:`mirrorflow.store.kept`). ``names``
    are for messages, ``moments`` is a folder in which those of files are kept.
    """

    def __init__(
        self,
        files: Sequence[Sequence[Path]],
        cache_gb: float,
        names: Sequence[str] | None = None,
        moments: Path | None = None,
    ) -> None:
        self.files = [list(paths) for paths in files]
        self.names = list(names) if names is not None else [f"unit {i}" for i in range(len(self.files))]
        self._budget = int(cache_gb * 1e9)
        self._moments_folder = moments
        self._number = BAGS.reader()
        weakref.finalize(self, BAGS.gone, self._number)
        self._keys: dict[int, Hashable] = {}
        self._layouts: dict[int, list[RowLayout]] = {}
        self._width: tuple[int, Path] | None = None

    def __len__(self) -> int:
        return len(self.files)

    @cached_property
    def _moments(self) -> MomentsFolder:
        """Opened when moments are first asked for: it is looked through for leftovers then."""
        return MomentsFolder(self._moments_folder)

    def __getitem__(self, i: int, /) -> np.ndarray:
        """Raises InputError naming the unit or file: no patches, NaN in features, a width unlike the other slides'."""
        self.size(i)
        if self._mapped(i):
            return self._read(i)
        kept = BAGS.get(self._keys[i], self._number)
        if kept is None:
            kept = self._read(i)
            kept.flags.writeable = False  # it may be another case's, too
            BAGS.keep(self._keys[i], kept, kept.nbytes, self._number, self._budget)
        return kept

    def _read(self, i: int) -> np.ndarray:
        return np.concatenate([read_features(layout.path)[0] for layout in self._layouts[i]])

    def size(self, i: int) -> int:
        """Patches of unit ``i``, from the files' headers. Raises InputError as ``bags[i]``, values apart."""
        if i not in self._layouts:
            self._layouts[i] = self._read_layouts(i)
        return sum(layout.rows for layout in self._layouts[i])

    def load(self, *, moments: bool) -> None:
        """Read all headers and, as far as the cache goes, bags that cannot be mapped; with ``moments`` these as well.

        Units with an error are passed over: it is raised where they are asked for.
        """
        for i in range(len(self)):
            with contextlib.suppress(InputError):
                self.size(i)
                if self._budget and not self._mapped(i):
                    self[i]
                if moments:
                    self.moments(i)

    def rows(self, i: int, index: np.ndarray) -> np.ndarray:
        """Patches ``index`` of unit ``i``: float32 [patch, feature]. Raises InputError as ``bags[i]``."""
        import torch

        taken = torch.empty(len(index), self.width(i))
        self.rows_into(i, index, taken)
        return taken.numpy()

    def moments(self, i: int) -> Moments:
        """Moments of the patches of unit ``i``. Raises InputError as ``bags[i]``."""
        self.size(i)
        return self._moments.of(self._layouts[i])

    def width(self, i: int) -> int:
        """Values of a patch of unit ``i``."""
        self.size(i)
        return self._layouts[i][0].width

    def rows_into(self, i: int, index: np.ndarray, out: "Tensor") -> None:
        """As :meth:`rows`, straight into ``out`` float32 [patch, feature]."""
        import torch

        self.size(i)
        if not self._mapped(i):
            out.copy_(torch.from_numpy(self[i][index]))
            return
        layouts = self._layouts[i]
        if len(layouts) == 1:
            _read_finite(layouts[0], index, out)
            return
        first = np.cumsum([0, *(layout.rows for layout in layouts)])
        for layout, start, stop in zip(layouts, first, first[1:], strict=False):
            mine = np.flatnonzero((index >= start) & (index < stop))
            if len(mine):
                part = torch.empty(len(mine), layout.width)
                _read_finite(layout, index[mine] - start, part)
                out.index_copy_(0, torch.from_numpy(mine), part)

    def _mapped(self, i: int) -> bool:
        return all(layout.mapped for layout in self._layouts[i])

    def _read_layouts(self, i: int) -> list[RowLayout]:
        if not self.files[i]:
            message = f"{self.names[i]}: no slide with features; leave this unit out of the cohort"
            raise InputError(message)
        found = [kept_layout(path) for path in self.files[i]]
        layouts = [layout for layout, _ in found if layout.rows]
        for layout in layouts:
            self._check_width(layout)
        if not layouts:
            message = f"{self.names[i]}: no patches in {self.files[i][0]}; leave this unit out of the cohort"
            raise InputError(message)
        stamps = tuple(stamp for _, stamp in found)
        self._keys[i] = (self._number, i) if None in stamps else stamps
        return layouts

    def _check_width(self, layout: RowLayout) -> None:
        width = self._width or (layout.width, layout.path)
        if layout.width != width[0]:
            message = (
                f"{layout.path}: features are {layout.width} wide, those of {width[1]} are {width[0]}; "
                "one run takes the features of one encoder"
            )
            raise InputError(message)
        self._width = width


def _read_finite(layout: RowLayout, index: np.ndarray, out: "Tensor") -> None:
    row = layout.read_into(index, out)
    if row is not None:
        message = f"{layout.path}: features hold NaN or infinity (e.g. in row {row}); make the file again"
        raise InputError(message)
