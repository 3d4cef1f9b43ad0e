"""Status files of shards and the ledger of a cohort: TSV, one row a slide."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mirrorflow.config.cells import lines_of, mappings_of, rows_of
from mirrorflow.errors import InputError
from mirrorflow.runtime.files import written_whole
from mirrorflow.store.text_files import read_text_file

STATUSES = ("ok", "no_tissue", "failed")
"""From best to worst."""

PATCH_COLUMNS = (
    "slide_id", "patient", "status", "reason", "mpp", "mpp_source", "width", "height", "levels", "patches",
    "seconds",
)  # fmt: skip
FEATURE_COLUMNS = ("slide_id", "status", "reason", "patches", "unreadable", "seconds")
LEDGER_COLUMNS = (
    "slide_id", "patient", "status", "reason", "mpp", "mpp_source", "width", "height", "levels", "patches",
    "unreadable", "seconds",
)  # fmt: skip
INDEX_COLUMNS = ("slide_id", "patient", "path", "patches", "dim", "status", "reason", "content", "outline")

BREAKS = re.compile(r"\s*[\t\r\n]\s*")
"""What a cell cannot hold, with the blanks around it. Other blanks, full-width ones too, belong to names and paths."""


def write_rows(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write ``rows`` as TSV, whole or not at all; tabs and line breaks in cells become blanks, all else stays."""
    with written_whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(row.get(column, "")) for column in columns])


def read_rows(path: str | Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Rows of a TSV that has at least ``columns``. Raises InputError naming those it lacks."""
    path = Path(path)
    rows = list(rows_of(lines_of(read_text_file(path, "no such file")), "\t", str(path)))
    header = rows[0][1] if rows else []
    if missing := [column for column in columns if column not in header]:
        message = f"{path}: no column {', '.join(missing)}; it has {', '.join(header) or 'nothing'}"
        raise InputError(message)
    return mappings_of(rows)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return BREAKS.sub(" ", str(value).strip("\t\r\n"))
