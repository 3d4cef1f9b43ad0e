"""Array jobs that would hang are refused before anything is submitted."""

from types import SimpleNamespace

import pytest

from mirrorflow.errors import ConfigError
from mirrorflow.jobs.array_jobs import check_array_jobs


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
    ("changes", "slots", "remembers", "mend"),
    [
        ({}, 39, 300, "--jobs 10000"),
        ({"status_command": "sacct"}, 10_000, 300, "--slurm-status-command squeue"),
        ({}, 10_000, 30, "--slurm-init-seconds-before-status-checks 10"),
    ],
)
def test_what_would_hang_is_refused_with_the_mend(changes: dict, slots: int, remembers: int, mend: str) -> None:
    with pytest.raises(ConfigError, match=mend):
        check_array_jobs(settings(**changes), slots, 40, lambda: remembers)
