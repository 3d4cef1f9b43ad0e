"""Downloads that go on where they stopped, are checked, and appear whole or not at all."""

import hashlib
import http.client
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import IO, Any

from mirrorflow.errors import InputError
from mirrorflow.runtime.progress import Progress
from mirrorflow.store.partial_file import PartialFile, held
from mirrorflow.store.web import SCHEMES, open_address

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
FIRST_BYTES = 1024
"""What is looked at before anything is kept."""

LONGEST_PAUSE_S = 60.0
TRIED_AGAIN = (408, 425, 429)
"""Statuses below 500 that may pass by themselves."""

MAX_MISMATCHES = 2
"""Whole downloads with a wrong checksum before the source is taken to hold another file."""

MB = 1_000_000


@dataclass(frozen=True)
class Wanted:
    """What is asked for, and how it is recognised."""

    url: str
    target: Path
    size: int | None
    checksums: Mapping[str, str]
    headers: Mapping[str, str]
    refuse: Callable[[bytes], str | None] | None


@dataclass
class _FailedError(Exception):
    """An attempt that failed; ``wait_s`` is what the server asked for, ``final`` that no other can help."""

    reason: str
    wait_s: float | None = None
    final: bool = False
    mismatch: bool = field(default=False)


@dataclass(frozen=True)
class Expected:
    """What the file must be: ``size`` in bytes, checksums.

    ``refuse`` gets the first bytes and says why this is no such file, or None: servers send error pages with status
    200.
    """

    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    refuse: Callable[[bytes], str | None] | None = None

    @property
    def checksums(self) -> dict[str, str]:
        """Those that are known, by kind, in small letters."""
        return {name: value.lower() for name, value in {"md5": self.md5, "sha256": self.sha256}.items() if value}


ANYTHING = Expected()


def download(
    url: str,
    target: Path,
    expected: Expected = ANYTHING,
    *,
    headers: Mapping[str, str] | None = None,
    attempts: int = 5,
    pause: Callable[[float], None] = time.sleep,
    label: str | None = None,
    wait_s: float = 0.0,
) -> None:
    """Fetch ``url`` to ``target``: streamed to ``<target>.part``, renamed when every check holds.

    A ``.part`` of an earlier attempt, this process's or another's, is gone on with through a Range request: where a
    checksum is given, or where the server can say that the file is still the same (If-Range).
    ``attempts`` counts those in a row that bring nothing new, with growing pauses (or what
    Retry-After asks for). ``headers`` are sent to this address only, not to one it redirects to, and
    never logged. ``wait_s``: how long another process that fetches the same file is waited for; what it brought is
    taken.

    Raises InputError with the address, what came back and the fix; MirrorflowError on a full disk.
    """
    if urllib.parse.urlsplit(url).scheme not in SCHEMES:
        message = f"{url!r} is no address to download from; it should begin with https:// or http://"
        raise InputError(message)
    wanted = Wanted(url, target, expected.size, expected.checksums, dict(headers or {}), expected.refuse)
    before = _identity(target)
    with held(target, wait_s, pause, label or target.name) as part:
        if _identity(target) != before and _is_whole(wanted):
            part.drop()
            return
        _fetch(wanted, part, attempts, pause, label or target.name)
        part.finish()


