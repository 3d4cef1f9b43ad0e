"""Calls in processes of their own: one, several side by side, or one that torch's launcher spreads over devices."""

import contextlib
import logging
import multiprocessing
import sys
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from mirrorflow.errors import MirrorflowError
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.job import die_with_owner

logger = logging.getLogger("mirrorflow")


def run_alone(call: Call) -> Any:
    """What the call returns, or raises, in a fresh process that logs as this job does and dies with its owner.

    Raises BrokenProcessPool where the process dies.
    """
    fresh = multiprocessing.get_context("spawn")
    with (
        _script_runs_once(),
        ProcessPoolExecutor(1, fresh, initializer=_enter, initargs=(call.label, _log_files())) as pool,
    ):
        return pool.submit(call.function, *call.arguments, **call.keywords).result()


def run_side_by_side(calls: Sequence[Call], at_a_time: int) -> None:
    """Make every call in a process of its own, ``at_a_time`` of them together.

    Raises MirrorflowError naming the calls that failed, once the others have ended.
    """
    with ThreadPoolExecutor(at_a_time) as pool:
        fine = list(pool.map(_succeeds, calls))
    failed = [call.label for call, good in zip(calls, fine, strict=True) if not good]
    if failed:
        message = f"{', '.join(failed)} failed, see the messages above; finished work is kept"
        raise MirrorflowError(message)


def _succeeds(call: Call) -> bool:
    """Make the call; what goes wrong is a message. A process that dies takes no other one with it."""
    try:
        run_alone(call)
    except MirrorflowError as error:
        logger.error("[%s] %s", call.label, error)  # noqa: TRY400
        return False
    except Exception:
        logger.error("[%s] unexpected error:\n%s", call.label, traceback.format_exc())  # noqa: TRY400
        return False
    return True


def run_spread(call: Call, processes: int) -> None:
    """Make the call in ``processes`` processes of this machine that find each other as torchrun's do.

    Raises MirrorflowError when one fails; the launcher ends the others.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    layout = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=call.label,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        start_method="spawn",
    )
    try:
        with _script_runs_once():
            elastic_launch(layout, _make)(call, _log_files())
    except ChildFailedError as error:
        message = f"{call.label}: one of {processes} processes failed, its message stands above; finished work is kept"
        raise MirrorflowError(message) from error


def _make(call: Call, files: Sequence[str]) -> None:
    """What each of several processes does."""
    _enter(call.label, files)
    try:
        call.function(*call.arguments, **call.keywords)
    except MirrorflowError as error:
        logger.error("%s", error)  # noqa: TRY400
        sys.exit(1)


def _enter(label: str, files: Sequence[str]) -> None:
    """Messages go to the terminal and to the log of the job; the process ends with the job's owner."""
    die_with_owner()
    logger.setLevel(logging.INFO)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr), *map(logging.FileHandler, files)]
    for handler in handlers:
        handler.setFormatter(logging.Formatter(f"[{label}] %(message)s"))
        logger.addHandler(handler)


def _log_files() -> list[str]:
    return [handler.baseFilename for handler in logger.handlers if isinstance(handler, logging.FileHandler)]


@contextlib.contextmanager
def _script_runs_once() -> Iterator[None]:
    """A spawned process runs its parent's main file again, as a module; Snakemake's scripts are not made for that.

    Without a file (as in an interactive session) it does not. Nothing that a call needs is defined there.
    """
    main = vars(sys.modules["__main__"])
    file = main.pop("__file__", None)
    try:
        yield
    finally:
        if file is not None:
            main["__file__"] = file
