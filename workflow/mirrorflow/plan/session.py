"""What a Snakemake process does before it plans and before it starts jobs."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mirrorflow.config.modalities import left_out_lines
from mirrorflow.config.resolve import resolve
from mirrorflow.config.yaml_keys import check_files
from mirrorflow.errors import ConfigError, MirrorflowError
from mirrorflow.plan.checks import JOB, StoredChecks
from mirrorflow.plan.files import states_digest
from mirrorflow.plan.run import Run
from mirrorflow.plan.slides_seen import tell_jobs
from mirrorflow.plan.together import PLENTY, Jobs
from mirrorflow.runtime.direct import run_scripts_directly
from mirrorflow.runtime.gpus import why_expected
from mirrorflow.runtime.lock_owners import note_owner
from mirrorflow.runtime.locks import dead_lock
from mirrorflow.runtime.slurm_arrays import check_array_jobs, has_array_jobs, slurm_remembers_s
from mirrorflow.runtime.warm import start_warm_process

AT_HOME = (None, "local", "dryrun", "touch")
"""Executors that run jobs on this machine, or none."""
PLANNED = "MIRRORFLOW_CONFIG"
"""Variable that tells jobs on a cluster what the config files said when their run was planned."""


def resolved(raw: Mapping[str, Any], files: Sequence[str | Path] = ()) -> dict[str, Any]:
    """The config, resolved; ``files``: those it was read from, whose keys are looked at as they were written.

    Says before what clears a dead Snakemake's lock, which this one would stop at.

    Raises WorkflowError, which Snakemake prints without a traceback.
    """
    sys.stderr.write(dead_lock(Path.cwd(), sys.argv[1:]))
    try:
        check_files([Path(file) for file in files])
        _hold_files([Path(file) for file in files])
        return resolve(raw)
    except MirrorflowError as error:
        raise _workflow_error(error) from None


def _hold_files(files: Sequence[Path]) -> None:
    """Raise ConfigError in a job whose config files say something else than when its run was planned.

    On a cluster each job reads them anew; one that went on would have settings of its own, and notes of the others'.
    """
    said = states_digest({"config": repr([yaml.safe_load(file.read_text(encoding="utf-8")) for file in files])})
    if not any(argument.startswith(JOB) for argument in sys.argv):
        os.environ[PLANNED] = said
    elif os.environ.get(PLANNED, said) != said:
        names = ", ".join(map(str, files))
        message = (
            f"{names}: changed since this run was planned, whose other jobs have the old settings. Put them back "
            "to let it finish, or stop it and start it anew"
        )
        raise ConfigError(message)


def jobs_of(run: Run, settings: Any) -> Jobs:
    """Whether jobs are few (the config's ``compute.jobs``); ``settings``: Snakemake's, of resources.

    On a cluster the process of one job has to find what the one that planned it found.
    """
    asked = run.config["compute"]["jobs"]
    on_cluster = _is_elsewhere(settings) or any(argument.startswith(JOB) for argument in sys.argv)
    on_cores = not on_cluster and not why_expected()
    few = asked == "few" or (asked == "auto" and on_cores and len(run.every_cohort) == 1)
    return Jobs(few, on_cores, settings.cores or PLENTY, settings.overwrite_resources)


def _is_elsewhere(settings: Any) -> bool:
    """Whether jobs go to another machine: known by `--jobs`, which a run on this one turns into `--cores`.

    Both are there in a dry run (which has cores in any case), and where both were said: then the executor is asked for.
    """
    if settings.nodes is None or settings.cores is None:
        return settings.nodes is not None
    from snakemake.cli import parse_args

    return parse_args(sys.argv[1:])[1].executor not in AT_HOME


def say_left_out(config: Mapping[str, Any]) -> None:
    """Print what cannot be run with what the cohorts have, with the reason: in the plan, before any job starts."""
    for line in [] if any(argument.startswith(JOB) for argument in sys.argv) else left_out_lines(config):
        sys.stderr.write(f"{line}\n")


def hold_stored(checks: StoredChecks) -> None:
    """Raise WorkflowError where the store or the results were made with other settings (:class:`StoredChecks`), and
    where slides are of kinds that nobody declared. Tells jobs how many slide files are there."""
    try:
        if not any(argument.startswith(JOB) for argument in sys.argv):
            checks.slides.hold_kinds()
            tell_jobs(checks.slides.there())
        checks.hold()
    except MirrorflowError as error:
        raise _workflow_error(error) from None


def before_jobs(workflow: Any, run: Callable[[Any], None]) -> None:
    """Note who owns the run, refuse what would hang, and let local jobs start at once, each as ``run(snakemake)``."""
    note_owner(Path.cwd(), _locks_of(workflow))
    jobs = sum(1 for _ in workflow.dag.needrun_jobs())
    _refuse_stalling_arrays(workflow, jobs)
    if workflow.local_exec and not workflow.deployment_settings.deployment_method:
        start_warm_process(jobs)
        run_scripts_directly(workflow, run)
    start_jobs_at_once(workflow)


def _locks_of(workflow: Any) -> list[str] | None:
    """Lock files that this Snakemake took; None where it does not say."""
    taken = getattr(workflow.persistence, "_lockfile", None)
    return None if taken is None else list(taken.values())


def _refuse_stalling_arrays(workflow: Any, jobs: int) -> None:
    """Stop, before anything is submitted, where Slurm's array jobs would hang this run."""
    try:
        check_array_jobs(workflow.executor_settings, workflow.resource_settings.nodes, jobs, slurm_remembers_s)
    except MirrorflowError as error:
        raise _workflow_error(error) from None


def start_jobs_at_once(workflow: Any) -> None:
    """Take Snakemake's limit of submissions (100 a second) off a run on this machine, where the cores are the limit,
    and off one with Slurm's array jobs, whose plugin drops the first 100 of a rule while more than 100 are still ready.

    While jobs wait for cores, that limit has every waiting job looked at again each second, once for each job that
    has ended so far (seen in 9.27): with thousands of jobs Snakemake itself would take a core. No setting does it:
    a profile's `max-jobs-per-timespan: null` is ignored, `0/1s` starts no job, and a longer span outlasts the run.
    """
    if workflow.local_exec or has_array_jobs(workflow.executor_settings):
        workflow.scheduler.job_rate_limiter = None


def _workflow_error(error: MirrorflowError) -> Exception:
    from snakemake.exceptions import WorkflowError

    return WorkflowError(str(error))
