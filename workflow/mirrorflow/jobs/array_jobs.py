"""Slurm's array jobs: refused where the executor plugin would stall or mistake one task for another."""

import re
import subprocess
from collections.abc import Callable
from typing import Any

from mirrorflow.errors import ConfigError

WITHOUT = "or go without arrays: --slurm-array-jobs none"


def check_array_jobs(settings: Any, slots: int | None, jobs: int, oldest_s: Callable[[], int | None]) -> None:
    """Raise ConfigError where array jobs would hang or lose track; nothing for other executors.

    ``settings`` are the executor's, ``slots`` is `--jobs`, ``jobs`` how many jobs this run has to do and
    ``oldest_s`` says for how many seconds Slurm remembers a finished job. Both limits are
    snakemake-executor-plugin-slurm's (seen in 2.8.0): a part of a rule's ready jobs is dropped without a word
    when `--jobs` leaves no room for the rest (its issue 473), and `sacct` names array tasks by ids that it
    does not know, so that every task seems to end when the last one does.
    """
    if getattr(settings, "array_jobs", None) in (None, "", "none"):
        return
    if slots is not None and slots < jobs:
        message = (
            f"--jobs {slots} is less than the {jobs} jobs of this run; with array jobs it would hang. Slurm itself "
            f"decides how many run at a time: --jobs {max(10_000, jobs)}, {WITHOUT}"
        )
        raise ConfigError(message)
    if settings.status_command == "sacct":
        message = f"sacct cannot tell the tasks of an array job apart here: --slurm-status-command squeue, {WITHOUT}"
        raise ConfigError(message)
    needed, kept = 3 * settings.init_seconds_before_status_checks, oldest_s()
    if kept is not None and kept < needed:
        message = (
            f"this Slurm forgets finished jobs after {kept} s (MinJobAge), too soon for array jobs: "
            f"--slurm-init-seconds-before-status-checks {max(1, kept // 3)} asks often enough, "
            f"{WITHOUT} --slurm-status-command sacct"
        )
        raise ConfigError(message)


def slurm_remembers_s() -> int | None:
    """Seconds for which Slurm remembers a finished job (MinJobAge), where it can be asked."""
    try:
        said = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"^MinJobAge\s*=\s*(\d+)", said.stdout, re.MULTILINE)
    return int(found[1]) if found else None
