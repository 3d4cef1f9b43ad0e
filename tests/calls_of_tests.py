"""Functions that tests call in processes of their own."""

import logging
import os
import signal
import time
from pathlib import Path

from mirrorflow.errors import InputError

logger = logging.getLogger("mirrorflow.tests")


def add(one: int, other: int) -> int:
    return one + other


def say() -> None:
    logger.info("at work")


def say_rank() -> None:
    logger.info("rank %s of %s", os.environ["RANK"], os.environ["WORLD_SIZE"])


def refuse() -> None:
    message = "features.tsv: no such file"
    raise InputError(message)


def stumble() -> None:
    print(1 / 0)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait(folder: str) -> None:
    written = Path(folder) / "written"
    written.write_text(str(os.getpid()))
    written.rename(Path(folder) / "pid")
    time.sleep(600)


def threads_here() -> tuple[int, int]:
    """The process, and how many threads torch uses there."""
    import torch

    return os.getpid(), torch.get_num_threads()


def note_times(folder: str, name: str, seconds: float, company: int = 1) -> None:
    """Leave a file that says from when to when this call ran; it ends once as many calls have started (or after a
    minute), and ``seconds`` later.
    """
    started, here = time.monotonic(), Path(folder)
    if company > 1:
        (here / f"{name}.started").touch()
    while company > 1 and len(list(here.glob("*.started"))) < company and time.monotonic() < started + 60:
        time.sleep(0.01)
    time.sleep(seconds)
    (here / name).write_text(f"{started} {time.monotonic()}")
