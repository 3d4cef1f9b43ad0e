"""A job in processes of its own: several calls side by side, or one call that torchrun spreads over devices."""

import logging
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import mirrorflow
from mirrorflow.errors import MirrorflowError
from mirrorflow.runtime.job import die_with_owner
from mirrorflow.runtime.late_dynamo import import_dynamo_late

logger = logging.getLogger("mirrorflow")


class Call(NamedTuple):
    """A function of a module (pickled by name) and what to call it with; ``label`` is for messages."""

    function: Callable[..., object]
    arguments: Sequence[Any]
    keywords: Mapping[str, Any]
    label: str


def torchrun(processes: int) -> list[str]:
    """The command that starts a script in ``processes`` processes of this machine, which meet on 127.0.0.1."""
    meeting = ["--nnodes", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"]
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), *meeting]


def run_spread(call: Call, processes: int) -> None:
    """Make the call in ``processes`` processes that find each other through torchrun's environment.

    Raises MirrorflowError when one fails; torchrun ends the others.
    """
    if not _run(call, torchrun(processes)):
        message = f"{call.label}: one of {processes} processes failed, its message stands above; finished work is kept"
        raise MirrorflowError(message)


def run_side_by_side(calls: Sequence[Call], at_a_time: int) -> None:
    """Make every call in a process of its own, ``at_a_time`` of them together.

    Raises MirrorflowError naming the calls that failed, once the others have ended.
    """
    with ThreadPoolExecutor(at_a_time) as pool:
        fine = list(pool.map(lambda call: _run(call, [sys.executable]), calls))
    failed = [call.label for call, good in zip(calls, fine, strict=True) if not good]
    if failed:
        message = f"{', '.join(failed)} failed, see the messages above; finished work is kept"
        raise MirrorflowError(message)


def _run(call: Call, command: Sequence[str]) -> bool:
    with tempfile.TemporaryDirectory(prefix="mirrorflow-") as folder:
        pickled = Path(folder) / "call.pickle"
        pickled.write_bytes(pickle.dumps((call, _log_files())))
        arguments = [*command, "-m", "mirrorflow.runtime.processes", str(pickled)]
        done = subprocess.run(arguments, check=False, env=_environment())
    return done.returncode == 0


def _environment() -> dict[str, str]:
    """The processes find this package wherever it was imported from."""
    paths = [
        str(Path(mirrorflow.__file__).parents[1]),
        *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)),
    ]
    return os.environ | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _log_files() -> list[str]:
    return [handler.baseFilename for handler in logger.handlers if isinstance(handler, logging.FileHandler)]


def main() -> int:
    """What each process does: make the call; messages go to the terminal and to the log of the job."""
    die_with_owner()
    import_dynamo_late()
    call, files = pickle.loads(Path(sys.argv[1]).read_bytes())
    logger.setLevel(logging.INFO)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr), *map(logging.FileHandler, files)]
    for handler in handlers:
        handler.setFormatter(logging.Formatter(f"[{call.label}] %(message)s"))
        logger.addHandler(handler)
    try:
        call.function(*call.arguments, **call.keywords)
    except MirrorflowError as error:
        logger.error("%s", error)  # noqa: TRY400
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
