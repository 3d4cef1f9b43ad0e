"""What Snakemake would make of a config: its jobs with the inputs and params by which it decides what runs again.

Asked through Snakemake's own API, in this process, without running anything and without earlier results.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from mirrorflow.config.resources import ROOT

SNAKEFILE = ROOT / "Snakefile"


@dataclass(frozen=True, eq=False)
class Job:
    """One job. ``params`` (values, without names) and ``inputs`` are what Snakemake notes and compares."""

    rule: str
    outputs: tuple[str, ...]
    params: tuple[str, ...]
    inputs: tuple[str, ...]
    followers: list["Job"] = field(repr=False)  # theirs, and theirs again: a text without end
    """Jobs that read an output of this one, by more than its mere presence (``ancient``)."""
    gpus: int = 0
    """How many GPUs it asks for."""


def plan_jobs(configfiles: Sequence[Path], folder: Path, more: Mapping[str, Any] | None = None) -> list[Job]:
    """All jobs of the workflow with ``configfiles`` (``more`` over them) in ``folder``, in the order of the chain."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings, WorkflowSettings

    logging.getLogger("snakemake").setLevel(logging.ERROR)
    # Snakemake's own folder of sources is removed when Python happens to look, with a warning.
    with TemporaryDirectory() as sources, SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        made = api.workflow(
            workflow_settings=WorkflowSettings(runtime_source_cache_path=Path(sources)),
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=configfiles, config=more or {}),
            snakefile=SNAKEFILE,
            workdir=folder,
        )
        made.dag()
        workflow = made._workflow
        workflow._prepare_dag(forceall=True, ignore_incomplete=True, lock_warn_only=True, nolock=True)
        workflow._build_dag()
        return _jobs(workflow)


def _jobs(workflow: Any) -> list[Job]:
    notes = workflow.persistence
    order = {rule.name: number for number, rule in enumerate(workflow.rules)}
    theirs = sorted(workflow.dag.jobs, key=lambda job: (order[job.rule.name], list(job.output)))
    ours = {
        job: Job(
            job.rule.name,
            tuple(map(str, job.output)),
            tuple(map(str, notes._params(job))),
            tuple(map(str, notes._input(job))),
            [],
            int(job.resources.get("gpu", 0)),
        )
        for job in theirs
    }
    for job, planned in ours.items():
        for follower, files in workflow.dag.depending[job].items():
            if not all(file.is_ancient for file in files):
                planned.followers.append(ours[follower])
    return [job for job in ours.values() if job.outputs]


def job_table(configfiles: Sequence[Path], folder: Path) -> str:
    """The jobs of a config counted by rule: TSV with rule, jobs and the GPUs that each asks for.

    Where the config leaves it open how much a job serves, as a cluster gets them: a case each.
    """
    planned = plan_jobs(configfiles, folder, {} if _says_jobs(configfiles) else {"compute": {"jobs": "many"}})
    counts = Counter((job.rule, job.gpus) for job in planned)
    return "rule\tjobs\tgpus\n" + "".join(f"{rule}\t{count}\t{gpus}\n" for (rule, gpus), count in counts.items())


def _says_jobs(configfiles: Sequence[Path]) -> bool:
    said = [yaml.safe_load(path.read_text(encoding="utf-8")) or {} for path in configfiles]
    return any((one.get("compute") or {}).get("jobs", "auto") != "auto" for one in said)


def changed_jobs(before: Collection[Job], after: Collection[Job]) -> list[Job]:
    """Jobs of ``after`` that Snakemake would start for themselves after a run of ``before``."""
    made = {output: job for job in before for output in job.outputs}
    return [job for job in after if any(_differs(made.get(output), job) for output in job.outputs)]


def _differs(was: Job | None, job: Job) -> bool:
    """As Snakemake compares: params as a set of values. Raises ValueError for a change that it does not see."""
    if was is None or set(was.params) != set(job.params) or was.inputs != job.inputs:
        return True
    if was.params != job.params:
        message = f"rule {job.rule}: Snakemake takes {was.params} for {job.params}; put its numbers into one dict param"
        raise ValueError(message)
    return False


def following(jobs: Collection[Job]) -> list[Job]:
    """Jobs that run again because one of ``jobs`` does; without these themselves."""
    found = dict.fromkeys(_reach(jobs))
    return [job for job in found if job not in set(jobs)]


def _reach(jobs: Collection[Job]) -> Iterator[Job]:
    seen = set(jobs)
    waiting = list(jobs)
    while waiting:
        for follower in waiting.pop().followers:
            if follower not in seen:
                seen.add(follower)
                waiting.append(follower)
                yield follower
