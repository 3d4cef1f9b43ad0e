"""Lines of a delimited text as cells: a quote that its line does not close is refused, since it swallows lines.

Quotes are read as everywhere (RFC 4180): a cell that begins with ``"`` ends at the next single ``"``, be it lines
below. Such a cell is never meant where one line is one patient, slide or gene.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence

from mirrorflow.errors import InputError

LINE_END = re.compile(r"\r\n|\n|\r")
QUOTE = '"'


def lines_of(text: str) -> list[str]:
    """Lines of a text, as every spreadsheet counts them; other marks (a form feed) are part of a cell."""
    lines = LINE_END.split(text.removeprefix("\ufeff"))
    return lines[:-1] if lines[-1] == "" else lines


def rows_of(lines: Iterable[str], delimiter: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Number (from 1) and cells of each line, the empty ones too. Raises InputError as :func:`require_closed`."""
    for number, line in enumerate(lines, start=1):
        require_closed(line, delimiter, where, number)
        yield number, next(csv.reader([line], delimiter=delimiter), [])


def mappings_of(rows: Sequence[tuple[int, list[str]]]) -> list[dict[str, str]]:
    """Rows below the header as mappings of its names to their cells, "" where a line is too short."""
    if not rows:
        return []
    header, body = rows[0][1], [cells for _, cells in rows[1:] if any(cells)]
    return [dict(zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=False)) for cells in body]


def require_closed(line: str, delimiter: str, where: str, number: int) -> None:
    """Raise InputError where a cell of the line goes on in the next one, or, in a file of tabs, holds one.

    number: of the line, for the message.
    """
    if QUOTE not in line:
        return
    try:
        reader = csv.reader([line + "\n", "\n"], delimiter=delimiter)
        cells = next(reader)
    except csv.Error as error:
        message = f"{where}, line {number}: {error}"
        raise InputError(message) from error
    if reader.line_num > 1:
        message = f"{where}, line {number}: {_swallows_lines(cells)}"
        raise InputError(message)
    if delimiter == "\t" and (swallowed := [cell for cell in cells if "\t" in cell]):
        message = (
            f"{where}, line {number}: the cell {swallowed[0][:30]!r} is in quotes and holds a tab, so that it would "
            "swallow the cells beside it; take the quotes or the tab away"
        )
        raise InputError(message)


def _swallows_lines(cells: Sequence[str]) -> str:
    opened = next((cell for cell in reversed(cells) if "\n" in cell), cells[-1])
    return (
        f'the cell that begins with "{opened.strip()[:30]} opens with a quote that its line does not close, so that it '
        "would swallow the lines below. A cell holds no line break: take the quote or the line break away"
    )


def require_all_closed(text: str, delimiter: str, where: str) -> None:
    """As :func:`require_closed`, for every line of a text."""
    if QUOTE in text:
        for number, line in enumerate(lines_of(text), start=1):
            require_closed(line, delimiter, where, number)
