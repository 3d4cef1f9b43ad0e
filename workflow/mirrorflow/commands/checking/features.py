"""A look into every feature file: its first rows and some others, enough to find what would stop a run hours later."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.forks import ONE_BY_ONE, Cores, run_each
from mirrorflow.runtime.progress import Progress
from mirrorflow.store.features import feature_dataset
from mirrorflow.store.h5 import opened
from mirrorflow.store.rows import row_layout

FIRST, DRAWN = 4, 8
"""Rows at the start of a file that are looked at, and rows drawn from all of it."""
SHOWN = 3
A_CALL = 500
"""Files that one process looks into before it takes others."""
SEED = 7


@dataclass
class FeaturesSeen:
    """What the files of a folder hold: slides that a run would leave out, with the reason, and widths of the others."""

    folder: Path
    count: int
    bad: dict[str, str] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    widths: Counter[int] = field(default_factory=Counter)

    @property
    def left_out(self) -> set[str]:
        """Slides that a run would leave out."""
        return {*self.bad, *self.empty}

    def add(self, other: "FeaturesSeen") -> None:
        """What another look saw of further files of the folder."""
        self.bad |= other.bad
        self.empty += other.empty
        self.widths.update(other.widths)

    def lines(self) -> Iterator[str]:
        """What was seen, in words; a folder of which nothing can be used, or of several encoders, stops a run."""
        if self.bad:
            word = "PROBLEM" if len(self.left_out) == self.count else "WARNING"
            more = f"; and {len(self.bad) - SHOWN} more" if len(self.bad) > SHOWN else ""
            named = "; ".join(list(self.bad.values())[:SHOWN])
            yield f"{word}: {len(self.bad)} of {self.count} feature files would be left out: {named}{more}"
        if len(self.widths) > 1:
            counts = ", ".join(f"{width} values ({count} files)" for width, count in self.widths.most_common())
            yield (
                f"PROBLEM: feature files in {self.folder} are of several encoders: {counts}; keep those of one in a "
                "folder"
            )
        elif self.widths:
            width, count = self.widths.most_common(1)[0]
            yield f"{count} feature files in {self.folder}: {width} values a patch; {len(self.empty)} without patches"


def look_into_files(folder: Path, slides: Iterable[str]) -> FeaturesSeen:
    """The files of ``slides`` in a folder, as far as they are there; many of them on all cores."""
    there = [(slide, path) for slide in slides if (path := folder / f"{slide}.h5").exists()]
    seen, progress = FeaturesSeen(folder, len(there)), Progress(f"look into {folder}", len(there), "files")
    starts = range(0, len(there), A_CALL)
    calls = [Call(_look_into_some, (there[start : start + A_CALL], SEED + start), {}, str(start)) for start in starts]
    cores = Cores(min(len(os.sched_getaffinity(0)), len(calls))) if calls else ONE_BY_ONE
    for part in run_each(calls, cores, lambda start: progress.step(min(A_CALL, len(there) - int(start)))):
        seen.add(part)
    return seen


def _look_into_some(there: Sequence[tuple[str, Path]], seed: int) -> FeaturesSeen:
    """These files; the n-th draws its rows with ``seed`` + n."""
    seen = FeaturesSeen(Path(), len(there))
    for number, (slide, path) in enumerate(there):
        try:
            rows, width = look_into(path, seed + number)
            seen.empty += [] if rows else [slide]
            seen.widths.update([width] if rows else [])
        except MirrorflowError as error:
            seen.bad[slide] = str(error)
        except OSError as error:
            seen.bad[slide] = f"{path}: {error}"
    return seen


def look_into(path: Path, seed: int) -> tuple[int, int]:
    """Patches and values a patch of a file; the first rows and some drawn with ``seed`` are read.

    Raises InputError as ``read_features``, for a NaN or infinity in the rows that are read.
    """
    layout = row_layout(path)
    if not layout.rows:
        return 0, layout.width
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, layout.rows, DRAWN)
    rows = np.unique(np.append(np.arange(min(FIRST, layout.rows)), drawn))
    values = layout.read(rows) if layout.mapped else _from_file(path, rows)
    if not np.isfinite(values).all():
        row = rows[np.flatnonzero(~np.isfinite(values).all(axis=1))[0]]
        message = f"{path}: features hold NaN or infinity (in row {row}); make the file again"
        raise InputError(message)
    return layout.rows, layout.width


def _from_file(path: Path, rows: np.ndarray) -> np.ndarray:
    with opened(path) as file:
        dataset = feature_dataset(path, file)
        return np.stack([np.asarray(dataset[..., row, :], np.float32).reshape(-1) for row in rows])