def _identity(path: Path) -> tuple[int, int] | None:
    """Tells a file from the one that stood under its name before."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _is_whole(wanted: Wanted) -> bool:
    """Whether the file that another process brought is the one that is wanted."""
    if wanted.size is not None and wanted.target.stat().st_size != wanted.size:
        return False
    with wanted.target.open("rb") as stream:
        return all(
            stream.seek(0) == 0 and hashlib.file_digest(stream, name).hexdigest() == expected
            for name, expected in wanted.checksums.items()
        )


def refuse_page(first: bytes) -> str | None:
    """For ``refuse``: what is wrong with an HTML, XML or JSON page where data should be."""
    text = first.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for start, name in ((b"<!doctype html", "an HTML page"), (b"<html", "an HTML page"), (b"<?xml", "an XML page"),
                        (b"<error", "an XML page"), (b"{", "a JSON message")):  # fmt: skip
        if text.startswith(start):
            return f"{name} instead of the file: {_excerpt(first)}"
    return None


def _fetch(wanted: Wanted, part: PartialFile, attempts: int, pause: Callable[[float], None], label: str) -> None:
    furthest, failures, mismatches = part.size, 0, 0
    while True:
        try:
            _attempt(wanted, part, label)
            _check(wanted, part)
        except _FailedError as error:
            failures = 1 if part.size > furthest else failures + 1
            furthest = max(furthest, part.size)
            mismatches += error.mismatch
            if error.final or failures >= attempts or mismatches >= MAX_MISMATCHES:
                raise InputError(_message(wanted, part, error)) from error
            wait = min(error.wait_s or 2.0 ** (failures - 1), LONGEST_PAUSE_S)
            logger.warning("%s: %s; tried again in %.0f s", label, error.reason, wait)
            pause(wait)
        else:
            return


def _message(wanted: Wanted, part: PartialFile, error: _FailedError) -> str:
    kept = f" (what came so far is kept in {part.path})" if part.size else ""
    return (
        f"{wanted.url}: not downloaded: {error.reason}; check the address and the network and run again{kept}, "
        f"or put the file at {wanted.target} yourself"
    )


def _attempt(wanted: Wanted, part: PartialFile, label: str) -> None:
    """One request. Raises _FailedError where the file is not complete after it."""
    if part.size and not (wanted.checksums or part.validator_of(wanted.url)):
        part.restart(wanted.url, None)
    if wanted.size is not None and part.size == wanted.size > 0:
        return
    if wanted.size is not None and part.size > wanted.size:
        part.restart(wanted.url, None)
    try:
        with _open(wanted, part) as response:
            first = response.read(FIRST_BYTES)
            total = _accept(wanted, part, response, first)
            _append_all(wanted, part, first, response, total, label)
    except urllib.error.HTTPError as error:
        _refused(wanted, part, error)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        message = f"{type(error).__name__}: {reason}"
        raise _FailedError(message) from error


def _open(wanted: Wanted, part: PartialFile) -> Any:
    request = urllib.request.Request(wanted.url)
    for name, value in wanted.headers.items():
        request.add_unredirected_header(name, value)
    request.add_header("Accept-Encoding", "identity")
    if part.size:
        request.add_header("Range", f"bytes={part.size}-")
        if validator := part.validator_of(wanted.url):
            request.add_header("If-Range", validator)
    return open_address(request)


def _accept(wanted: Wanted, part: PartialFile, response: Any, first: bytes) -> int | None:
    """Length of the whole file, if the answer says it. What is there is dropped only for a file that fits."""
    if response.status == 206:
        start, total = _content_range(response.headers)
        if start == part.size and (wanted.size is None or total in (None, wanted.size)):
            return total
        part.restart(wanted.url, None)
        message = f"the server sent bytes from {start} of {total}, which do not continue what is there"
        raise _FailedError(message)
    length = response.headers.get("Content-Length")
    total = int(length) if length and length.isdigit() else None
    if wanted.refuse and (why := wanted.refuse(first)):
        raise _FailedError(why)
    if wanted.size is not None and total not in (None, wanted.size):
        message = f"{total:,} bytes where {wanted.size:,} are expected: {_excerpt(first)}"
        raise _FailedError(message)
    part.restart(wanted.url, _validator(response.headers))
    return total


def _append_all(wanted: Wanted, part: PartialFile, first: bytes, response: Any, total: int | None, label: str) -> None:
    """What the answer holds, up to the file's size: a body that goes on is not read. ``total``: by the server."""
    expected = limit = wanted.size if wanted.size is not None else total
    progress = Progress(label, expected // MB, "MB", kept=part.size // MB) if expected else None
    chunk = first
    while chunk:
        before = part.size
        if limit is not None and before + len(chunk) > limit:
            part.restart(wanted.url, None)
            message = f"the server sends more than the {limit:,} bytes that are expected"
            raise _FailedError(message, mismatch=True)
        part.append(chunk)
        if progress and part.size // MB > before // MB:
            progress.step(part.size // MB - before // MB)
        chunk = response.read1(CHUNK_BYTES)
    if expected is not None and part.size != expected:
        message = f"the connection ended after {part.size:,} of {expected:,} bytes"
        raise _FailedError(message)


def _refused(wanted: Wanted, part: PartialFile, error: urllib.error.HTTPError) -> None:
    """An answer of status 300 and above."""
    with error:
        if error.code == 416:
            if (error.headers.get("Content-Range") or "").endswith(f"/{part.size}"):
                return
            part.restart(wanted.url, None)
            message = "the server's file is shorter than what was kept of an earlier attempt"
            raise _FailedError(message) from error
        passing = error.code >= 500 or error.code in TRIED_AGAIN
        wait = error.headers.get("Retry-After", "")
        reason = f"status {error.code} {error.reason}: {_excerpt(_body(error))}"
        raise _FailedError(reason, float(wait) if wait.isdigit() else None, final=not passing) from error


def _check(wanted: Wanted, part: PartialFile) -> None:
    """Checksums of the whole part. Raises _FailedError, the part emptied, where one differs."""
    for name, expected in wanted.checksums.items():
        with part.path.open("rb") as stream:
            found = hashlib.file_digest(stream, name).hexdigest()
        if found != expected:
            length = part.size
            part.restart(wanted.url, None)
            message = f"{name} of the {length:,} bytes is {found}, not {expected}"
            raise _FailedError(message, mismatch=True)


def _content_range(headers: Message) -> tuple[int | None, int | None]:
    """First byte and length of the whole, of ``Content-Range: bytes 5-9/10``."""
    span, _, total = (headers.get("Content-Range") or "").removeprefix("bytes ").partition("/")
    start = span.partition("-")[0]
    return (int(start) if start.isdigit() else None), (int(total) if total.isdigit() else None)


def _validator(headers: Message) -> str | None:
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _body(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(FIRST_BYTES)
    except (OSError, http.client.HTTPException):
        return b""


def _excerpt(data: bytes) -> str:
    """The beginning of a message, as one line."""
    return " ".join(data[:300].decode("utf-8", "replace").split()) or "(nothing)"
