"""Files that are whole or absent: written under a temporary name, renamed when done."""

import contextlib
import errno
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from mirrorflow.errors import InputError, MirrorflowError

logger = logging.getLogger("mirrorflow.store")

TEMPORARY = re.compile(r"\.tmp-(?P<pid>\d+)@(?P<host>[^@]*)@")
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_TEXTS = tuple(os.strerror(number) for number in DISK_FULL)
"""How libraries that lose the number (safetensors) say it."""


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends well.

    After an error nothing is left; after SIGKILL only a ``.tmp-<pid>@<host>@`` file, which
    :func:`clear_leftovers` removes. Raises MirrorflowError when the disk (or the user's share of it) is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{os.getpid()}@{socket.gethostname()}@{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        logger.debug("written: %s", path)
    except Exception as error:
        if _is_full(error):
            message = f"{path}: no space left on the disk; free some, then run again: finished work is kept"
            raise MirrorflowError(message) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _is_full(error: BaseException | None) -> bool:
    """Whether the disk, or the user's share of it, is full: ``error`` says so, or one that it came from (torch)."""
    if error is None or isinstance(error, MirrorflowError):
        return False
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return True
    return any(text in str(error) for text in FULL_TEXTS) or _is_full(error.__context__)


def clear_leftovers(folder: str | Path) -> None:
    """Remove temporary files of this machine's dead processes (a shared disk may hold those of others)."""
    for path in Path(folder).glob(".tmp-*"):
        match = TEMPORARY.match(path.name)
        if match and match["host"] == socket.gethostname() and not Path(f"/proc/{match['pid']}").exists():
            path.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all."""
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


LONGEST_NAME = 160
"""File systems take 255 bytes; endings and temporary names need some."""

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]*\Z")


def check_file_name(name: str, *, what: str, where: str) -> str:
    """Return ``name`` if it can be a file's name in the store, else say what is wrong with it.

    Raises InputError for path separators, quotes, ``..``, control characters and other characters a
    shell or a file system could take for something else.
    """
    if not SAFE_NAME.match(name) or ".." in name or len(name) > LONGEST_NAME:
        message = (
            f"{where}: {what} {name[:LONGEST_NAME]!r} cannot be a file name; use letters, digits, space and . _ + - "
            f"(starting with a letter or digit, at most {LONGEST_NAME} of them)"
        )
        raise InputError(message)
    return name
