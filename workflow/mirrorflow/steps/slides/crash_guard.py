"""Slides that kill the process that reads them (a codec's crash): found, isolated, and never read again.

A crash inside a decoder ends the whole process; nothing can be caught. So each slide leaves a marker while it is
being read. What a dead process left is suspect: it was the crash, or only there when somebody pulled the plug.
The next attempt reads each suspect in a process of its own first, and if that dies, too, the slide is at fault.
"""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

import mirrorflow
from mirrorflow.errors import MirrorflowError
from mirrorflow.runtime.files import write_text
from mirrorflow.slides.reader import source_bytes
from mirrorflow.store.slide_sheet import SlideRow

logger = logging.getLogger(__name__)

FOLDER = ".reading"
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE, signal.SIGKILL)
"""SIGKILL is what the kernel sends where memory ran out; who interrupts a run sends other signals, or to all."""

CLOCK_TOLERANCE_S = 1.0


class CrashGuard:
    """Markers and verdicts of one folder of the store, ``<folder>/.reading/<slide_id>``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    def begin(self, slide_id: str) -> None:
        """Note that this process reads the slide from now on."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._marker(slide_id).write_text(f"{os.getpid()}@{socket.gethostname()}", encoding="utf-8")

    def end(self, slide_id: str) -> None:
        """Note that the process outlived it."""
        self._marker(slide_id).unlink(missing_ok=True)

    @contextlib.contextmanager
    def reading(self, slide_id: str) -> Iterator[None]:
        """``begin`` and ``end`` around a block."""
        self.begin(slide_id)
        try:
            yield
        finally:
            self.end(slide_id)

    def fault(self, row: SlideRow, task: Mapping[str, Any]) -> str:
        """Why this slide must not be read here, or nothing.

        A suspect is read by ``task`` (see :func:`mirrorflow.steps.slides.read_alone.main`) in a process of its own.
        """
        if found := self._verdict(row):
            return found
        if not self._suspect(row.slide_id):
            return ""
        logger.warning("%s: a process died while it was read; it is read alone first", row.slide_id)
        died_of = read_alone(task)
        if not died_of:
            self.end(row.slide_id)
            return ""
        reason = (
            f"the process died ({died_of}) while reading it; fetch the file again, or convert it; "
            f"to have it read once more delete {self._sentence(row.slide_id)}"
        )
        record = {"source_bytes": source_bytes(row.path) if row.path else None, "reason": reason}
        write_text(self._sentence(row.slide_id), json.dumps(record))
        self.end(row.slide_id)
        return reason

    def _verdict(self, row: SlideRow) -> str:
        """Of an earlier attempt, for the same file."""
        try:
            record = json.loads(self._sentence(row.slide_id).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        same = row.path is not None and record["source_bytes"] == source_bytes(row.path)
        return str(record["reason"]) if same else ""

    def _suspect(self, slide_id: str) -> bool:
        try:
            pid, _, host = self._marker(slide_id).read_text(encoding="utf-8").partition("@")
            written = self._marker(slide_id).stat().st_mtime
        except OSError:
            return False
        return not (host == socket.gethostname() and pid.isdigit() and _lived(int(pid), written))

    def _marker(self, slide_id: str) -> Path:
        return self._folder / slide_id

    def _sentence(self, slide_id: str) -> Path:
        return self._folder / f"{slide_id}.died.json"


def _lived(pid: int, since: float) -> bool:
    """Whether the process lives and is not another one that got the same number later."""
    try:
        return psutil.Process(pid).create_time() <= since + CLOCK_TOLERANCE_S
    except psutil.NoSuchProcess:
        return False


def read_alone(task: Mapping[str, Any]) -> str:
    """Do ``task`` in a process of its own; the signal it died of, or nothing where it lived."""
    package = str(Path(mirrorflow.__file__).parents[1])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    done = subprocess.run(
        [sys.executable, "-m", "mirrorflow.steps.slides.read_alone"],
        input=json.dumps(task),
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    if -done.returncode in CRASHES:
        return signal.Signals(-done.returncode).name
    if done.returncode:
        message = f"a slide could not be read in a process of its own: {done.stderr[-2000:]}"
        raise MirrorflowError(message)
    return ""
