"""Rule index_features: which slides have features, and of what width: for the store and for folders made elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.errors import InputError
from mirrorflow.runtime.job import Job
from mirrorflow.store.content import content_of
from mirrorflow.store.features import check_values, describe_features
from mirrorflow.store.ledger import INDEX_COLUMNS, read_rows, write_rows
from mirrorflow.store.other_features import import_hint
from mirrorflow.store.slide_sheet import SlideRow, read_slide_sheet


@dataclass(frozen=True)
class Inputs:
    """The sheet of slides; status files of the shards that made the features (patches first), if they are ours."""

    sheet: Path
    shards: list[Path]


@dataclass(frozen=True)
class Outputs:
    """The index (TSV)."""

    index: Path


@dataclass(frozen=True)
class Params:
    """The sheet's columns by our names, and the folder of the features."""

    columns: Mapping[str, str]
    folder: str


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Index the features of the sheet's slides."""
    rows = read_slide_sheet(inputs.sheet, params.columns)
    index_features(rows, Path(params.folder), outputs.index, inputs.shards)


def index_features(rows: Sequence[SlideRow], folder: Path, index: Path, statuses: Sequence[Path] = ()) -> None:
    """Write ``index`` (TSV: slide_id, patient, path, patches, dim, status, reason, content, outline) for ``rows``.

    Features are the files ``<slide_id>.h5`` of ``folder``, read where they lie. Status: ok, missing, empty
    (no patches) or unreadable, also for NaN or infinity among the values of files made elsewhere. Raises InputError
    where none of the slides has features, or where two slides have features of different widths.

    content and outline: what the file holds, from a few of its rows (:mod:`mirrorflow.store.content`).

    ``statuses``, of the shards that made the features (patches first), say why a slide has none; where there are
    none, the files were made elsewhere. Those made here hold finite values.
    """
    found = [_entry(row, folder, read_values=not statuses) for row in rows]
    known = _known_reasons(statuses)
    for entry in found:
        if entry["status"] != "ok" and entry["slide_id"] in known:
            entry["reason"] = known[entry["slide_id"]]
    _check_any(found, folder)
    _check_widths(found, folder)
    write_rows(index, INDEX_COLUMNS, found)


def _known_reasons(statuses: Sequence[Path]) -> dict[str, str]:
    """Why slides have no features, by slide id; the first status that says so counts."""
    reasons: dict[str, str] = {}
    for path in statuses:
        for row in read_rows(path, ("slide_id", "status", "reason")):
            if row["status"] != "ok":
                reasons.setdefault(row["slide_id"], row["reason"])
    return reasons


def _entry(row: SlideRow, folder: Path, *, read_values: bool) -> dict[str, Any]:
    path = folder / f"{row.slide_id}.h5"
    entry: dict[str, Any] = {"slide_id": row.slide_id, "patient": row.patient, "path": str(path)}
    if not path.exists():
        return entry | {"patches": 0, "dim": "", "status": "missing", "reason": "no such file"}
    try:
        file = describe_features(path)
        if read_values:
            check_values(path)
        content = content_of(path)
    except InputError as error:
        return entry | {"patches": 0, "dim": "", "status": "unreadable", "reason": str(error)}
    empty = {"status": "empty", "reason": "it holds no patches"}
    state = empty if file.n == 0 else {"status": "ok", "reason": ""}
    outline = " ".join(f"{value:.6g}" for value in content.outline)
    return entry | {"patches": file.n, "dim": file.dim or "", "content": content.digest, "outline": outline} | state


def _check_any(found: Sequence[dict[str, Any]], folder: Path) -> None:
    if any(entry["status"] in ("ok", "empty") for entry in found):
        return
    reasons = sorted({entry["reason"] for entry in found})[:3]
    first = found[0]["path"] if found else folder
    message = (
        f"{folder}: none of the {len(found)} slides has features there, e.g. {first}: {'; '.join(reasons)}; "
        f"files are named <slide_id>.h5 after the sheet of slides{import_hint(folder)}"
    )
    raise InputError(message)


def _check_widths(found: Sequence[dict[str, Any]], folder: Path) -> None:
    first_of: dict[int, str] = {}
    for entry in found:
        if entry["dim"] != "":
            first_of.setdefault(entry["dim"], entry["slide_id"])
    if len(first_of) > 1:
        (dim, slide), (other_dim, other) = list(first_of.items())[:2]
        message = (
            f"{folder}: features of different widths: {slide} has {dim} values, {other} has {other_dim}; "
            "they come from different encoders, keep one encoder a folder"
        )
        raise InputError(message)
