"""One run of the tiny cohort, shared by the tests that only look at it."""

from pathlib import Path

import pytest

from runner import CONFIGS, succeed


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which the tiny cohort has been run from slides and RNA to the report."""
    folder = tmp_path_factory.mktemp("tiny")
    succeed(folder, CONFIGS / "tiny.yaml")
    return folder
