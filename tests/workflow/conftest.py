"""One run of the tiny cohort, shared by the tests that only look at it, in whichever process they run."""

import fcntl
import os
from pathlib import Path

import pytest

from runner import CONFIGS, succeed


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
            succeed(folder, CONFIGS / "tiny.yaml")
            done.touch()
    return folder
