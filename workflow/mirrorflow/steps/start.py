"""How a script starts its rule's step: found by the rule's name, given typed inputs, outputs and params."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from mirrorflow.plan.records import hold_store, write_plan
from mirrorflow.plan.together import TOGETHER
from mirrorflow.runtime.gpus import held_gpus
from mirrorflow.runtime.job import Job, job_setup, label_of
from mirrorflow.runtime.typed import RuleMismatchError, read_fields
from mirrorflow.runtime.warm import run_in_warm_process
from mirrorflow.steps.together import serve_cases

STEPS = Path(__file__).parent


def run_step(snakemake: Any) -> None:
    """:func:`run_here`, in a fork of the run's warm process where there is one; ends with its status."""
    status = run_in_warm_process(run_here, snakemake)
    if status is None:
        run_here(snakemake)
    elif status:
        sys.exit(status)


def run_here(snakemake: Any) -> None:
    """Run the step of a script's rule: ``run(inputs, outputs, params, job)`` of ``mirrorflow.steps.<domain>.<rule>``.

    The step declares dataclasses ``Inputs``, ``Outputs`` and ``Params`` (see :mod:`mirrorflow.runtime.typed`); one that
    it does not declare is handed over as None. Params may name wildcards as well. What a step imports is imported here,
    once log and crash handling stand and the job holds its GPUs (:mod:`mirrorflow.runtime.gpus`). A param ``stored``,
    of any rule, lists records of what is read from the store; they are held here (:mod:`mirrorflow.plan.records`).
    A param ``noted`` lists records that are written once the step is done.
    A param ``together`` lists what one job serves case after case (:mod:`mirrorflow.steps.together`).
    """
    resources, wildcards = (dict(given.items()) for given in (snakemake.resources, snakemake.wildcards))
    with job_setup(snakemake), held_gpus(int(resources.get("gpu", 0))):
        if cases := snakemake.params.get(TOGETHER):
            find_step(snakemake.rule)  # imported once
            serve_cases(snakemake, cases, run_here)
            return
        hold_store(snakemake.params.get("stored", []))
        step = find_step(snakemake.rule)
        job = Job(label_of(snakemake), snakemake.threads, resources, wildcards)
        given = {"Inputs": snakemake.input, "Outputs": snakemake.output, "Params": snakemake.params}
        step.run(*(_declared(step, name, given[name], snakemake) for name in given), job)
        for record in snakemake.params.get("noted", []):
            write_plan(record)


def find_step(rule: str) -> ModuleType:
    """The module of the rule's step. Raises RuleMismatchError where no domain, or more than one, has it."""
    found = [path.parent.name for path in sorted(STEPS.glob(f"*/{rule}.py"))]
    if len(found) != 1:
        message = f"rule {rule}: {len(found)} steps of its name in {STEPS}; a rule has one, <domain>/{rule}.py"
        raise RuleMismatchError(message)
    return importlib.import_module(f"mirrorflow.steps.{found[0]}.{rule}")


def _declared(step: ModuleType, name: str, given: Any, snakemake: Any) -> Any:
    if not hasattr(step, name):
        return None
    where = f"rule {snakemake.rule}, {name.lower().rstrip('s')}"
    wildcards = snakemake.wildcards if name == "Params" else None
    return read_fields(getattr(step, name), given, where, wildcards=wildcards)
