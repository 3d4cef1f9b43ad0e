"""Who owns a run: the jobs' Snakemake, Snakemake's lock on a folder, and whether its owner still lives."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from mirrorflow.errors import MirrorflowError
from mirrorflow.runtime.gpus import TOTAL
from mirrorflow.runtime.lock_owners import LOCKS, Owner, holders, lock_files

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


def clear_dead_lock(folder: Path) -> int:
    """Remove Snakemake's locks on ``folder`` whose owner is dead; returns 0. Those of runs that are at work stay.

    Raises MirrorflowError where none is of a dead owner: they live, were started on another machine, or are unknown.
    """
    held = holders(folder)
    dead = [owner for owner in held if owner is not None and owner.is_dead]
    if held and not dead:
        raise MirrorflowError(_why_kept(folder, next(iter(held))))
    for owner in dead:
        for lock in held.pop(owner):
            lock.unlink(missing_ok=True)
        owner.path.unlink(missing_ok=True)
        sys.stderr.write(f"cleared the lock of process {owner.pid}, which is dead; finished work is kept\n")
    for kept in held:
        sys.stderr.write(f"{_why_kept(folder, kept)}\n")
    if dead and not held:
        shutil.rmtree(folder / LOCKS, ignore_errors=True)
    return 0


def _why_kept(folder: Path, owner: Owner | None) -> str:
    """Why a lock is not cleared, and what to do."""
    if owner is None:
        return f"{folder}: locked by an unknown process; if no snakemake runs here: snakemake --unlock"
    if not owner.is_here:
        return (
            f"{folder}: locked by process {owner.pid} on {owner.host}, which cannot be seen from here; "
            "if it is dead: snakemake --unlock"
        )
    return f"{folder}: another run (process {owner.pid}) is at work here; wait for it or stop it"


def require_unlocked(folder: Path) -> None:
    """Raise MirrorflowError where a Snakemake holds ``folder``, or a dead one did."""
    if lock_files(folder):
        message = f"{folder}: a run holds this folder; wait for it, or if it is dead say `mirrorflow unlock`"
        raise MirrorflowError(message)


QUIET = ("--unlock", "--nolock", "--target-jobs")
"""Arguments of a Snakemake that takes no lock, or clears it."""


def dead_lock(folder: Path, arguments: Sequence[str] = ()) -> str:
    """What to do about the lock of a Snakemake that was killed, in words; empty where there is none to speak of.

    arguments: of this Snakemake. The lock itself is left alone: one that starts now may have just taken it.
    """
    if any(argument.startswith(QUIET) for argument in arguments):
        return ""
    dead = [owner for owner in holders(folder) if owner is not None and owner.is_dead]
    if not dead:
        return ""
    return (
        f"{folder}: locked by process {dead[0].pid}, which is dead: run `mirrorflow unlock`, then this again; "
        "finished work is kept\n"
    )
