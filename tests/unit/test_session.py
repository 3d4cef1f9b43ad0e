"""What a Snakemake process and its jobs on a cluster hold before anything starts."""

import os
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.exceptions import WorkflowError

from mirrorflow.plan.session import PLANNED, resolved
from small_config import minimal

JOB = ["snakemake", "--target-jobs", "embed:"]


def write(path: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump(minimal(**changes)))
    return path


def test_a_job_whose_config_was_edited_since_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path / "my.yaml")
    monkeypatch.setattr(sys, "argv", ["snakemake"])
    resolved(minimal(), [config])
    monkeypatch.setattr(sys, "argv", JOB)
    resolved(minimal(), [config])
    config.write_text(f"# a remark\n{config.read_text()}")
    resolved(minimal(), [config])
    write(config, seeds=[1, 2])
    with pytest.raises(WorkflowError, match=r"my.yaml: changed since this run was planned"):
        resolved(minimal(seeds=[1, 2]), [config])
    monkeypatch.setattr(sys, "argv", ["snakemake"])
    resolved(minimal(seeds=[1, 2]), [config])


def test_a_job_that_was_told_nothing_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", JOB)
    monkeypatch.delenv(PLANNED, raising=False)
    resolved(minimal(), [write(tmp_path / "my.yaml")])
    assert PLANNED not in os.environ
