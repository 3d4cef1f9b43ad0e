"""What has come of a file so far: ``<target>.part``, with a note that says of what it is a part."""

import contextlib
import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Self

from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.runtime.files import DISK_FULL

logger = logging.getLogger(__name__)

WAIT_STEP_S = 2.0
LONGEST_WAIT_S = 3600.0
"""How long jobs wait for another one that fetches the same file."""


class HeldError(InputError):
    """Another process is writing the file."""


class PartialFile:
    """``<target>.part`` of ``target``, held by one process at a time.

    ``<target>.part.json`` notes the address and, where the server gave one, the validator (ETag or date) by
    which a later attempt can ask whether the file is still the same. Used as a context; what was written stays.
    Raises HeldError where another process holds it, MirrorflowError on a full disk.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")
        self._stream: BinaryIO | None = None
        self.size = 0

    def __enter__(self) -> Self:
        return self if self._stream is not None else self.hold()

    def hold(self) -> Self:
        """Lock the file, whose name it has from then on; ``__exit__`` lets it go. Raises as the class says."""
        with self._explained():
            self.target.parent.mkdir(parents=True, exist_ok=True)
        stream = self._opened()
        while not self._is_of_this_name(stream):
            stream.close()
            stream = self._opened()
        self._stream, self.size = stream, stream.tell()
        return self

    def _opened(self) -> BinaryIO:
        """The file, locked. Raises HeldError where another process has it."""
        with self._explained():
            stream = self.path.open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.close()
            message = f"{self.path}: another process is writing it; wait for that one, or stop it"
            raise HeldError(message) from error
        except OSError:  # a file system without locks
            pass
        return stream

    def _is_of_this_name(self, stream: BinaryIO) -> bool:
        """False where another process finished between our opening and our lock: the file then is the target."""
        try:
            return os.path.samestat(os.fstat(stream.fileno()), self.path.stat())
        except FileNotFoundError:
            return False

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            with self._explained():
                self._stream.close()
            self._stream = None

    def validator_of(self, url: str) -> str | None:
        """By what the server can tell that its file is still the one this is a part of."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            return note["validator"] if note["url"] == url else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def restart(self, url: str, validator: str | None) -> None:
        """Begin anew: nothing is there yet of the file at ``url``."""
        assert self._stream is not None
        with self._explained():
            self._stream.truncate(0)
            self._note.write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")
        self.size = 0

    def append(self, chunk: bytes) -> None:
        """Add ``chunk`` at the end; on the disk, or at least with the system, when this returns."""
        assert self._stream is not None
        with self._explained():
            self._stream.write(chunk)
            self._stream.flush()
        self.size += len(chunk)

    def drop(self) -> None:
        """Leave nothing of it: the target is there."""
        with self._explained():
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the whole file its name."""
        assert self._stream is not None
        with self._explained():
            os.fsync(self._stream.fileno())
            self.path.replace(self.target)
            self._note.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Failures of this disk, told apart from those of the network."""
        try:
            yield
        except OSError as error:
            if error.errno in DISK_FULL:
                message = f"{self.path}: no space left on the disk; free some, then run again: what came is kept"
            else:
                message = f"{self.path}: cannot be written ({error.strerror or error})"
            raise MirrorflowError(message) from error


def held(target: Path, wait_s: float, pause: Callable[[float], None], label: str) -> PartialFile:
    """The partial file, locked from here on. Raises HeldError where another process has it for longer than we wait."""
    waited = 0.0
    while True:
        part = PartialFile(target)
        try:
            return part.hold()
        except HeldError:
            if waited >= wait_s:
                raise
            if not waited:
                logger.warning("%s: another process is fetching it; waiting for that one", label)
            pause(WAIT_STEP_S)
            waited += WAIT_STEP_S
