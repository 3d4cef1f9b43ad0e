"""What a Snakemake process and its jobs on a cluster hold before anything starts."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from snakemake.exceptions import WorkflowError

from mirrorflow.config.resolve import resolve
from mirrorflow.plan import session
from mirrorflow.plan.run import Run
from mirrorflow.plan.session import PLANNED, jobs_of, resolved
from mirrorflow.plan.together import Jobs
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


HERE = SimpleNamespace(nodes=None, cores=8, overwrite_resources={"embed": {"case_threads": 2}})
CLUSTER = SimpleNamespace(nodes=100, cores=None, overwrite_resources={})


def jobs(monkeypatch: pytest.MonkeyPatch, settings: SimpleNamespace, *, gpus: str = "", **changes: object) -> Jobs:
    monkeypatch.setattr(session, "why_expected", lambda: gpus)
    return jobs_of(Run(resolve(minimal(**changes))), settings)


def test_jobs_are_few_for_one_cohort_on_this_machines_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["snakemake"])
    asked = jobs(monkeypatch, HERE)
    assert (asked.few, asked.beside, asked.of("embed", [], each=8).each) == (True, True, 2)
    assert not jobs(monkeypatch, HERE, gpus="/dev/nvidia0 is there").few
    assert not jobs(monkeypatch, HERE, compute={"jobs": "many"}).few
    cohorts = minimal()["cohorts"]
    two = {**cohorts, "second": next(iter(cohorts.values()))}
    assert not jobs(monkeypatch, HERE, cohorts=two).few
    assert jobs(monkeypatch, HERE, cohorts=two, compute={"jobs": "few"}).few


def test_a_clusters_job_finds_what_its_planning_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own process runs on one machine: but for the marks in its command all looks like a run here."""
    for asked in ("auto", "few", "many"):
        monkeypatch.setattr(sys, "argv", ["snakemake"])
        planned = jobs(monkeypatch, CLUSTER, compute={"jobs": asked})
        monkeypatch.setattr(sys, "argv", JOB)
        inside = jobs(monkeypatch, HERE, gpus="/dev/nvidia0 is there", compute={"jobs": asked})
        assert (planned.few, planned.beside) == (inside.few, inside.beside) == (asked == "few", False)
