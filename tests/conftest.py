"""What holds for every test."""

import os
from collections.abc import Iterator

import pytest

LONGEST = (
    "test_slurm.py",
    "test_kill.py",
    "test_gpu_script.py",
    "test_modalities.py",
    "test_tiny.py",
    "test_own_cohort.py",
)
"""Files that take minutes. They start first: one that starts last has the other processes wait for it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, the rest as they were."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True)
def _environment_of_its_own() -> Iterator[None]:
    """No test finds the variables that another one, or the code that it called, left behind."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(autouse=True, scope="session")
def _disk_is_not_waited_for() -> Iterator[None]:
    """No test cuts the power. A small file costs more to flush than to write; tests write thousands."""
    fsync = os.fsync
    os.fsync = lambda descriptor: None
    yield
    os.fsync = fsync
