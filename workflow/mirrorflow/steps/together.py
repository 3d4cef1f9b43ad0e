"""A job that serves every case of its rule, side by side in as many processes as the job has threads for."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mirrorflow.errors import MirrorflowError
from mirrorflow.plan.together import EACH, flat, label_of
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.forks import Cores, in_workers
from mirrorflow.runtime.progress import Progress

logger = logging.getLogger("mirrorflow")

MANY = 4
"""So many cases a thread are many."""


class Named(list[str]):
    """Files of a case as Snakemake hands them to a script: a list of all, each name an attribute."""

    def __init__(self, named: Mapping[str, str | list[str]]) -> None:
        super().__init__(flat(named.values()))
        self.__dict__.update(named)

    def keys(self) -> list[str]:
        """The names."""
        return list(self.__dict__)


class Wildcards(dict[str, str]):
    """Wildcards of a case, which are gone through by value, as Snakemake's are."""

    def __iter__(self) -> Iterator[str]:
        return iter(self.values())

    def __getattr__(self, name: str) -> str:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class CaseJob:
    """What a step's job is told of one case of the job ``whole``, which has ``cores`` for its cases."""

    of_case = True
    """Its process serves others, too."""

    def __init__(self, whole: Any, case: Mapping[str, Any], cores: Cores) -> None:
        self.rule = whole.rule
        self.input, self.output, self.log = Named(case["input"]), Named(case["output"]), [case["log"]]
        self.params = dict(case["params"])
        self.wildcards = Wildcards({name: str(value) for name, value in case["wildcards"].items()})
        self.threads, self.resources = cores.threads, dict(whole.resources.items())
        if "mem_mb" in self.resources:
            self.resources["mem_mb"] //= cores.processes


def serve_cases(whole: Any, cases: Sequence[Mapping[str, Any]], run: Callable[[Any], None]) -> None:
    """``run`` each of ``cases`` as a job, those that read what others make after these.

    None takes another along. Raises MirrorflowError, once the others have ended, that names those that failed.
    """
    resources = dict(whole.resources.items())
    each = _threads_of_case(whole.threads, int(resources.get(EACH, 1)), len(cases))
    cores = Cores(min(len(cases), whole.threads // each), float(resources.get("mem_mb", "inf")), each)
    jobs = {label_of(case["wildcards"]): CaseJob(whole, case, cores) for case in cases}
    progress = Progress(whole.rule, len(jobs), "cases")
    waiting, failed = dict(jobs), list[str]()
    while ready := _ready(waiting, {path for label in failed for path in jobs[label].output}):
        calls = [Call(_run, (run, jobs[label], label), {}, label) for label in ready]
        failed += in_workers(calls, cores, lambda label: progress.step(note=label))
        for label in ready:
            del waiting[label]
    if failed:
        raise MirrorflowError(_said_of(failed, list(waiting), len(jobs)))


def _said_of(failed: Sequence[str], left: Sequence[str], cases: int) -> str:
    behind = f", and {', '.join(left)}, which wait for what they make" if left else ""
    return (
        f"{len(failed)} of {cases} cases failed: {', '.join(failed)}{behind}. Their messages stand above, and in their "
        "own logs. Snakemake removes what this job declares; models, embeddings, predictions, genes and features of "
        "the other cases are kept, and the next run finds them"
    )


def _ready(waiting: Mapping[str, CaseJob], never: set[str]) -> list[str]:
    """Labels of the cases that wait for none of the others, nor for what will ``never`` be made."""
    coming = {path for job in waiting.values() for path in job.output} | never
    return [label for label, job in waiting.items() if not coming.intersection(job.input)]


def _threads_of_case(threads: int, asked: int, cases: int) -> int:
    """Threads of each of so many cases of a job with ``threads``.

    None asked for: all, as one long case that is left would idle the other cores; a thread each of many cases, which
    spares them the processes that they would make.
    """
    if asked:
        return min(asked, threads)
    return 1 if cases >= MANY * threads else threads


def _run(run: Callable[[Any], None], job: CaseJob, label: str) -> None:
    """One case: its messages have its own name, and stand in the whole job's log as well."""
    for handler in list(logger.handlers):
        if isinstance(handler, logging.FileHandler):
            handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s [{label}] %(message)s"))
        else:
            logger.removeHandler(handler)
    try:
        run(job)
    except SystemExit as ended:
        if ended.code:
            message = f"{label} ended with {ended.code}: see {job.log[0]}"
            raise MirrorflowError(message) from None
    finally:
        sys.stdout.flush()
