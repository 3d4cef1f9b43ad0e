"""One process at a time in a folder: jobs of two protocols may want to train the model that both share."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

logger = logging.getLogger("mirrorflow.runtime")

LOCK = ".in-use"


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until no other process is in ``folder``, and keep others out of it.

    The lock is the kernel's: it ends with its process, however that dies. Where a file system has no locks there is
    none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stream = _taken(folder)
    try:
        yield
    finally:
        if stream is not None:
            with contextlib.suppress(OSError):
                (folder / LOCK).unlink()
                folder.rmdir()  # of a job that left nothing
            stream.close()


def _taken(folder: Path) -> IO[str] | None:
    """The lock's file, open; None where the file system has no locks. Who waited opens it anew: it was removed."""
    waited = False
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            stream = (folder / LOCK).open("w")
        except FileNotFoundError:  # the folder went with the one who had it
            continue
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if waited else fcntl.LOCK_NB))
        except BlockingIOError:
            logger.info("%s: another job is training this model; waiting for it", folder)
            waited = True
            stream.close()
            continue
        except OSError as error:
            logger.warning("%s: no lock can be had here (%s)", folder, error)
            stream.close()
            (folder / LOCK).unlink(missing_ok=True)
            return None
        if _is_still(stream, folder / LOCK):
            return stream
        stream.close()


def _is_still(stream: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False
