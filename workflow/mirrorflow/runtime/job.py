"""How a job's process lives: a log, progress on the terminal, readable errors, no orphans."""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from mirrorflow.errors import MirrorflowError
from mirrorflow.runtime.files import clear_leftovers
from mirrorflow.runtime.locks import OWNER_VARIABLE
from mirrorflow.runtime.usage import usage_recorded

LEVEL_VARIABLE = "MIRRORFLOW_LOG"
"""Environment variable with the level of what is logged; DEBUG names every file that is finished."""


@dataclass(frozen=True)
class Job:
    """What a step may know of the job beside files and params."""

    label: str
    """The rule and its wildcards, as they stand before every message."""
    threads: int = 1
    resources: Mapping[str, Any] = field(default_factory=dict)
    wildcards: Mapping[str, str] = field(default_factory=dict)
    """For those that Params cannot name, because the rule has a param of the same name."""


@contextlib.contextmanager
def job_setup(snakemake: Any) -> Iterator[None]:
    """Run a script's body as a job of ``snakemake``.

    Progress and warnings go to the terminal and, with everything else, to the rule's log. A
    :class:`MirrorflowError` ends the job with its message alone; any other error with its traceback.
    The job ends by itself when the Snakemake that started it is gone. Half files that a killed job left
    beside the outputs and the log are removed first. What it used is written down beside its log.
    """
    die_with_owner()
    log = Path(snakemake.log[0]) if snakemake.log else None
    for folder in {Path(written).parent for written in [*snakemake.output, *snakemake.log]}:
        clear_leftovers(folder)
    of_case = getattr(snakemake, "of_case", False)
    with usage_recorded(log, snakemake.output, of_case=of_case), _logging(label_of(snakemake), log):
        try:
            yield
        except MirrorflowError as error:
            # The message is all the user needs.
            logging.getLogger("mirrorflow").error("%s", error)  # noqa: TRY400
            sys.exit(1)
        except Exception:
            logging.getLogger("mirrorflow").error("unexpected error:\n%s", traceback.format_exc())  # noqa: TRY400
            sys.exit(1)


def label_of(snakemake: Any) -> str:
    """What stands before every message of a job: the rule and its wildcards."""
    wildcards = " ".join(str(value) for value in snakemake.wildcards)
    return f"{snakemake.rule} {wildcards}".strip()


@contextlib.contextmanager
def _logging(label: str, log: Path | None) -> Iterator[None]:
    root = logging.getLogger("mirrorflow")
    root.setLevel(os.environ.get(LEVEL_VARIABLE, "INFO"))
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setFormatter(logging.Formatter(f"[{label}] %(message)s"))
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        # Appending, as the processes of processes.py do: none writes over another's lines.
        handlers.append(logging.FileHandler(log, mode="a", encoding="utf-8"))
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for handler in handlers:
        root.addHandler(handler)
    logging.captureWarnings(capture=True)
    warnings_logger = logging.getLogger("py.warnings")
    warnings_logger.addHandler(handlers[-1])
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        for handler in handlers:
            root.removeHandler(handler)
            warnings_logger.removeHandler(handler)
            handler.close()


_WATCHED: set[tuple[int, int]] = set()
"""Processes and those that they end with: threads that look do not outlive a fork."""


def die_with_owner(every_s: float = 0.25) -> None:
    """End this process, at once and unconditionally, when the Snakemake that started it is gone.

    PR_SET_PDEATHSIG would not do: it follows the thread that forked, and a shell stands between.
    """
    if owner := os.environ.get(OWNER_VARIABLE):
        die_with(int(owner), every_s)


def die_with(pid: int, every_s: float = 0.25) -> None:
    """End this process, and those it has started, when process ``pid`` is gone."""
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        os.kill(os.getpid(), signal.SIGKILL)
        return
    watched = (os.getpid(), pid)
    if watched not in _WATCHED:  # a worker of many jobs looks once
        _WATCHED.add(watched)
        threading.Thread(target=_watch, args=(process, every_s), daemon=True, name="owner-watch").start()


def _watch(owner: psutil.Process, every_s: float) -> None:
    while _alive(owner):
        time.sleep(every_s)
    end_with_children()


def end_with_children() -> None:
    """End this process and all that it has started, at once and unconditionally."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os.kill(os.getpid(), signal.SIGKILL)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
