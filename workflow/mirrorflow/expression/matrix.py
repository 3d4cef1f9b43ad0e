"""Expression matrices as text, streamed: a few rows at a time, whatever the size of the file.

Either orientation, tabs, commas or semicolons. A matrix is asked for its samples first and then for chunks
of genes: pairs of ids [gene] and values [gene, sample asked for] float32, NaN where a cell is empty or says so.
"""

import codecs
import io
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import IO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
from numpy.typing import NDArray

from mirrorflow.config.cells import rows_of
from mirrorflow.errors import InputError
from mirrorflow.expression.closed_quotes import ClosedQuotes
from mirrorflow.expression.wide_rows import WideRows

Chunk = tuple[list[str], NDArray[np.float32]]

DELIMITERS = ("\t", ",", ";")
MISSING = ["", "NA", "NaN", "nan", "N/A", "n/a", "NULL", "null", "None", "-"]
"""The usual words for unknown. Arrow keeps them for each column, so that all of them would cost 0.4 MB a column."""

WIDE = 20_000
"""Columns up to which Arrow reads: it takes some 10 kB for each."""

CHUNK_BYTES = 32 << 20
GENES_AT_ONCE = 4096
FIELDS = re.compile(r"Expected (\d+) columns, got (\d+)")
AS_UTF8 = "save it as UTF-8 (in Excel: CSV UTF-8)"
COMMENT = "# "
"""How featureCounts' first line begins, above its header."""

CR = "\r"
"""Within a line it ends one, in files of old Macs: neither Arrow nor Python's csv reads them."""

BAD_CELL = re.compile(r"CSV column #(\d+): Row #(\d+): CSV conversion error to \w+: invalid value '(.*)'", re.DOTALL)


class NoNumberError(Exception):
    """Arrow met a cell that is no number to it."""


class Matrix(Protocol):
    """What a source of expression can be asked, whatever its format and orientation."""

    samples: list[str]

    def chunks(self, positions: Sequence[int]) -> Iterator[Chunk]:
        """All genes, a chunk at a time, of the samples at ``positions`` (ascending)."""
        ...


class TextTable:
    """A delimited file with a header and ids in its first column.

    open_stream: opens the (decompressed) bytes from their start; where: the file's name for messages.
    Raises InputError for a header that no known delimiter splits, for a quote that swallows lines, and for lines that
    end with CR alone.
    """

    def __init__(self, open_stream: Callable[[], pa.NativeFile], where: str) -> None:
        self.open_stream, self.where = open_stream, where
        header = self._first_line()
        self.delimiter = sniff_delimiter(header, where)
        ((_, fields),) = rows_of([header], self.delimiter, where)
        self.columns = [field.strip() for field in fields[1:]]

    def batches(self, positions: Sequence[int]) -> Iterator[Chunk]:
        """Ids and values [row, column at ``positions``] of consecutive rows.

        Arrow reads them, up to the first cell that it takes for no number: rarer words for unknown, and very many
        columns, are for :class:`WideRows`.
        """
        done = 0
        if len(positions) <= WIDE:
            try:
                for ids, values in self._arrow_batches(positions):
                    yield ids, values
                    done += len(ids)
            except NoNumberError:
                pass
            else:
                return
        try:
            with (
                self.open_stream() as stream,
                io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8-sig") as text,
            ):
                lines = islice(text, self.header_line, None)
                yield from WideRows(self.columns, self.delimiter, self.where, self.header_line).chunks(
                    lines, positions, done
                )
        except UnicodeDecodeError as error:
            message = f"{self.where}: invalid UTF8 in it ({error}); {AS_UTF8}"
            raise InputError(message) from error
        except OSError as error:
            raise InputError(damaged(self.where, error)) from error

    def _arrow_batches(self, positions: Sequence[int]) -> Iterator[Chunk]:
        """As Arrow reads them. Raises NoNumberError at a cell that it takes for none."""
        types = {"id": pa.string()} | {str(position): pa.float32() for position in positions}
        read = pacsv.ReadOptions(
            column_names=["id", *map(str, range(len(self.columns)))],
            skip_rows=self.header_line,
            block_size=self._block_bytes(),
            use_threads=False,
        )
        convert = pacsv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=MISSING, strings_can_be_null=False
        )
        parse = pacsv.ParseOptions(delimiter=self.delimiter)
        try:
            with self.open_stream() as stream:
                closed = ClosedQuotes(stream, self.delimiter, self.where)
                for batch in pacsv.open_csv(closed, read, parse, convert):
                    yield self._chunk(batch)
        except pa.ArrowInvalid as error:
            if BAD_CELL.search(str(error)):
                raise NoNumberError from error
            raise InputError(self._explained(str(error))) from error
        except OSError as error:
            raise InputError(damaged(self.where, error)) from error

    def _chunk(self, batch: pa.RecordBatch) -> Chunk:
        values = np.empty((batch.num_rows, batch.num_columns - 1), np.float32)
        for column in range(1, batch.num_columns):
            values[:, column - 1] = batch.column(column).to_numpy(zero_copy_only=False)
        return [name.strip() for name in batch.column(0).to_pylist()], values

    def _block_bytes(self) -> int:
        """A block has to hold a whole row; numbers take up to some 24 characters."""
        return max(CHUNK_BYTES, 32 * len(self.columns))

    def _first_line(self) -> str:
        try:
            with self.open_stream() as stream:
                lines = map(_decoded, io.BufferedReader(stream))
                self.header_line, text = next(
                    ((at, line) for at, line in enumerate(lines, 1) if CR in line or not line.startswith(COMMENT)),
                    (1, ""),
                )
        except OSError as error:
            raise InputError(damaged(self.where, error)) from error
        except UnicodeDecodeError as error:
            raise InputError(no_utf8(self.where, error.object)) from error
        if "\0" in text:
            raise InputError(no_utf8(self.where, text.encode()))
        if CR in text:
            message = f"{self.where}: lines end with CR alone; save it with LF or CRLF (in Excel: CSV UTF-8)"
            raise InputError(message)
        return text

    def _explained(self, error: str) -> str:
        """Arrow's message in the terms of the matrix."""
        if "UTF8" in error:
            return f"{self.where}: {error.strip()[:200]}; {AS_UTF8}"
        return (
            f"{self.where}: {error.strip()[:200]}. The header has {len(self.columns) + 1} columns "
            f"(delimiter {self.delimiter!r}): every row needs as many{_one_short(error)}"
        )


