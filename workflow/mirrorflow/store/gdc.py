"""GDC's list of a project's slides, as a sheet: one row a file, with what a download is checked by.

The interface: https://docs.gdc.cancer.gov/API/Users_Guide/Search_and_Retrieval/ (POST /files, GET /data/<id>).
"""

import http.client
import json
import logging
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mirrorflow.errors import InputError
from mirrorflow.runtime.files import SAFE_NAME
from mirrorflow.store.download import CHUNK_BYTES, Expected, download, refuse_page
from mirrorflow.store.ledger import read_rows, write_rows
from mirrorflow.store.partial_file import LONGEST_WAIT_S
from mirrorflow.store.web import open_address

logger = logging.getLogger(__name__)

SHEET_COLUMNS = ("slide_id", "patient", "path", "file_id", "md5", "size", "url")
FILES = "files"
"""Folder of the slide files, beside the sheet."""

TOKEN_VARIABLE = "GDC_TOKEN"
FIELDS = "file_id,file_name,file_size,md5sum,cases.submitter_id"
PAGE = 1000
FILE_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
MD5 = re.compile(r"[0-9a-fA-F]{32}\Z")
LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
MAX_ANSWER_BYTES = 64 * CHUNK_BYTES


@dataclass(frozen=True)
class GdcSlide:
    """One slide file of GDC: ``path`` below the sheet's folder, ``size`` in bytes, ``url`` of its bytes."""

    slide_id: str
    patient: str
    path: str
    file_id: str
    md5: str
    size: int
    url: str


def query_slides(
    endpoint: str,
    projects: Sequence[str],
    experimental_strategy: str,
    *,
    attempts: int = 5,
    pause: Callable[[float], None] = time.sleep,
) -> list[GdcSlide]:
    """Open slide files of ``projects``, by slide id. Raises InputError saying what came back instead.

    The slide id is the file's name without its ending, as TRIDENT and MIRROR's folds write it; a name that could not
    be a file's in one folder (``../x``), or that is there twice, gives way to the file's id.
    """
    url = endpoint.rstrip("/") + "/files"
    body = {
        "filters": _filters(projects, experimental_strategy),
        "fields": FIELDS,
        "format": "JSON",
        "size": PAGE,
        "sort": "file_id:asc",
    }
    hits: list[Mapping[str, Any]] = []
    total = 1
    while len(hits) < total:
        answer = _post(url, body | {"from": len(hits)}, attempts, pause)
        page, total = _page(url, answer)
        if not page and len(hits) < total:
            message = f"{url}: {total} files were promised, {len(hits)} came; run again"
            raise InputError(message)
        hits += page
    if not hits:
        message = (
            f"{url}: no open files of {experimental_strategy!r} in {', '.join(projects)}; "
            "projects are named as on GDC's portal, e.g. TCGA-BRCA"
        )
        raise InputError(message)
    return sorted(_slides(endpoint.rstrip("/"), hits), key=lambda slide: slide.slide_id)


def write_gdc_sheet(path: Path, slides: Sequence[GdcSlide], further: Mapping[str, Mapping[str, str]]) -> None:
    """The sheet of slides; ``further`` holds more cells (mpp, overrides) by slide id."""
    columns = list(dict.fromkeys(column for cells in further.values() for column in cells))
    rows = [vars(slide) | dict(further.get(slide.slide_id, {})) for slide in slides]
    write_rows(path, [*SHEET_COLUMNS, *columns], rows)


def read_gdc_sheet(path: Path) -> list[GdcSlide]:
    """Rows of :func:`write_gdc_sheet`. Raises InputError naming what is missing or odd."""
    rows = read_rows(path, SHEET_COLUMNS)
    return [_of_row(path, row) for row in rows]


def is_gdc_sheet(path: Path) -> bool:
    """Whether a sheet of slides has what :func:`read_gdc_sheet` reads."""
    try:
        with path.open(encoding="utf-8") as stream:
            return set(SHEET_COLUMNS) <= set(stream.readline().rstrip("\n").split("\t"))
    except (OSError, UnicodeDecodeError):
        return False


def fetch_slide(slide: GdcSlide, folder: Path, *, pause: Callable[[float], None] = time.sleep) -> None:
    """Download one slide to its place below ``folder`` (resumed, size and md5 checked); raises InputError.

    A token for controlled files is taken from the environment variable GDC_TOKEN.
    """
    download(
        slide.url,
        folder / slide.path,
        Expected(size=slide.size, md5=slide.md5, refuse=refuse_page),
        headers=_token(slide.url),
        pause=pause,
        label=slide.slide_id,
        wait_s=LONGEST_WAIT_S,
    )


