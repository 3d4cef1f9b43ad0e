"""Moments of the patches of a feature file: taken once, kept, and merged exactly for whoever is trained on.

A cohort's features are read whole for them (47 GB at published size), and every fold takes most of the same files.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import MirrorflowError
from mirrorflow.runtime.files import clear_leftovers, written_whole
from mirrorflow.store.features import read_features
from mirrorflow.store.fingerprint import features_fingerprint
from mirrorflow.store.rows import RowLayout
from mirrorflow.training.moments import NOTHING, RUN_ROWS, Moments, moments_of_runs


def moments_of_file(layout: RowLayout) -> Moments:
    """Of all patches of a file. Raises InputError, as ``read_features``, where a value is not finite."""
    found = moments_of_runs(_runs(layout))
    if not np.isfinite(found.squares).all():
        read_features(layout.path)  # names the row
    return found


def _runs(layout: RowLayout) -> Iterator[NDArray]:
    if layout.mapped:
        yield from layout.runs(RUN_ROWS)
    elif layout.rows:
        bag = read_features(layout.path)[0]
        yield from (bag[first : first + RUN_ROWS] for first in range(0, len(bag), RUN_ROWS))


@dataclass(frozen=True)
class MomentsFolder:
    """Where moments of files are kept, by what the files hold (None: nowhere)."""

    folder: Path | None

    def __post_init__(self) -> None:
        """What a killed process left half in the folder is removed: once, as it holds a file a slide."""
        if self.folder is not None:
            with contextlib.suppress(OSError):
                clear_leftovers(self.folder)

    def of(self, layouts: Sequence[RowLayout]) -> Moments:
        """Of the files together."""
        found = NOTHING
        for layout in layouts:
            found = found.merged(self._of_file(layout))
        return found

    def _of_file(self, layout: RowLayout) -> Moments:
        if self.folder is None:
            return moments_of_file(layout)
        written = layout.path.stat().st_mtime_ns  # a fingerprint does not read all of a large file
        path = self.folder / f"{features_fingerprint([layout.path])}-{written:x}.npy"
        kept = _read(path, layout)
        if kept is None:
            kept = moments_of_file(layout)
            _write(path, kept)
        return kept


def _read(path: Path, layout: RowLayout) -> Moments | None:
    """What is kept, None where nothing is or it is not whole."""
    try:
        rows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if rows.shape != (3, layout.width) or rows.dtype != np.float64 or rows[0, 0] != layout.rows:
        return None
    return Moments(layout.rows, rows[1], rows[2])


def _write(path: Path, moments: Moments) -> None:
    """Keep them; a folder that cannot be written to costs the time once more, and nothing else."""
    rows = np.stack([np.full(len(moments.mean), float(moments.count)), moments.mean, moments.squares])
    with (
        contextlib.suppress(OSError, MirrorflowError),
        written_whole(path) as temporary,
        temporary.open("wb") as stream,
    ):
        np.save(stream, rows)
