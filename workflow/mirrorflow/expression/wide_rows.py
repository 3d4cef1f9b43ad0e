"""Rows of a delimited matrix read line by line: few rows of very many columns, and every word for unknown.

Arrow keeps its words for unknown once for each column: with all of them some 0.4 MB, so that 20,000 columns took 8 GB.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mirrorflow.config.cells import QUOTE, rows_of
from mirrorflow.config.unknown import is_unknown
from mirrorflow.errors import InputError

CELLS_AT_ONCE = 4_000_000
"""Values of a chunk: 16 MB."""
COMMA_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*,\d+([.,]\d+)*(e[+-]?\d+)?", re.IGNORECASE)


class WideRows:
    """Reads lines below a header; columns: its names, without that of the ids; where: for messages.

    Raises InputError naming line, row, column and value of what is no number, and a line of another length.
    """

    def __init__(self, columns: Sequence[str], delimiter: str, where: str, header_line: int) -> None:
        self.columns, self.delimiter, self.where, self.header_line = columns, delimiter, where, header_line

    def chunks(
        self, lines: Iterable[str], positions: Sequence[int], skip: int
    ) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Ids and values [row, column at ``positions``] of the ``lines`` below the header, ``skip`` rows left out."""
        rows = islice(self._rows(lines), skip, None)
        at_once = max(1, CELLS_AT_ONCE // max(1, len(positions)))
        read = ((cells[0].strip(), self._values(number, cells, positions)) for number, cells in rows)
        while part := list(islice(read, at_once)):
            yield [name for name, _ in part], np.stack([values for _, values in part])

    def _rows(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """Number and cells of each line that is not empty."""
        for number, line in enumerate(lines, start=self.header_line + 1):
            text = line.rstrip("\r\n")
            if not text:
                continue
            cells = self._quoted(text, number) if QUOTE in text else text.split(self.delimiter)
            if len(cells) != len(self.columns) + 1:
                message = (
                    f"{self.where}, line {number}: {len(cells)} cells. The header has {len(self.columns) + 1} columns "
                    f"(delimiter {self.delimiter!r}): every row needs as many"
                )
                raise InputError(message)
            yield number, cells

    def _quoted(self, text: str, number: int) -> list[str]:
        try:
            return next(rows_of([text], self.delimiter, self.where))[1]
        except InputError as error:  # it counts its lines from one
            message = str(error).replace("line 1:", f"line {number}:", 1)
            raise InputError(message) from error

    def _values(self, number: int, cells: Sequence[str], positions: Sequence[int]) -> NDArray[np.float32]:
        try:
            if not any("_" in cell for cell in cells[1:]):  # to Python 1_0 is a number
                return np.fromiter((float(cells[place + 1]) for place in positions), np.float32, len(positions))
        except ValueError:
            pass
        return np.fromiter((self._value(number, cells, place) for place in positions), np.float32, len(positions))

    def _value(self, number: int, cells: Sequence[str], place: int) -> float:
        cell = cells[place + 1]
        if is_unknown(cell):
            return np.nan
        try:
            if "_" not in cell:
                return float(cell)
        except ValueError:
            pass
        message = (
            f"{self.where}, line {number}: row {cells[0]!r}, column {self.columns[place]!r} holds {cell!r}, "
            f"which is no number; {_fix(cell)}"
        )
        raise InputError(message)


def _fix(cell: str) -> str:
    if COMMA_NUMBER.fullmatch(cell.strip()):
        return "write the matrix with decimal points, and nothing between thousands"
    return "correct it or leave it empty (NaN)"
