"""Who owns a run: the jobs' Snakemake, Snakemake's lock on a folder, and whether its owner still lives."""

import json
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from mirrorflow.errors import MirrorflowError
from mirrorflow.runtime.gpus import TOTAL

OWNER_FILE = Path(".snakemake") / "mirrorflow-owner.json"
LOCKS = Path(".snakemake") / "locks"
TOLERANCE_S = 1.0


OWNER_VARIABLE = "MIRRORFLOW_OWNER"
"""Environment variable with the process id of the Snakemake that started a job (see runtime.job)."""


def own_jobs(package: str, gpus: object = None) -> None:
    """Tell the jobs this process will start whose they are, where the package lies, and to trust no pickle.

    gpus: how many the run may use at a time, if that is bounded; jobs share GPUs where there are fewer.

    Scripts run in processes (and conda environments) of their own; they inherit the environment. Torch then
    loads tensors only (``weights_only``), whoever calls it: a file of weights cannot execute anything.
    """
    os.environ[OWNER_VARIABLE] = str(os.getpid())
    os.environ[TOTAL] = str(getattr(gpus, "value", gpus) or "")  # Snakemake wraps it
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))


def note_owner(folder: Path) -> None:
    """Write down which process runs the workflow in ``folder``."""
    path = folder / OWNER_FILE
    path.parent.mkdir(exist_ok=True)
    me = psutil.Process(os.getpid())
    path.write_text(json.dumps({"host": platform.node(), "pid": me.pid, "started": me.create_time()}))


def clear_dead_lock(folder: Path) -> int:
    """Remove Snakemake's lock on ``folder`` when the process that took it is dead; returns 0.

    Raises MirrorflowError when it lives, or was started on another machine.
    """
    locks = folder / LOCKS
    if not locks.exists() or not any(locks.iterdir()):
        return 0
    owner = _owner(folder)
    if owner is None:
        message = f"{folder}: locked by an unknown process; if no snakemake runs here: snakemake --unlock"
        raise MirrorflowError(message)
    if owner["host"] != platform.node():
        message = (
            f"{folder}: locked by process {owner['pid']} on {owner['host']}, which cannot be seen from here; "
            "if it is dead: snakemake --unlock"
        )
        raise MirrorflowError(message)
    if _lives(owner):
        message = f"{folder}: another run (process {owner['pid']}) is at work here; wait for it or stop it"
        raise MirrorflowError(message)
    shutil.rmtree(locks)
    sys.stderr.write(f"cleared the lock of process {owner['pid']}, which is dead; finished work is kept\n")
    return 0


def require_unlocked(folder: Path) -> None:
    """Raise MirrorflowError where a Snakemake holds ``folder``, or a dead one did."""
    locks = folder / LOCKS
    if locks.exists() and any(locks.iterdir()):
        message = f"{folder}: a run holds this folder; wait for it, or if it is dead say `mirrorflow unlock`"
        raise MirrorflowError(message)


QUIET = ("--unlock", "--nolock", "--target-jobs")
"""Arguments of a Snakemake that takes no lock, or clears it."""


def dead_lock(folder: Path, arguments: Sequence[str] = ()) -> str:
    """What to do about the lock of a Snakemake that was killed, in words; empty where there is none to speak of.

    arguments: of this Snakemake. The lock itself is left alone: one that starts now may have just taken it.
    """
    locks = folder / LOCKS
    if any(argument.startswith(QUIET) for argument in arguments) or not locks.exists() or not any(locks.iterdir()):
        return ""
    owner = _owner(folder)
    if owner is None or owner["host"] != platform.node() or _lives(owner):
        return ""
    return (
        f"{folder}: locked by process {owner['pid']}, which is dead: run `mirrorflow unlock`, then this again; "
        "finished work is kept\n"
    )


def _owner(folder: Path) -> dict | None:
    try:
        return json.loads((folder / OWNER_FILE).read_text())
    except (OSError, ValueError):
        return None


def _lives(owner: dict) -> bool:
    try:
        process = psutil.Process(owner["pid"])
        same = abs(process.create_time() - owner["started"]) < TOLERANCE_S
    except psutil.NoSuchProcess:
        return False
    return same and process.status() != psutil.STATUS_ZOMBIE
