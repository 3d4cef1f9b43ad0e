"""Expression matrices as parquet, of either orientation, as pandas or polars write them."""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mirrorflow.errors import InputError
from mirrorflow.expression.matrix import GENES_AT_ONCE, Chunk
from mirrorflow.expression.no_genes import ANNOTATION
from mirrorflow.expression.parquet_reading import reading_parquet

VALUES_AT_ONCE, LEAST_ROWS = 16_000_000, 64
"""Values of a batch, and rows of it at least: memory stays bounded with very many samples."""
FIX = "fetch or write the matrix again"


class ParquetTable:
    """A parquet file with one column of ids (strings; the first such, or pandas' index) and numbers."""

    def __init__(self, file: pq.ParquetFile, where: str) -> None:
        self.file, self.where = file, where
        schema = file.schema_arrow
        texts = [field.name for field in schema if _is_text(field.type) and field.name not in ANNOTATION]
        if len(texts) != 1:
            found = ", ".join(texts[:5]) or "none"
            message = f"{where}: needs exactly one text column, the ids; found {len(texts)} ({found})"
            raise InputError(message)
        self.id_column = texts[0]
        self.columns = [name for name in schema.names if name not in ANNOTATION | {self.id_column}]
        if bad := [name for name in self.columns if not _is_number(schema.field(name).type)]:
            message = f"{where}: columns hold no numbers: {', '.join(bad[:3])} ({schema.field(bad[0]).type})"
            raise InputError(message)

    def ids(self) -> list[str]:
        """The ids of all rows; one that is missing is "", as in text."""
        return [name or "" for name in self.read([self.id_column]).column(0).to_pylist()]

    def read(self, names: Sequence[str]) -> pa.Table:
        """Whole columns. Raises InputError where the file is damaged there."""
        with reading_parquet(self.where, FIX):
            return self.file.read(list(names))

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Columns, some rows at a time. Raises InputError where the file is damaged there."""
        rows = max(LEAST_ROWS, min(GENES_AT_ONCE, VALUES_AT_ONCE // len(names)))
        with reading_parquet(self.where, FIX):
            batches = self.file.iter_batches(rows, columns=list(names))
        while True:
            with reading_parquet(self.where, FIX):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


class ParquetGenesBySamples:
    """Rows are genes, columns are samples."""

    def __init__(self, table: ParquetTable) -> None:
        self.table, self.samples = table, table.columns

    def chunks(self, positions: Sequence[int]) -> Iterator[Chunk]:
        """See :class:`~mirrorflow.expression.matrix.Matrix`."""
        names = [self.samples[position] for position in positions]
        for batch in self.table.batches([self.table.id_column, *names]):
            values = np.stack([_numbers(column) for column in batch.columns[1:]]).T
            yield batch.column(self.table.id_column).to_pylist(), values


class ParquetSamplesByGenes:
    """Rows are samples, columns are genes: read some columns at a time."""

    def __init__(self, table: ParquetTable) -> None:
        self.table, self.samples = table, table.ids()

    def chunks(self, positions: Sequence[int]) -> Iterator[Chunk]:
        """See :class:`~mirrorflow.expression.matrix.Matrix`."""
        rows = list(positions)
        for start in range(0, len(self.table.columns), GENES_AT_ONCE):
            genes = self.table.columns[start : start + GENES_AT_ONCE]
            part = self.table.read(genes)
            yield genes, np.stack([_numbers(part.column(gene))[rows] for gene in genes])


def _numbers(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    values = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
    return np.asarray(values, dtype=np.float32)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)
