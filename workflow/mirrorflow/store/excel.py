"""Sheets of Excel, through openpyxl, which is installed on request."""

import datetime
import re
import zipfile
from pathlib import Path
from typing import Any

from mirrorflow.errors import InputError

EXCEL = (".xlsx", ".xlsm", ".xls")
EXTRA = "pip install 'mirrorflow[excel]'"
SHOWN = 5
FORMULA = re.compile(rb"<(\w+:)?f[\s/>]")
"""The element of a formula in a worksheet's XML."""
EMPTY_TEXT = "str"
"""Type of a cell without a value whose formula gave a text: the empty one."""


def read_excel(path: Path) -> list[tuple[int, list[str]]]:
    """Rows of the one worksheet that holds any, each with its number; dates as 2020-02-01, whole numbers without a
    point.

    Raises InputError where openpyxl is not installed, for Excel's old format, for a file that is something else, for
    several worksheets, and for formulas whose value the file does not hold.
    """
    if not path.is_file():
        message = f"{path}: not there; check the path in the config"
        raise InputError(message)
    if path.suffix.lower() == ".xls":
        message = f"{path}: Excel's old format; save it as .xlsx or as CSV UTF-8"
        raise InputError(message)
    book = _opened(path)
    try:
        sheets = {one.title: [list(row) for row in one.iter_rows(values_only=True)] for one in book.worksheets}
    finally:
        book.close()
    filled = {name: rows for name, rows in sheets.items() if any(cell is not None for row in rows for cell in row)}
    if len(filled) != 1:
        named = ", ".join(map(repr, filled)) or "none"
        message = (
            f"{path}: {len(filled)} worksheets hold something ({named}); keep one in the file, or save it as CSV UTF-8"
        )
        raise InputError(message)
    ((name, rows),) = filled.items()
    if _has_formulas(path):
        _require_values(path, name)
    width = max(map(len, rows))
    return [(number, [*map(as_text, row), *[""] * (width - len(row))]) for number, row in enumerate(rows, start=1)]


def _has_formulas(path: Path) -> bool:
    """Whether any part of the workbook has a formula: most have none, and reading cells twice takes seconds."""
    with zipfile.ZipFile(path) as book:
        names = [name for name in book.namelist() if "worksheets/" in name and name.endswith(".xml")]
        return any(FORMULA.search(book.read(name)) for name in names)


def _require_values(path: Path, name: str) -> None:
    """Raise InputError naming formulas without a value: a program wrote them, and none that computes saved them since.

    A formula whose value is an empty text is known to be empty.
    """
    values, formulas = _opened(path), _opened(path, values=False)
    try:
        pairs = zip(values[name].iter_rows(), formulas[name].iter_rows(), strict=True)
        cells = (both for rows in pairs for both in zip(*rows, strict=True))
        bare = [
            formula.coordinate
            for value, formula in cells
            if formula.data_type == "f" and value.value is None and value.data_type != EMPTY_TEXT
        ]
    finally:
        values.close()
        formulas.close()
    if bare:
        message = (
            f"{path}: {len(bare)} formulas without a value ({', '.join(bare[:SHOWN])}), which would be empty; open the "
            "file in Excel or LibreOffice and save it, or save it as CSV UTF-8"
        )
        raise InputError(message)


def _opened(path: Path, *, values: bool = True) -> Any:
    """The workbook with the values of its formulas, or with the formulas.

    Its worksheets are read to their end, each row to its last cell, whatever size the file states: openpyxl trusts it,
    and programs that write cell by cell state A1.
    """
    try:
        import openpyxl
    except ImportError:
        message = f"{path}: an Excel file needs openpyxl: {EXTRA}; or save the sheet as CSV UTF-8"
        raise InputError(message) from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=values)
    except Exception as error:  # zipfile, XML and openpyxl's own: whatever makes it no workbook
        message = (
            f"{path}: not readable as an Excel file ({type(error).__name__}: {error}); save it again, or as CSV UTF-8"
        )
        raise InputError(message) from error
    for sheet in book.worksheets:
        sheet.reset_dimensions()
    return book


def as_text(cell: object) -> str:
    """A cell as a text sheet would have it."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(int(cell))
    if isinstance(cell, datetime.datetime):
        return cell.date().isoformat() if cell.time() == datetime.time() else cell.isoformat(" ")
    if isinstance(cell, datetime.date):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
