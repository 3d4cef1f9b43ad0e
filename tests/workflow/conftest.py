"""What workflow tests share: one run of the tiny cohort, in whichever process they run, and the threads of its jobs."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from runner import CONFIGS, run_as_a_user


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which the tiny cohort has been run from slides and RNA to the report: to look at, not to run in.

    Where pytest-xdist has several processes, the first that asks makes it and the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / "tiny", shared / "tiny.done"
    with (shared / "tiny.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            said = run_as_a_user(folder, CONFIGS / "tiny.yaml")
            assert said.returncode == 0, said.stdout[-6000:]
            done.touch()
    return folder


@pytest.fixture
def threads_of_a_small_job() -> Iterator[None]:
    """One thread, as the profile of small runs gives a job: on two, PyTorch adds up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
