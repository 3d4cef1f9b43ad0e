"""Slurm's array jobs: refused where the executor plugin would stall, set right where it mistakes one task for another.

What is known of the plugins was seen in snakemake-executor-plugin-slurm 2.8.0 and its jobstep plugin 0.6.1.
"""

import argparse
import os
import re
import subprocess
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from mirrorflow.errors import ConfigError

TASKS_OPTION = "--slurm-jobstep-array-execs"
"""Under which the plugin hands an array's tasks their commands."""

WITHOUT = "or go without arrays: --slurm-array-jobs none"


def has_array_jobs(settings: Any) -> bool:
    """Whether an executor with these ``settings`` makes array jobs."""
    return getattr(settings, "array_jobs", None) not in (None, "", "none")


def check_array_jobs(settings: Any, slots: int | None, jobs: int, oldest_s: Callable[[], int | None]) -> None:
    """Raise ConfigError where array jobs would hang or lose track; nothing for other executors.

    ``settings`` are the executor's, ``slots`` is `--jobs`, ``jobs`` how many jobs this run has to do and
    ``oldest_s`` says for how many seconds Slurm remembers a finished job. Both limits are
    snakemake-executor-plugin-slurm's (seen in 2.8.0): a part of a rule's ready jobs is dropped without a word
    when `--jobs` leaves no room for the rest (its issue 473), and `sacct` names array tasks by ids that it
    does not know, so that every task seems to end when the last one does.
    """
    if not has_array_jobs(settings):
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


def become_own_task(arguments: Sequence[str]) -> None:
    """In a task of an array job: go on as the command of this very task; elsewhere nothing.

    Every task of an array starts as a Snakemake process for the array's *first* task, which runs the task's own
    command and then looks for the first task's files. A task that ends before the first one is so called failed, and
    done again (the plugin's issue 447). ``arguments`` are those of this process.
    """
    task, first = (os.environ.get(f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN"))
    if TASKS_OPTION not in " ".join(arguments) or task is None or task == first:
        return
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument(TASKS_OPTION, dest="tasks")
    execs = options.parse_known_args(arguments)[0].tasks
    from snakemake_executor_plugin_slurm_jobstep import parse_array_execs

    own = zlib.decompress(bytes.fromhex(parse_array_execs(execs)[task])).decode()
    os.execv("/bin/sh", ["/bin/sh", "-c", own])
