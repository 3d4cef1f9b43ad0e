"""One Slurm for all tests of this folder; a skip with the reason where it cannot be had."""

import os
from collections.abc import Iterator

import pytest

from slurm_cluster import Cluster, missing, slurm


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster of one node with two CPUs and one (pretended) GPU."""
    if reason := missing():
        (pytest.fail if os.environ.get("MIRRORFLOW_NEEDS_SLURM") else pytest.skip)(reason)
    with slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running
