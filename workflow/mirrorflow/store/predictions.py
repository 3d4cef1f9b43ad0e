"""Predictions files: one row an evaluated unit of a setting and seed; what every metric is computed from."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from mirrorflow.errors import InputError
from mirrorflow.runtime.files import written_whole

METADATA_KEY = b"mirrorflow"
CONTENT_KEY = b"mirrorflow_content"
"""Where a file keeps the digest of its own content, beside the notes."""

NUMBERS = ("fold", "time_days", "risk")
"""Columns that hold numbers, beside prob_<class>."""


@dataclass(frozen=True)
class Predictions:
    """``rows`` as DESIGN's contract has them; ``notes``: classes, bin edges, k, epochs, what was lost, digest."""

    rows: pd.DataFrame
    notes: dict[str, Any]
    content: str = ""
    """Digest of the file's rows and notes, see :func:`content_digest`; empty where it was not read from one."""

    @property
    def probability_columns(self) -> list[str]:
        """The columns prob_<class>, in the order of the classes."""
        return [f"prob_{name}" for name in self.notes["classes"]]


def subtype_rows(units: pd.DataFrame, probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Rows of a subtyping prediction, less setting, seed and fold."""
    frame = units[["patient", "slide_id", "label"]].reset_index(drop=True)
    return frame.join(pd.DataFrame(probabilities, columns=[f"prob_{name}" for name in classes]))


def survival_rows(units: pd.DataFrame, risk: np.ndarray, survival: np.ndarray | None) -> pd.DataFrame:
    """Rows of a survival prediction, less setting, seed and fold."""
    frame = units[["patient", "slide_id", "time_days", "event"]].reset_index(drop=True).assign(risk=risk)
    if survival is not None:
        frame = frame.join(pd.DataFrame(survival, columns=[f"surv_{i}" for i in range(survival.shape[1])]))
    return frame


def write_predictions(path: str | Path, rows: pd.DataFrame, notes: Mapping[str, Any]) -> None:
    """Write a fold's predictions; ``notes`` go into the parquet's metadata as JSON, with a digest of the content."""
    table = pa.Table.from_pandas(rows, preserve_index=False)
    noted = json.dumps(dict(notes), sort_keys=True).encode()
    metadata = {
        **(table.schema.metadata or {}),
        METADATA_KEY: noted,
        CONTENT_KEY: _content(table, noted).encode(),
    }
    with written_whole(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary)


def read_predictions(path: str | Path) -> Predictions:
    """Read a fold's predictions. Raises InputError when the file is none of ours, or is damaged.

    Tables and figures read them through :mod:`mirrorflow.store.method_predictions`, which stands for them.
    """
    table, noted = _table_and_notes(path)
    return Predictions(table.to_pandas(), json.loads(noted), _content(table, noted))


def _table_and_notes(path: str | Path) -> tuple[pa.Table, bytes]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        message = f"{path}: not readable as a predictions file ({error}); delete it and run again"
        raise InputError(message) from error
    metadata = table.schema.metadata or {}
    if METADATA_KEY not in metadata:
        message = f"{path}: no predictions file of mirrorflow (its metadata lack {METADATA_KEY.decode()!r})"
        raise InputError(message)
    return table, metadata[METADATA_KEY]


def content_digest(path: str | Path) -> str:
    """Sixteen hexadecimal digits that stand for a file's rows and notes: for their values, not for the parquet's bytes.

    The same values give the same digest whoever wrote them, and however they are compressed. Raises InputError when
    the file is none of ours, or is damaged.
    """
    return _content(*_table_and_notes(path))


def is_unchanged(path: str | Path) -> bool:
    """Whether a file still holds what it was written with; a file without a digest of its content counts as such."""
    try:
        table, noted = _table_and_notes(path)
    except InputError:
        return False
    kept = (table.schema.metadata or {}).get(CONTENT_KEY)
    return kept is None or kept.decode() == _content(table, noted)


def _content(table: pa.Table, noted: bytes) -> str:
    """Digest of the columns in their order, numbers as float64, anything else as text, and of the notes."""
    total = hashlib.sha256(json.dumps(json.loads(noted), sort_keys=True).encode())
    for name, column in zip(table.column_names, table.columns, strict=True):
        total.update(f"{name}:{len(column)}:".encode())
        kind = column.type
        if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
            values = np.asarray(column.to_numpy(), dtype=np.float64) + 0.0  # -0.0 is 0.0
            total.update(np.where(np.isnan(values), np.nan, values).tobytes())
        else:
            total.update(json.dumps([None if value is None else str(value) for value in column.to_pylist()]).encode())
    return total.hexdigest()[:16]


def read_rows(path: str | Path) -> pd.DataFrame:
    """Rows of a predictions file of anyone's, with empty setting, seed and slide_id where it has none.

    Raises InputError when it is not readable, lacks fold, patient, or what is predicted, or has a value that is no
    number where one is due.
    """
    try:
        rows = pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        message = f"{path}: not readable as a predictions file ({error})"
        raise InputError(message) from error
    rows = rows.assign(**{name: value for name, value in (("setting", "all"), ("seed", 0)) if name not in rows})
    rows["slide_id"] = rows["slide_id"].fillna("") if "slide_id" in rows else ""
    missing = {"fold", "patient"} - set(rows)
    predicted = "risk" in rows or any(str(name).startswith("prob_") for name in rows)
    if missing or not predicted or rows.empty:
        what = ", ".join(sorted(missing)) or ("prob_<class> or risk" if not predicted else "any row")
        message = f"{path}: no predictions file: it lacks {what}"
        raise InputError(message)
    numbers = [name for name in map(str, rows) if name in NUMBERS or name.startswith("prob_")]
    return rows.assign(**{name: _in_numbers(path, name, rows[name]) for name in numbers})


def _in_numbers(path: str | Path, name: str, column: pd.Series) -> pd.Series:
    """The column as numbers, folds whole ones; a missing value of another column stays missing."""
    found = pd.to_numeric(column.astype(object), errors="coerce").astype(float)
    wrong = (found % 1 != 0) if name == "fold" else found.isna() & column.notna()
    if wrong.any():
        value, row = column[wrong].iloc[0], int(wrong.to_numpy().argmax())
        due = "the fold's number, 0 for the first" if name == "fold" else "a number, or nothing where it is unknown"
        message = f"{path}: column {name}, row {row}: {str(value)!r}; write {due}"
        raise InputError(message)
    return found.astype(int) if name == "fold" else found


def stored_notes(path: str | Path) -> dict[str, Any]:
    """Notes of a predictions file without its rows; empty when there is no whole file of ours."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        return json.loads(metadata[METADATA_KEY])
    except (OSError, KeyError, ValueError):
        return {}


def stored_digest(path: str | Path) -> str | None:
    """Digest of what a predictions file was computed from, None when there is no whole file."""
    return stored_notes(path).get("digest")
