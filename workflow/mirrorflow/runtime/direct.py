"""Jobs without a script's process: a thread of Snakemake hands each to the run's warm process itself.

A script that only does so costs 0.2 CPU seconds, most of them for Snakemake's own modules. So Snakemake's function of a
rule (``Rule.run_func``) is replaced by one that asks the warm process first, and runs the script where there is none.
"""

import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mirrorflow.config.resources import ROOT
from mirrorflow.runtime.warm import run_in_warm_process

SCRIPTS = ROOT / "workflow" / "scripts"
RECORD, ITERATION = 13, 16
"""Where benchmark record and repeat stand among the arguments of ``run_func`` (Snakemake 9.27)."""
NAMES = {
    **dict(enumerate(("input", "output", "params", "wildcards", "threads", "resources", "log", "rule"))),
    RECORD: "bench_record",
    ITERATION: "bench_iteration",
}
"""What has to stand where: ``run_func`` is called by position. Of a Snakemake that moves them scripts are run."""


def run_scripts_directly(workflow: Any, run: Callable[[Any], None]) -> None:
    """Let jobs of this workflow's scripts be ``run(snakemake)`` in forks of the warm process."""
    for rule in workflow.rules:
        path = _script_of(rule)
        if path is not None and path.parent == SCRIPTS and _is_known(rule.run_func):
            rule.run_func = _directly(rule.run_func, run, path)


def _is_known(run_func: Callable[..., None]) -> bool:
    given = list(inspect.signature(run_func).parameters)
    return all(at < len(given) and given[at] == name for at, name in NAMES.items())


def _script_of(rule: Any) -> Path | None:
    return Path(rule.basedir.get_path_or_uri(secret_free=True), rule.script).resolve() if rule.is_script else None


def _directly(script: Callable[..., None], run: Callable[[Any], None], path: Path) -> Callable[..., None]:
    def run_func(*given: Any) -> None:
        from snakemake.exceptions import WorkflowError
        from snakemake.script import Snakemake

        *files, rule = given[:8]  # input, output, params, wildcards, threads, resources, log; no step reads a config
        snakemake = Snakemake(*files, {}, rule, given[ITERATION], str(path.parent))
        started = time.monotonic()
        status = run_in_warm_process(run, snakemake)
        if status is None:
            script(*given)
        elif status:
            message = f"{path.name}, in a fork of the warm process, ended with {status}"
            raise WorkflowError(message)
        elif record := given[RECORD]:  # the job itself says what else it used (runtime/usage.py)
            record.running_time, record.process_gone = time.monotonic() - started, True

    return run_func