class GenesBySamples:
    """Rows are genes, columns are samples: Xena's orientation."""

    def __init__(self, table: TextTable) -> None:
        self.table, self.samples = table, table.columns

    def chunks(self, positions: Sequence[int]) -> Iterator[Chunk]:
        """See :class:`Matrix`."""
        return self.table.batches(positions)


class SamplesByGenes:
    """Rows are samples, columns are genes; turned around through ``scratch``, a file on disk."""

    def __init__(self, table: TextTable, scratch: IO[bytes]) -> None:
        self.scratch, self.genes = scratch, table.columns
        self.samples: list[str] = []
        for names, values in table.batches(range(len(self.genes))):
            self.samples += names
            values.tofile(scratch)
        scratch.flush()

    def chunks(self, positions: Sequence[int]) -> Iterator[Chunk]:
        """See :class:`Matrix`."""
        if not self.samples:
            return
        shape = (len(self.samples), len(self.genes))
        values: np.memmap = np.memmap(self.scratch, dtype=np.float32, mode="r", shape=shape)
        for start in range(0, len(self.genes), GENES_AT_ONCE):
            part = slice(start, start + GENES_AT_ONCE)
            yield self.genes[part], np.ascontiguousarray(values[list(positions), part].T)


def _decoded(line: bytes) -> str:
    return line.decode("utf-8-sig").rstrip("\r\n")


def no_utf8(where: str, line: bytes) -> str:
    """What to tell of a header that is not in UTF-8: of text in another encoding, or of no text at all."""
    if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or 2 * line.count(0) > len(line) - 2:
        return f"{where}: text in UTF-16; {AS_UTF8}"
    if any(byte < 32 and byte not in b"\t\r\n" for byte in line):
        return f"{where}: not a text table (nor gzip, nor parquet)"
    return f"{where}: its header is not in UTF-8 (is it Windows-1252?); {AS_UTF8}"


def sniff_delimiter(header: str, where: str) -> str:
    """The delimiter that splits ``header`` into the most fields. Raises InputError when none does."""
    best = max(DELIMITERS, key=header.count)
    if header.count(best) == 0:
        message = (
            f"{where}: the header has a single column, {header[:60]!r}; "
            "a matrix has one column a sample (or gene), separated by tabs, commas or semicolons"
        )
        raise InputError(message)
    return best


def _one_short(error: str) -> str:
    """What to do where rows have just one field more than the header."""
    found = FIELDS.search(error)
    if found is None or int(found[2]) != int(found[1]) + 1:
        return ""
    return (
        ". Rows have one more: the header lacks the name of the column of ids "
        "(R's write.table leaves it out; col.names = NA writes an empty one)"
    )


def require_no_infinity(ids: Sequence[str], values: NDArray[np.float32], samples: Sequence[str], where: str) -> None:
    """Raise InputError naming gene and sample where ``values`` [gene, sample] hold infinity: a logarithm of 0."""
    infinite = np.isinf(values)
    if infinite.any():
        gene, sample = np.argwhere(infinite)[0]
        message = (
            f"{where}: gene {ids[gene]!r}, sample {samples[sample]!r} holds {values[gene, sample]:g} "
            f"({int(infinite.sum())} values like it in this part). Is it the logarithm of 0, or beyond 3.4e38? Add a "
            "pseudo-count before the logarithm, or leave the cell empty (NaN)"
        )
        raise InputError(message)


def damaged(where: str, error: OSError) -> str:
    """What to tell of a file that ends, or breaks, while it is read."""
    return f"{where}: cannot be read to its end ({error}); it is truncated or damaged: fetch it again"
