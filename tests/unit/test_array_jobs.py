"""Array jobs that would hang are refused before anything is submitted; each task is its own."""

import base64
import json
import os
import subprocess
import sys
import zlib
from types import SimpleNamespace

import pytest

from mirrorflow.errors import ConfigError
from mirrorflow.plan.session import start_jobs_at_once
from mirrorflow.runtime.slurm_arrays import become_own_task, check_array_jobs


def settings(**changes: object) -> SimpleNamespace:
    values = {"array_jobs": "patch_slides", "status_command": "squeue", "init_seconds_before_status_checks": 20}
    return SimpleNamespace(**{**values, **changes})


def test_room_for_all_jobs_is_fine() -> None:
    check_array_jobs(settings(), 10_000, 4_000, lambda: 300)
    check_array_jobs(settings(), 40, 40, lambda: None)


def test_other_executors_and_no_arrays_have_no_limits() -> None:
    check_array_jobs(None, 1, 40, lambda: 1)
    check_array_jobs(settings(array_jobs=None, status_command="sacct"), 1, 40, lambda: 1)
    check_array_jobs(settings(array_jobs="none", status_command="sacct"), 1, 40, lambda: 1)


@pytest.mark.parametrize(
    ("changes", "slots", "remembers", "fix"),
    [
        ({}, 39, 300, "--jobs 10000"),
        ({"status_command": "sacct"}, 10_000, 300, "--slurm-status-command squeue"),
        ({}, 10_000, 30, "--slurm-init-seconds-before-status-checks 10"),
    ],
)
def test_what_would_hang_is_refused_with_the_mend(changes: dict, slots: int, remembers: int, fix: str) -> None:
    with pytest.raises(ConfigError, match=fix):
        check_array_jobs(settings(**changes), slots, 40, lambda: remembers)


@pytest.mark.parametrize(
    ("local", "arrays", "limited"), [(True, None, False), (False, "patch_slides", False), (False, "none", True)]
)
def test_snakemake_s_limit_of_submissions_is_off_where_arrays_would_lose_jobs(
    *, local: bool, arrays: str | None, limited: bool
) -> None:
    scheduler = SimpleNamespace(job_rate_limiter="100/1s")
    start_jobs_at_once(
        SimpleNamespace(local_exec=local, executor_settings=settings(array_jobs=arrays), scheduler=scheduler)
    )
    assert (scheduler.job_rate_limiter is not None) == limited


def payload() -> str:
    """Commands of the tasks after the first, as the plugin hands them over."""
    calls = {str(task): zlib.compress(f"echo task {task}; exit {task}".encode()).hex() for task in (5, 6)}
    return base64.b64encode(json.dumps(calls).encode()).decode()


PROCESS = """
import sys
from mirrorflow.runtime.slurm_arrays import become_own_task
become_own_task(sys.argv[1:])
print("went on")
"""


@pytest.mark.parametrize(("task", "said", "status"), [("4", "went on", 0), ("6", "task 6", 6), (None, "went on", 0)])
def test_a_task_after_the_first_becomes_its_own_command(task: str | None, said: str, status: int) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm_jobstep")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    if task:
        environment |= {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_MIN": "4"}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, "--jobs", "1", "--slurm-jobstep-array-execs", payload(), "--nocolor"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == (said, status), done.stderr


def test_other_executors_have_no_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    become_own_task(["--cores", "2"])
