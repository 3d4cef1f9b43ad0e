"""Sheets as people have them: separators, encodings, Excel files and cBioPortal's exports, recognised and said.

Read by the Snakefile too, so free of pandas. What could be meant in two ways is refused by name.
"""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mirrorflow.config.cells import lines_of, rows_of
from mirrorflow.errors import InputError
from mirrorflow.store.excel import EXCEL, read_excel
from mirrorflow.store.text_files import decoded, read_bytes

NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons"}
COMMENT = "#"
"""Begins the lines above the header of cBioPortal's exports."""
FALLBACK = "cp1252"
Rows = list[tuple[int, list[str]]]


@dataclass(frozen=True)
class Sheet:
    """Header and rows, each with the number of its line; said: what was recognised that nobody wrote down."""

    header: list[str]
    rows: Rows
    said: tuple[str, ...] = ()


def read_sheet(path: str | Path, missing: str = "check the path in the config") -> Sheet:
    """A sheet of text (tabs, commas or semicolons; UTF-8 or Windows-1252; lines of # above its header) or of Excel.

    missing: the fix where the file is not there. Empty lines are left out, short ones filled up. Raises InputError for
    what is no sheet, for a line with more cells than the header, and for a separator that could be either of two.
    """
    path = Path(path)
    if path.suffix.lower() in EXCEL:
        rows = read_excel(path)
        said = [f"read as Excel: {len(rows) - 1} rows"]
    else:
        text, said = _text_of(read_bytes(path, missing), str(path))
        lines = lines_of(text)
        above = next((at for at, line in enumerate(lines) if not line.startswith(COMMENT)), 0)
        said += [f"{above} lines of # above the header left out"] if above else []
        delimiter = _delimiter(lines[above:], path)
        rows = list(rows_of([*[""] * above, *lines[above:]], delimiter, str(path)))
        said += [f"separated by {NAMES[delimiter]}"] if delimiter != expected_of(path) else []
    filled = [(number, [cell.strip() for cell in cells]) for number, cells in rows if any(map(str.strip, cells))]
    if not filled:
        message = f"{path}: the sheet is empty; it needs a header and a row for each slide or patient"
        raise InputError(message)
    return Sheet(filled[0][1], [(number, cells) for number, cells in filled[1:]], tuple(said))


def require_once(header: Sequence[str], path: str | Path) -> None:
    """Raise InputError for a column that is named twice: which of the two is meant, nobody can tell."""
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        message = f"{path}: columns named twice: {', '.join(twice)}; rename one of each"
        raise InputError(message)


def expected_of(path: Path) -> str:
    """The separator that a file's ending says."""
    return "," if path.name.removesuffix(".gz").lower().endswith(".csv") else "\t"


def _text_of(data: bytes, where: str) -> tuple[str, list[str]]:
    """Text in UTF-8, else in Windows-1252, and what is to be said of it. Raises InputError for other encodings."""
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
            return decoded(data, where), []
    try:
        text = data.decode(FALLBACK)
    except UnicodeDecodeError:
        return decoded(data, where), []
    return text, [f"read as Windows-1252: {sum(byte > 127 for byte in data)} letters beyond ASCII"]


def _delimiter(lines: Sequence[str], path: Path) -> str:
    """What separates the cells: what the ending says where that splits the header, else the one that does."""
    header, expected = next((line for line in lines if line.strip()), ""), expected_of(path)
    splitting = [one for one in NAMES if one in header]
    if len(splitting) < 2:
        return splitting[0] if splitting else expected
    whole = [one for one in splitting if _splits_alike(lines, one, str(path))]
    if expected in whole:
        return expected
    if len(whole) == 1:
        return whole[0]
    if not whole:
        return expected
    message = (
        f"{path}: its header {header[:60]!r} can be separated by {' or '.join(NAMES[one] for one in whole)}; save it "
        "with one separator that no cell holds"
    )
    raise InputError(message)


def _splits_alike(lines: Sequence[str], delimiter: str, where: str) -> bool:
    """Whether a separator gives every line as many cells as the header."""
    try:
        counts = {len(cells) for _, cells in rows_of(lines, delimiter, where) if any(cells)}
    except InputError:
        return False
    return len(counts) == 1
