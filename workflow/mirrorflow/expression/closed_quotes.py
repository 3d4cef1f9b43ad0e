"""A stream of a delimited text that stops at a quote which its line does not close, before a reader swallows lines."""

import io
from typing import Protocol

from mirrorflow.config.cells import QUOTE, require_closed

MARK = QUOTE.encode()


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, none at the end."""
        ...


class ClosedQuotes(io.RawIOBase):
    """The bytes of ``stream``, as they are. Text without a quote costs a count of its lines.

    Reading raises InputError as :func:`~mirrorflow.config.cells.require_closed`, naming the line.
    """

    def __init__(self, stream: Readable, delimiter: str, where: str) -> None:
        self.stream, self.delimiter, self.where = stream, delimiter, where
        self.line, self.rest = 0, b""

    def readable(self) -> bool:
        """True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """As the stream's own."""
        data = self.stream.read(size)
        self._look_at(data, last=not data)
        return data

    def _look_at(self, data: bytes, *, last: bool) -> None:
        """Check the lines that ``data`` ends; the last one waits for its end."""
        whole, _, rest = data.rpartition(b"\n") if not last else (b"", b"", b"")
        ended = not last and len(whole) + len(rest) < len(data)
        if not (ended or last):
            self.rest += data
            return
        block = self.rest + whole
        if MARK in block:
            for number, line in enumerate(block.split(b"\n"), start=self.line + 1):
                self._require_closed(line, number)
        self.line += block.count(b"\n") + 1
        self.rest = rest

    def _require_closed(self, line: bytes, number: int) -> None:
        if MARK in line:
            require_closed(line.decode(errors="replace").rstrip("\r"), self.delimiter, self.where, number)
