"""How a script runs its rule's step: a log, progress on the terminal, readable errors, no orphans, typed inputs."""

import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil

from mirrorflow.errors import MirrorflowError
from mirrorflow.runtime.files import clear_leftovers
from mirrorflow.runtime.gpus import held_gpus
from mirrorflow.runtime.late_dynamo import import_dynamo_late
from mirrorflow.runtime.locks import OWNER_VARIABLE
from mirrorflow.runtime.typed import RuleMismatchError, read_fields

LEVEL_VARIABLE = "MIRRORFLOW_LOG"
"""Environment variable with the level of what is logged; DEBUG names every file that is finished."""

STEPS = Path(__file__).parents[1] / "steps"


@dataclass(frozen=True)
class Job:
    """What a step may know of the job beside files and params."""

    label: str
    """The rule and its wildcards, as they stand before every message."""
    threads: int = 1
    resources: Mapping[str, Any] = field(default_factory=dict)
    wildcards: Mapping[str, str] = field(default_factory=dict)
    """For those that Params cannot name, because the rule has a param of the same name."""


def run_step(snakemake: Any) -> None:
    """Run the step of a script's rule: ``run(inputs, outputs, params, job)`` of ``mirrorflow.steps.<domain>.<rule>``.

    The step declares dataclasses ``Inputs``, ``Outputs`` and ``Params`` (see :mod:`mirrorflow.runtime.typed`); one that
    it does not declare is handed over as None. Params may name wildcards as well. What a step imports is imported here,
    once log and crash handling stand and the job holds the GPUs that its rule asks for (:mod:`.gpus`).
    """
    resources, wildcards = (dict(given.items()) for given in (snakemake.resources, snakemake.wildcards))
    with job_setup(snakemake), held_gpus(int(resources.get("gpu", 0))):
        step = find_step(snakemake.rule)
        job = Job(_label(snakemake), snakemake.threads, resources, wildcards)
        given = {"Inputs": snakemake.input, "Outputs": snakemake.output, "Params": snakemake.params}
        step.run(*(_declared(step, name, given[name], snakemake) for name in given), job)


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


@contextlib.contextmanager
def job_setup(snakemake: Any) -> Iterator[None]:
    """Run a script's body as a job of ``snakemake``.

    Progress and warnings go to the terminal and, with everything else, to the rule's log. A
    :class:`MirrorflowError` ends the job with its message alone; any other error with its traceback.
    The job ends by itself when the Snakemake that started it is gone. Half files that a killed job left
    beside the outputs are removed first.
    """
    die_with_owner()
    import_dynamo_late()
    for folder in {Path(output).parent for output in snakemake.output}:
        clear_leftovers(folder)
    log = Path(snakemake.log[0]) if snakemake.log else None
    with _logging(_label(snakemake), log):
        try:
            yield
        except MirrorflowError as error:
            # The message is all the user needs.
            logging.getLogger("mirrorflow").error("%s", error)  # noqa: TRY400
            sys.exit(1)
        except Exception:
            logging.getLogger("mirrorflow").error("unexpected error:\n%s", traceback.format_exc())  # noqa: TRY400
            sys.exit(1)


def _label(snakemake: Any) -> str:
    wildcards = " ".join(str(value) for value in snakemake.wildcards)
    return f"{snakemake.rule} {wildcards}".strip()


@contextlib.contextmanager
def _logging(label: str, log: Path | None) -> Iterator[None]:
    root = logging.getLogger("mirrorflow")
    root.setLevel(os.environ.get(LEVEL_VARIABLE, "INFO"))
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setFormatter(logging.Formatter(f"[{label}] %(message)s"))
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        # Appending, as the processes of processes.py do: none writes over another's lines.
        handlers.append(logging.FileHandler(log, mode="a", encoding="utf-8"))
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for handler in handlers:
        root.addHandler(handler)
    logging.captureWarnings(capture=True)
    warnings_logger = logging.getLogger("py.warnings")
    warnings_logger.addHandler(handlers[-1])
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        for handler in handlers:
            root.removeHandler(handler)
            warnings_logger.removeHandler(handler)
            handler.close()


def die_with_owner(every_s: float = 0.25) -> None:
    """End this process, at once and unconditionally, when the Snakemake that started it is gone.

    PR_SET_PDEATHSIG would not do: it follows the thread that forked, and a shell stands between.
    """
    owner = os.environ.get(OWNER_VARIABLE)
    if not owner:
        return
    try:
        process = psutil.Process(int(owner))
    except psutil.NoSuchProcess:
        os.kill(os.getpid(), signal.SIGKILL)
        return
    threading.Thread(target=_watch, args=(process, every_s), daemon=True, name="owner-watch").start()


def _watch(owner: psutil.Process, every_s: float) -> None:
    while _alive(owner):
        time.sleep(every_s)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os.kill(os.getpid(), signal.SIGKILL)


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
