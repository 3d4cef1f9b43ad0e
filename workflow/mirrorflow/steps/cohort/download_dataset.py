"""Rule download_dataset: a public data set to the store, once; what the first download found is pinned.

``<store>/downloads/<name>/<file>`` is a link into the folder ``content`` beside it, which holds the file and its
record ``<file>.json``: Snakemake deletes a rule's outputs before it runs again, and must not delete gigabytes.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mirrorflow.errors import InputError
from mirrorflow.runtime.files import write_text
from mirrorflow.runtime.job import Job
from mirrorflow.store.download import FIRST_BYTES, Expected, download, refuse_page
from mirrorflow.store.partial_file import LONGEST_WAIT_S

logger = logging.getLogger(__name__)

SHORTEST = 512
"""Bytes: error messages are shorter, data sets hardly ever."""

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
SEPARATORS = (b"\t", b",", b";")
"""Of a table's columns. A list of gene sets (.csv) has none where it holds one set."""


@dataclass(frozen=True)
class Outputs:
    """The link to the file."""

    file: Path


@dataclass(frozen=True)
class Params:
    """Where the file comes from (url), its size and checksum where they are known."""

    dataset: Mapping[str, Any]


def run(inputs: None, outputs: Outputs, params: Params, job: Job) -> None:
    """Download the file, or keep it."""
    download_dataset(params.dataset, outputs.file)


def download_dataset(dataset: Mapping[str, Any], destination: Path, **how: Any) -> None:
    """Leave the file of ``dataset`` (url, size, checksum) at ``destination``, unless it is there and is the same.

    how: passed on to :func:`~mirrorflow.store.download.download`. Raises InputError, with the address and the fix,
    for what is not the file: an error page, another size or checksum than listed, given or pinned, a file that was
    fetched from another address.
    """
    content = destination.parent / "content" / destination.name
    record = content.with_name(f"{content.name}.json")
    pinned = json.loads(record.read_text(encoding="utf-8")) if record.exists() else None
    kept = content.exists()
    if kept:
        _verify(content, record, pinned, dataset)
        logger.info("%s: there and unchanged; kept", content)
    else:
        _fetch(dataset, content, record, pinned, how)
    if not kept or pinned is None or pinned["url"] != dataset["url"]:
        write_text(record, json.dumps(_pin(content, dataset), indent=1) + "\n")
        logger.info("%s: its checksum is pinned in %s", content, record)
    _link(destination, content)


def refuse(name: str, first: bytes, checksums: Mapping[str, str] = MappingProxyType({})) -> str | None:
    """Why the first bytes cannot be those of a matrix, a probe map or a table; None when they can.

    checksums: of the whole file, where they are known. They tell short files and tables of one column from messages.
    """
    if page := refuse_page(first):
        return page
    unsure = "" if checksums else " (if it is the file, give `downloads.<name>.checksum`)"
    if len(first) < SHORTEST and not _is_whole(first, checksums):
        return f"{len(first)} bytes instead of a file{unsure}: {first[:200].decode('utf-8', 'replace')!r}"
    if first.startswith((GZIP, PARQUET)):
        return None
    if name.endswith(".gz"):
        return f"not a gzip file: it begins with {first[:80]!r}"
    if checksums or name.endswith(".csv") or any(separator in first.split(b"\n", 1)[0] for separator in SEPARATORS):
        return None
    return f"not a table{unsure}: it begins with {first[:80]!r}"


def _is_whole(first: bytes, checksums: Mapping[str, str]) -> bool:
    """Whether the first bytes are all of the file."""
    return bool(checksums) and all(hashlib.new(kind, first).hexdigest() == wanted for kind, wanted in checksums.items())


def _expected(dataset: Mapping[str, Any], pinned: Mapping[str, Any] | None) -> tuple[int | None, dict[str, str]]:
    """Size and checksum that the file must have: the listed or given ones, else the pinned ones, if any."""
    kind, _, digits = dataset["checksum"].partition(":")
    pin = pinned or {}
    checksums = {kind: digits} if digits else {"sha256": pin["sha256"]} if pin else {}
    return dataset["size"] or (None if digits else pin.get("size")), checksums


def _fetch(
    dataset: Mapping[str, Any], content: Path, record: Path, pinned: Mapping[str, Any] | None, how: Mapping[str, Any]
) -> None:
    size, checksums = _expected(dataset, pinned)
    logger.info("%s -> %s", dataset["url"], content)
    try:
        download(
            dataset["url"],
            content,
            Expected(size, refuse=lambda first: refuse(content.name, first, checksums), **checksums),
            **{"wait_s": LONGEST_WAIT_S, **how},
        )
    except InputError as error:
        message = f"{error}. Another address for it: downloads.<name>.url in the config"
        if pinned:
            message += f". Its size and checksum were pinned on {pinned['downloaded']}: delete {record} to take another"
        raise InputError(message) from error


def _verify(content: Path, record: Path, pinned: Mapping[str, Any] | None, dataset: Mapping[str, Any]) -> None:
    """Hold a file that is there against its address, and against what is listed or was pinned."""
    if pinned and pinned["url"] != dataset["url"] and not dataset["checksum"]:
        message = (
            f"{content}: was fetched from {pinned['url']}, the config names {dataset['url']}: delete it and {record} "
            "to have it fetched from there, or give `downloads.<name>.checksum` if both addresses hold the same file"
        )
        raise InputError(message)
    size, checksums = _expected(dataset, pinned)
    with content.open("rb") as stream:
        why = refuse(content.name, stream.read(FIRST_BYTES), checksums)
    if size is not None and content.stat().st_size != size:
        why = why or f"{content.stat().st_size:,} bytes instead of {size:,}"
    for kind, wanted in checksums.items() if not why else ():
        if (found := _checksum(content, kind)) != wanted:
            why = f"its {kind} is {found} instead of {wanted}"
    if why:
        fix = f", or delete {record} to take it as it is" if pinned else ""
        message = f"{content}: {why}; it is damaged or another version: delete it to have it fetched again{fix}"
        raise InputError(message)


def _pin(content: Path, dataset: Mapping[str, Any]) -> dict[str, Any]:
    today = datetime.now(UTC).date().isoformat()
    size = content.stat().st_size
    return {"url": dataset["url"], "size": size, "sha256": _checksum(content, "sha256"), "downloaded": today}


def _checksum(path: Path, kind: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


def _link(destination: Path, content: Path) -> None:
    """A relative link, so that the store can be moved."""
    destination.unlink(missing_ok=True)
    destination.symlink_to(content.relative_to(destination.parent))
