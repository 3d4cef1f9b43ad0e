"""One process at a time in a folder, whoever dies in it."""

import errno
import fcntl
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from mirrorflow.runtime.folder_lock import LOCK, alone_in

FORK = multiprocessing.get_context("fork")


def stay(folder: Path, name: str, said: Path, seconds: float = 0.05) -> None:
    with alone_in(folder), said.open("a") as stream:
        stream.write(f"{name} in\n")
        stream.flush()
        time.sleep(seconds)
        stream.write(f"{name} out\n")


def test_one_leaves_before_the_next_comes_in(tmp_path: Path) -> None:
    folder, said = tmp_path / "model", tmp_path / "said"
    jobs = [FORK.Process(target=stay, args=(folder, str(number), said)) for number in range(6)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    lines = said.read_text().split("\n")[:-1]
    assert len(lines) == 12
    assert all(one.replace(" in", " out") == other for one, other in zip(lines[::2], lines[1::2], strict=True))
    assert not folder.exists(), "nothing was left there"


def test_a_job_that_is_killed_keeps_nobody_out(tmp_path: Path) -> None:
    said = tmp_path / "said"
    job = FORK.Process(target=stay, args=(tmp_path / "model", "first", said, 600.0))
    job.start()
    while not said.exists():
        time.sleep(0.01)
    job.kill()
    job.join()
    assert (tmp_path / "model" / LOCK).exists()
    with alone_in(tmp_path / "model"):
        (tmp_path / "model" / "weights").write_text("")
    assert os.listdir(tmp_path / "model") == ["weights"]  # noqa: PTH208


def test_a_file_system_without_locks_goes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with alone_in(tmp_path / "model"):
        pass