def _filters(projects: Sequence[str], experimental_strategy: str) -> dict[str, Any]:
    wanted = {
        "cases.project.project_id": list(projects),
        "data_type": ["Slide Image"],
        "experimental_strategy": [experimental_strategy],
        "access": ["open"],
    }
    content = [{"op": "in", "content": {"field": field, "value": value}} for field, value in wanted.items()]
    return {"op": "and", "content": content}


def _post(url: str, body: Mapping[str, Any], attempts: int, pause: Callable[[float], None]) -> Any:
    """JSON answer; server errors and broken connections are tried again."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    for attempt in range(attempts):
        try:
            with open_address(request) as response:
                return _parsed(url, response.read(MAX_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                reason = f"status {error.code} {error.reason}: {error.read(300).decode('utf-8', 'replace')}"
            final = error.code < 500 and error.code not in (408, 429)
        except (http.client.HTTPException, OSError) as error:
            reason, final = f"{type(error).__name__}: {getattr(error, 'reason', error)}", False
        if final or attempt + 1 == attempts:
            break
        pause(2.0**attempt)
    message = f"{url}: no list of files: {reason}; check slides.gdc.endpoint and the network, and run again"
    raise InputError(message)


def _parsed(url: str, data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        message = f"{url}: the answer is not JSON ({data[:200].decode('utf-8', 'replace')!r}); is this GDC's address?"
        raise InputError(message) from error


def _page(url: str, answer: Any) -> tuple[list[Mapping[str, Any]], int]:
    try:
        data = answer["data"]
        hits, total = list(data["hits"]), int(data["pagination"]["total"])
    except (KeyError, TypeError, ValueError) as error:
        message = f"{url}: not an answer of GDC's: {json.dumps(answer)[:300]}"
        raise InputError(message) from error
    return hits, total


def _slides(endpoint: str, hits: Sequence[Mapping[str, Any]]) -> Iterator[GdcSlide]:
    taken: set[str] = set()
    for hit in hits:
        slide = _slide(endpoint, hit, taken)
        taken.add(slide.slide_id)
        yield slide


def _slide(endpoint: str, hit: Mapping[str, Any], taken: set[str]) -> GdcSlide:
    try:
        file_id, name, md5 = str(hit["file_id"]), str(hit["file_name"]), str(hit["md5sum"]).lower()
        size = int(hit["file_size"])
        patients = {str(case["submitter_id"]) for case in hit["cases"]}
    except (KeyError, TypeError, ValueError) as error:
        message = f"{endpoint}: an entry lacks what a slide needs ({error}): {json.dumps(hit)[:300]}"
        raise InputError(message) from error
    if not FILE_ID.match(file_id) or not MD5.match(md5) or size <= 0 or len(patients) != 1:
        message = f"{endpoint}: an entry with an odd id, md5, size or number of patients: {json.dumps(hit)[:300]}"
        raise InputError(message)
    stem, suffix = PurePosixPath(name).stem, PurePosixPath(name).suffix
    safe = SAFE_NAME.match(name) and ".." not in name
    if not safe or stem in taken:
        logger.warning("%s: file name %r is no name of its own; the slide is called by its id", file_id, name)
        stem, suffix = file_id, ".svs"
    return GdcSlide(stem, patients.pop(), f"{FILES}/{stem}{suffix}", file_id, md5, size, f"{endpoint}/data/{file_id}")


def _of_row(path: Path, row: Mapping[str, str]) -> GdcSlide:
    """The sheet may have been edited: nothing in it may point elsewhere."""
    name = row["path"].removeprefix(f"{FILES}/")
    if not SAFE_NAME.match(name) or ".." in name or not row["path"].startswith(f"{FILES}/"):
        message = f"{path}: slide {row['slide_id']}: path {row['path']!r} is not {FILES}/<name>; restore it"
        raise InputError(message)
    if not (FILE_ID.match(row["file_id"]) and MD5.match(row["md5"]) and row["size"].isdigit()):
        message = f"{path}: slide {row['slide_id']}: odd file_id, md5 or size; delete the sheet, it is made again"
        raise InputError(message)
    cells = {column: row[column] for column in SHEET_COLUMNS}
    return GdcSlide(**cells | {"size": int(row["size"])})  # type: ignore[arg-type]


def _token(url: str) -> dict[str, str]:
    """The header with the user's token, if there is one. Raises InputError rather than send it in the clear."""
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        return {}
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOCAL_HOSTS:
        message = f"{url}: {TOKEN_VARIABLE} is not sent over plain http; use https in slides.gdc.endpoint, or unset it"
        raise InputError(message)
    return {"X-Auth-Token": token}
