"""A user's sheet of slides (``slides.tsv``): slide_id, patient, path, optional mpp and overrides."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mirrorflow.config.mask_settings import segmentation_from
from mirrorflow.config.names_in_case import differ_in_case
from mirrorflow.config.unknown import is_unknown
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.runtime.files import check_file_name
from mirrorflow.slides.scale import PLAUSIBLE_MPP
from mirrorflow.store.sheet_rows import OURS, OVERRIDE, shard_of
from mirrorflow.store.sheets import read_sheet, require_once

__all__ = ["OURS", "OVERRIDE", "SlideRow", "read_slide_sheet", "shard_of", "slide_sheet_said"]

SHOWN_PROBLEMS = 10

DECIMAL_COMMA = re.compile(r"\d,\d+")
"""Of a scale, such as 0,2527: no scale has thousands."""

logger = logging.getLogger("mirrorflow.store.slide_sheet")


@dataclass(frozen=True)
class SlideRow:
    """One slide: ``path`` is None where only its features exist; ``mpp`` in um/px as the user states it."""

    slide_id: str
    patient: str
    path: Path | None = None
    mpp: float | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)


def read_slide_sheet(path: str | Path, columns: Mapping[str, str] | None = None) -> list[SlideRow]:
    """Read a sheet as people have them (:mod:`mirrorflow.store.sheets`); relative slide paths are relative to its
    folder.

    ``columns`` maps our names to the sheet's where they differ, e.g. ``{"patient": "case_id"}``.
    Raises InputError with the file and every bad line's number (the first ten), and for a column named twice.
    """
    path = Path(path)
    sheet = read_sheet(path, "no such sheet of slides")
    header, lines = sheet.header, sheet.rows
    require_once(header, path)
    for what in slide_sheet_said(path, columns):
        logger.info("%s", what)
    names = _column_names(path, header, columns or {})
    rows: dict[str, SlideRow] = {}
    problems: list[str] = []
    for number, cells in lines:
        where = f"{path}, line {number}"
        try:
            row = _row(where, path.parent, header, cells, names)
        except InputError as error:
            problems.append(str(error))
            continue
        if row.slide_id in rows:
            problems.append(f"{where}: slide_id {row.slide_id!r} is there twice; keep one of the rows")
        rows.setdefault(row.slide_id, row)
    problems += differ_in_case([row.slide_id for row in rows.values()], f"{path}: slide_id")
    problems += differ_in_case([row.patient for row in rows.values()], f"{path}: patient")
    _complain(path, problems)
    if not rows:
        message = f"{path}: no slides below the header"
        raise InputError(message)
    return list(rows.values())


def slide_sheet_said(path: str | Path, columns: Mapping[str, str] | None = None) -> list[str]:
    """How a sheet is read where that is not as expected, counted, a line each; nothing where there is no sheet."""
    path = Path(path)
    if not path.exists():
        return []
    sheet = read_sheet(path)
    name = (columns or {}).get("mpp", "mpp")
    at = sheet.header.index(name) if name in sheet.header else None
    cells = [] if at is None else [cells[at] for _, cells in sheet.rows if at < len(cells)]
    commas = sum(DECIMAL_COMMA.fullmatch(cell) is not None for cell in cells)
    told = [f"{name}: {commas} decimal commas read as points"] if commas else []
    return [f"{path}: {what}" for what in (*sheet.said, *told)]


def _column_names(path: Path, header: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Our name -> the sheet's, for the columns that are there."""
    if unknown := sorted(columns.keys() - set(OURS)):
        message = f"columns of {path}: unknown {', '.join(unknown)}; allowed are {', '.join(OURS)}"
        raise ConfigError(message)
    names = {name: columns.get(name, name) for name in OURS}
    required = {"slide_id", "patient"} | columns.keys()
    missing = [names[name] for name in OURS if name in required and names[name] not in header]
    if missing:
        hint = "" if len(header) > 1 else "; is the delimiter a tab (or a comma in a .csv)?"
        message = f"{path}: no column {', '.join(missing)}; it has {', '.join(header)}{hint}"
        raise InputError(message)
    return {name: theirs for name, theirs in names.items() if theirs in header}


def _row(where: str, folder: Path, header: Sequence[str], cells: Sequence[str], names: Mapping[str, str]) -> SlideRow:
    if len(cells) != len(header):
        message = f"{where}: {len(cells)} cells where the header has {len(header)} columns"
        raise InputError(message)
    values = dict(zip(header, cells, strict=True))
    ours = {name: values[theirs] for name, theirs in names.items()}
    for name in ("slide_id", "patient"):
        if is_unknown(ours[name]):
            said = f"{ours[name]!r}: no name{', it cannot be a file name' if name == 'slide_id' else ''}"
            message = f"{where}: {names[name]} is {said if ours[name] else 'empty'}"
            raise InputError(message)
    slide = ours.get("path", "")
    return SlideRow(
        slide_id=check_file_name(ours["slide_id"], what="slide_id", where=where),
        patient=ours["patient"],
        path=folder / slide if slide else None,
        mpp=_mpp(where, ours.get("mpp", "")),
        overrides=_overrides(where, values),
    )


def _mpp(where: str, text: str) -> float | None:
    if is_unknown(text):
        return None
    try:
        mpp = float(text.replace(",", ".") if DECIMAL_COMMA.fullmatch(text) else text)
    except ValueError:
        mpp = float("nan")
    low, high = PLAUSIBLE_MPP
    if not low <= mpp <= high:
        message = f"{where}: mpp {text!r} is not between {low:g} and {high:g} um/px (40x is usually 0.25)"
        raise InputError(message)
    return mpp


def _overrides(where: str, values: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for column, text in values.items():
        if column.startswith(OVERRIDE) and text:
            key = column.removeprefix(OVERRIDE)
            found[key] = text if key == "preset" else _json(where, column, text)
    try:
        segmentation_from({}, found)
    except (ConfigError, TypeError) as error:
        message = f"{where}: {error}"
        raise InputError(message) from error
    return found


def _json(where: str, column: str, text: str) -> Any:
    try:
        value = json.loads(text.lower())
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, (int, float)):
        message = f"{where}: {column} {text!r} is neither a number nor true or false"
        raise InputError(message)
    return value


def _complain(path: Path, problems: Sequence[str]) -> None:
    if not problems:
        return
    more = len(problems) - SHOWN_PROBLEMS
    tail = [f"... and {more} more lines of {path} like these"] if more > 0 else []
    raise InputError("\n".join([*problems[:SHOWN_PROBLEMS], *tail]))
