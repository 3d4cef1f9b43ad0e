"""What a sheet of slides says, as digests of its rows: an added slide re-runs its shard, a new date nothing.

Read by the Snakefile, so free of everything heavy. What is wrong with a sheet is said by the job that reads
it (:mod:`mirrorflow.store.slide_sheet`).
"""

import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mirrorflow.errors import InputError
from mirrorflow.store.sheets import read_sheet

OURS = ("slide_id", "patient", "path", "mpp")
OVERRIDE = "segmentation."
"""Columns that begin so override one segmentation setting for one slide: ``segmentation.pen``."""


Columns = tuple[tuple[str, str], ...]


class Row(NamedTuple):
    """One slide's cells: its id, its patient, and those that count (no labels, no notes)."""

    slide_id: str
    patient: str
    cells: tuple[str, ...]


def shard_of(slide_id: str, n_shards: int) -> int:
    """Shard (0 to ``n_shards`` - 1) of a slide; depends on its id alone, so a new slide touches one shard."""
    return zlib.crc32(slide_id.encode()) % n_shards


def rows_digest(path: str, columns: Mapping[str, str]) -> str | None:
    """Stands for all rows of a sheet; None where there is no sheet (yet).

    The order of rows and of columns does not count. ``columns`` maps our names to the sheet's.
    """
    rows = _rows_of(path, columns)
    return None if rows is None else _digest(sorted(rows))


def shard_digest(path: str, columns: Mapping[str, str], shard: int, shards: int) -> str | None:
    """As :func:`rows_digest`, for the rows of one shard of ``shards``."""
    digests = _shard_digests(path, _date(path), tuple(columns.items()), shards)
    return None if digests is None else digests[shard]


def slides_digest(path: str, columns: Mapping[str, str], shard: int, shards: int) -> str | None:
    """As :func:`shard_digest`, whatever the sheet calls its columns and wherever the slides lie."""
    rows = _rows_of(path, columns)
    if rows is None:
        return None
    ours = {columns.get(name, name): name for name in OURS}
    named = [[cell.partition("=") for cell in row.cells] for row in rows if shard_of(row.slide_id, shards) == shard]
    kept = [sorted((ours.get(name, name), value) for name, _, value in cells) for cells in named]
    return _digest(sorted([pair for pair in cells if pair[0] != "path"] for cells in kept))


def patients_digest(path: str, columns: Mapping[str, str]) -> str | None:
    """Stands for the patients of a sheet, in any order; None where there is no sheet (yet)."""
    rows = _rows_of(path, columns)
    return None if rows is None else _digest(sorted({row.patient for row in rows}))


def slide_ids(path: str, columns: Mapping[str, str]) -> list[str] | None:
    """Ids of the slides of a sheet; None where there is no sheet (yet)."""
    rows = _rows_of(path, columns)
    return None if rows is None else [row.slide_id for row in rows]


def slide_files(path: str, columns: Mapping[str, str], shards: int) -> list[dict[str, str]]:
    """By shard: slide id -> path of the slide, as a sheet names them; empty where there is no sheet (yet)."""
    column, folder = f"{columns.get('path', 'path')}=", Path(path).parent
    found: list[dict[str, str]] = [{} for _ in range(shards)]
    for row in _rows_of(path, columns) or ():
        named = next((cell.removeprefix(column) for cell in row.cells if cell.startswith(column)), "")
        if named:
            found[shard_of(row.slide_id, shards)][row.slide_id] = str(folder / named)
    return found


def _rows_of(path: str, columns: Mapping[str, str]) -> tuple[Row, ...] | None:
    return _rows(path, _date(path), tuple(columns.items()))


def _date(path: str) -> int:
    """When the sheet was written: it is read once for all jobs, and again once it has changed."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=64)
def _shard_digests(path: str, date: int, columns: Columns, shards: int) -> tuple[str, ...] | None:
    rows = _rows(path, date, columns)
    if rows is None:
        return None
    parts: list[list[Row]] = [[] for _ in range(shards)]
    for row in rows:
        parts[shard_of(row.slide_id, shards)].append(row)
    return tuple(_digest(sorted(part)) for part in parts)


@lru_cache(maxsize=64)
def _rows(path: str, _date: int, columns: Columns) -> tuple[Row, ...] | None:
    try:
        sheet = read_sheet(path)
    except InputError:
        return () if Path(path).is_file() and not Path(path).stat().st_size else None
    header = sheet.header
    theirs = [dict(columns).get(name, name) for name in OURS]
    counting = [name for name in (*theirs, *sorted(h for h in header if h.startswith(OVERRIDE))) if name in header]
    places = [header.index(name) for name in counting]
    return tuple(_row(counting, places, theirs, cells) for _, cells in sheet.rows)


def _row(counting: Sequence[str], places: Sequence[int], theirs: Sequence[str], cells: Sequence[str]) -> Row:
    values = {name: cells[place].strip() for name, place in zip(counting, places, strict=True) if place < len(cells)}
    named = tuple(f"{name}={value}" for name, value in values.items())
    return Row(values.get(theirs[0], ""), values.get(theirs[1], ""), named)


def _digest(items: Iterable[object]) -> str:
    return hashlib.sha256("\n".join(map(repr, items)).encode()).hexdigest()[:16]
