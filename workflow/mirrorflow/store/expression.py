"""``<store>/expression/<source>/<cohort>.parquet``: one row a gene or transcript, one column a patient.

Columns ``id`` (as in the source), ``gene`` (symbol), then float32 values by patient. The file's metadata
holds the settings, their digest and what was counted; ``<cohort>.parquet.json`` says the same to a reader.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mirrorflow.errors import InputError
from mirrorflow.expression.parquet_reading import reading_parquet
from mirrorflow.runtime.files import write_text
from mirrorflow.store.digest import canonical, digest
from mirrorflow.store.kept import GENES, Stamp, stamp_of

ROWS_A_GROUP = 8192
"""Small enough to read a few genes quickly, large enough to compress well."""

BYTES_A_GROUP = 128 << 20
"""Fewer rows a group where there are many patients, so that memory stays bounded."""

GENES_AT_ONCE = 1024
"""What :func:`gene_groups` hands out: whoever computes on it makes several copies."""

KEPT_BYTES, NAMES = 256 << 20, 256
"""Of genes that a process keeps (a fold's are one to ten MB), and of one's names."""

METADATA = "mirrorflow"
FIX = "delete it, the rule convert_expression makes it anew"


@dataclass(frozen=True)
class Expression:
    """values [patient, gene] float32 (NaN: not measured); ids and symbols one a gene."""

    values: NDArray[np.float32]
    patients: list[str]
    ids: list[str]
    symbols: list[str]


class ExpressionWriter:
    """Writes rows as they come, a group at a time; use as a context manager."""

    def __init__(self, path: Path, patients: Sequence[str]) -> None:
        columns = [("id", pa.string()), ("gene", pa.string()), *((name, pa.float32()) for name in patients)]
        self.schema = pa.schema(columns)
        self.writer = pq.ParquetWriter(path, self.schema, compression="zstd", use_dictionary=["gene"])
        self.rows_a_group = max(1, min(ROWS_A_GROUP, BYTES_A_GROUP // (4 * max(1, len(patients)))))
        self.waiting: list[tuple[list[str], list[str], NDArray[np.float32]]] = []

    def __enter__(self) -> "ExpressionWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def add(self, ids: list[str], symbols: list[str], values: NDArray[np.float32]) -> None:
        """Some rows: ``values`` [gene, patient]."""
        self.waiting.append((ids, symbols, values))
        if sum(len(rows[0]) for rows in self.waiting) >= self.rows_a_group:
            self._flush()

    def finish(self, settings: Mapping[str, Any], counts: Mapping[str, Any]) -> None:
        """Write what waits, and the record of how the file was made."""
        self._flush()
        self.writer.add_key_value_metadata({METADATA: json.dumps(_record(settings, counts))})

    def _flush(self) -> None:
        if not self.waiting:
            return
        ids = [name for rows in self.waiting for name in rows[0]]
        symbols = [name for rows in self.waiting for name in rows[1]]
        values = np.concatenate([rows[2] for rows in self.waiting])
        arrays = [pa.array(ids), pa.array(symbols), *map(pa.array, np.ascontiguousarray(values.T))]
        self.writer.write_table(pa.Table.from_arrays(arrays, schema=self.schema), row_group_size=len(ids))
        self.waiting = []


def _record(settings: Mapping[str, Any], counts: Mapping[str, Any]) -> dict[str, Any]:
    return {"settings": dict(settings), "digest": digest(settings), "counts": dict(counts)}


def read_record(path: str | Path) -> dict[str, Any]:
    """Settings, digest and counts of an expression file. Raises InputError when it is not one of ours."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
        return json.loads(metadata[METADATA.encode()])
    except (KeyError, ValueError, pa.ArrowException, OSError) as error:
        message = (
            f"{path}: no expression file of mirrorflow ({type(error).__name__}); "
            "delete it, the rule convert_expression makes it anew"
        )
        raise InputError(message) from error


def stored_settings(path: str | Path) -> str:
    """The settings a file was made with, as canonical JSON (see ``store.digest``)."""
    return canonical(read_record(path)["settings"])


def write_sidecar(path: str | Path) -> None:
    """``<path>.json``: the record in the file's metadata, for readers."""
    write_text(f"{path}.json", json.dumps(read_record(path), indent=2, sort_keys=True) + "\n")


def read_expression(
    path: str | Path, patients: Sequence[str] | None = None, genes: Sequence[str] | None = None
) -> Expression:
    """Values of ``patients`` and ``genes`` (ids), in the order asked; all of them in the file's order else.

    Only the columns and row groups that hold them are read; those few genes that cases ask for again and again are kept
    (:mod:`mirrorflow.store.kept`), and cannot be written to. Raises InputError naming three of those that the file
    lacks.
    """
    stamp = stamp_of(Path(path))
    with reading_parquet(str(path), FIX):
        if genes is None or stamp is None:
            return _read_expression(path, patients, genes)
        return _kept_expression(stamp, patients, genes)


def _kept_expression(stamp: Stamp, patients: Sequence[str] | None, genes: Sequence[str]) -> Expression:
    key, reader = (stamp, None if patients is None else tuple(patients), tuple(genes)), GENES.reader()
    found = GENES.get(key, reader)
    if found is None:
        found = _read_expression(stamp.path, patients, genes)
        found.values.flags.writeable = False
        if stamp_of(stamp.path) == stamp:
            GENES.keep(key, found, found.values.nbytes + NAMES * len(genes), reader, KEPT_BYTES)
    return replace(found, patients=list(found.patients), ids=list(found.ids), symbols=list(found.symbols))


def _read_expression(path: str | Path, patients: Sequence[str] | None, genes: Sequence[str] | None) -> Expression:
    file = pq.ParquetFile(path, memory_map=True)
    everyone = [name for name in file.schema_arrow.names if name not in ("id", "gene")]
    chosen = everyone if patients is None else list(patients)
    _require(chosen, everyone, "patients", path)
    names = file.read(["id", "gene"])
    ids, symbols = names.column(0).to_pylist(), names.column(1).to_pylist()
    wanted = list(range(len(ids))) if genes is None else _positions(genes, ids, path)
    values = np.empty((len(chosen), len(wanted)), np.float32)
    _fill(values, file, chosen, np.asarray(wanted, dtype=np.int64))
    return Expression(values, chosen, [ids[row] for row in wanted], [symbols[row] for row in wanted])


def read_names(path: str | Path) -> tuple[list[str], list[str], list[str]]:
    """Patients, ids and symbols of a file, without its values. Raises InputError where it is damaged."""
    with reading_parquet(str(path), FIX):
        file = pq.ParquetFile(path)
        names = file.read(["id", "gene"])
    patients = [name for name in file.schema_arrow.names if name not in ("id", "gene")]
    return patients, names.column(0).to_pylist(), names.column(1).to_pylist()


def gene_groups(path: str | Path, patients: Sequence[str]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
    """The whole file of ``patients``, :data:`GENES_AT_ONCE` genes at a time: ids, and values [gene, patient].

    Memory holds one row group (:data:`BYTES_A_GROUP`). Raises InputError as :func:`read_expression`.
    """
    with reading_parquet(str(path), FIX):
        file = pq.ParquetFile(path, memory_map=True)
    _require(patients, [name for name in file.schema_arrow.names if name not in ("id", "gene")], "patients", path)
    for group in range(file.num_row_groups):
        with reading_parquet(str(path), FIX):
            table = file.read_row_group(group, columns=["id", *patients])
        values = [table.column(patient).to_numpy() for patient in patients]
        ids, whole = table.column("id").to_pylist(), np.stack(values, axis=1).astype(np.float32, copy=False)
        for start in range(0, len(ids), GENES_AT_ONCE):
            yield ids[start : start + GENES_AT_ONCE], whole[start : start + GENES_AT_ONCE]


def _fill(values: NDArray, file: pq.ParquetFile, patients: Sequence[str], wanted: NDArray[np.int64]) -> None:
    """Read row group by row group into ``values`` [patient, wanted row]."""
    start = 0
    for group in range(file.num_row_groups):
        stop = start + file.metadata.row_group(group).num_rows
        columns = np.flatnonzero((wanted >= start) & (wanted < stop))
        if len(columns) and patients:
            rows = wanted[columns] - start
            # A table may not hold a column twice, a bootstrap of patients may.
            table = file.read_row_group(group, columns=list(dict.fromkeys(patients)))
            for row, patient in enumerate(patients):
                values[row, columns] = table.column(patient).to_numpy()[rows]
        start = stop


def _positions(genes: Sequence[str], ids: Sequence[str], path: str | Path) -> list[int]:
    place = {name: row for row, name in enumerate(ids)}
    _require(genes, place, "genes", path)
    return [place[gene] for gene in genes]


def _require(asked: Sequence[str], known: Any, what: str, path: str | Path) -> None:
    present = set(known)
    if missing := [name for name in asked if name not in present]:
        there = ", ".join(list(known)[:3])
        message = (
            f"{path}: {len(missing)} of {len(asked)} {what} are not in it: {', '.join(missing[:3])}; "
            f"it holds {there}, ..."
        )
        raise InputError(message)
