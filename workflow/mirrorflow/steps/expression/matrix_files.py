"""Expression matrices and maps of ids as files: opened in whatever format they are."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mirrorflow.errors import InputError
from mirrorflow.expression.identifiers import read_probemap
from mirrorflow.expression.matrix import GenesBySamples, Matrix, SamplesByGenes, TextTable, damaged
from mirrorflow.expression.parquet_matrix import FIX, ParquetGenesBySamples, ParquetSamplesByGenes, ParquetTable
from mirrorflow.expression.parquet_reading import reading_parquet

OTHERS = {
    b"\x89HDF": "an HDF5 file (h5ad?), not a matrix; save it as parquet: adata.to_df().T.to_parquet('matrix.parquet')",
    b"PK\x03\x04": "an Excel or zip file, not a matrix; save the sheet as tab-separated text, or unpack the archive",
}
"""First bytes of files that people have expression in and that are not read, and what to do with them."""


@contextmanager
def opened_matrix(matrix: Path, orientation: str, scratch_folder: Path) -> Iterator[Matrix]:
    """The matrix in whatever format it is; a scratch file on disk turns samples x genes around.

    Raises InputError for what is no matrix, with the way to make one of it.
    """
    turned, magic = orientation == "samples_by_genes", magic_of(matrix)
    if magic in OTHERS:
        message = f"{matrix}: {OTHERS[magic]}"
        raise InputError(message)
    if magic == b"PAR1":
        with reading_parquet(str(matrix), FIX):
            opened = pq.ParquetFile(matrix)
        with opened as file:
            table = ParquetTable(file, str(matrix))
            yield ParquetSamplesByGenes(table) if turned else ParquetGenesBySamples(table)
        return
    text = TextTable(lambda: stream_of(matrix), str(matrix))
    if not turned:
        yield GenesBySamples(text)
        return
    scratch_folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=scratch_folder) as scratch:
        yield SamplesByGenes(text, scratch)


def magic_of(path: Path) -> bytes:
    """The first bytes of a file. Raises InputError where it is not there."""
    if not path.is_file():
        what = "a folder; name the matrix in it" if path.is_dir() else "no such file; give the expression matrix"
        message = f"{path}: {what} in expression.sources.<name>.matrix"
        raise InputError(message)
    with path.open("rb") as stream:
        return stream.read(4)


def stream_of(path: Path) -> pa.NativeFile:
    """Bytes of a file, unpacked."""
    return pa.input_stream(str(path), compression="gzip" if magic_of(path)[:2] == b"\x1f\x8b" else None)


def read_probemap_file(path: Path) -> dict[str, str]:
    """Symbols by id of a probe map, packed or not. Raises InputError as ``read_probemap``."""
    try:
        with stream_of(path) as stream:
            return read_probemap(stream, str(path))
    except OSError as error:
        raise InputError(damaged(str(path), error)) from error
