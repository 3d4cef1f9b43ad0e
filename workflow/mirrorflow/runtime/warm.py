"""Jobs that start in a moment: one process has imported what steps import, and forks itself for each job of a run.

Snakemake starts a process for every script. Most of such a process's time is Python's imports: 1 to 5 CPU seconds,
for steps that work for a tenth of that. Instead whoever has a job (a thread of Snakemake, see ``direct``, or a script)
hands it to a fork of the warm process, lends it its terminal, and takes its status. When it dies its job does, too.

Where there is no warm process (on a cluster, in a container, before it is ready, once it is gone) the script works by
itself, as it does where a GPU is: CUDA wants processes of its own.
"""

import contextlib
import gc
import importlib
import multiprocessing
import os
import pickle
import pkgutil
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.runtime.gpus import DRIVER
from mirrorflow.runtime.job import end_with_children
from mirrorflow.runtime.threads import use_threads

VARIABLE = "MIRRORFLOW_WARM"
"""Environment variable: the run's warm process (see :func:`named`); ``off``, set by a user, leaves it out."""
OWNER = "MIRRORFLOW_WARM_OWNER"
"""Environment variable with the process that a warm one ends with: it may have died before anybody looks for it."""
CODE = str(Path(__file__).parents[1])
"""Where this code lies: a process that has imported another checkout's does no job of this one."""
FEW_JOBS = 6
"""With fewer jobs than this the imports of a warm process would be the longer ones."""
LOOKS_S = 0.5
"""How often the warm process looks whether the run is still there."""
READY_S = 0.05
"""How often a job that waits for the warm process looks whether it is ready."""
MOST_S = 60
"""How long it waits at most: on busy cores imports take a quarter of that."""
GPU_DRIVER = DRIVER / "version"
HEADER = struct.Struct("!Q")
PRELOADED = ("snakemake.script", "torch._dynamo", "mirrorflow.steps")
"""What a warm process imports, packages with all their modules. The first optimiser of a process imports the second."""
INTERRUPTED = threading.Event()
"""Set once somebody pressed Ctrl-C."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "GOTO_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""What Snakemake sets to a job's threads, and libraries read once, when they are loaded."""


@dataclass(frozen=True)
class Request:
    """A job: the function that runs it, what Snakemake handed the script, and the script's surroundings."""

    run: Callable[[Any], None]
    snakemake: Any
    folder: Path
    environment: dict[str, str]


# Snakemake's side


def start_warm_process(jobs: int) -> None:
    """Start the warm process of a run of ``jobs`` jobs on this machine; it ends with this process.

    Where whoever started this process has one already (the tests), that one serves.
    """
    if jobs < FEW_JOBS or os.environ.get(VARIABLE) == "off" or _address_here() is not None:
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    address, _ = started()
    os.environ[VARIABLE] = named(address)


def _interrupted(number: int, frame: Any) -> None:
    """A Ctrl-C, which only the main thread hears of: jobs that wait to begin do not begin."""
    INTERRUPTED.set()
    signal.default_int_handler(number, frame)


def started() -> tuple[Path, subprocess.Popen[bytes]]:
    """A new warm process, and the address that will be there once it listens."""
    address = Path(tempfile.mkdtemp(prefix="mirrorflow-")) / "jobs"
    command = [sys.executable, "-m", "mirrorflow.runtime.warm", str(address)]
    environment = {**os.environ, **dict.fromkeys(THREADS, "1"), OWNER: str(os.getpid())}
    return address, subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)


def named(address: Path) -> str:
    """What the variable says of a warm process at ``address``: with whose interpreter and code it works."""
    return os.pathsep.join([str(address), sys.executable, CODE])


def _address_here() -> str | None:
    """Where a warm process of this interpreter and this code listens, or will; None where none is named."""
    address, _, of = os.environ.get(VARIABLE, "").partition(os.pathsep)
    is_ours = of == os.pathsep.join([sys.executable, CODE])
    return address if is_ours and Path(address).parent.exists() else None


# the script's side


def run_in_warm_process(run: Callable[[Any], None], snakemake: Any) -> int | None:
    """The exit status of ``run(snakemake)`` in a fork of the run's warm process; None where there is none to ask."""
    address = _address_here()
    if address is None or _wants_gpu(snakemake):
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        if _wants_torch(snakemake):
            _wait_until_ready(Path(address))
            if INTERRUPTED.is_set():
                return 128 + signal.SIGINT
            if not Path(address).exists():
                os.environ[VARIABLE] = "off"  # neither the job's script nor another job waits again
        try:
            connection.connect(address)
        except OSError:
            return None
        threads = dict.fromkeys(THREADS, str(snakemake.threads))
        request = Request(run, snakemake, Path.cwd(), {**os.environ, **threads})
        content = pickle.dumps(request)
        socket.send_fds(connection, [HEADER.pack(len(content))], [1, 2])
        connection.sendall(content)
        return _status(connection)


def _wants_gpu(snakemake: Any) -> bool:
    return bool(snakemake.resources.get("gpu")) and GPU_DRIVER.exists()


def _wants_torch(snakemake: Any) -> bool:
    """Whether the job's own imports would take as long as the rest of the warm process's."""
    return "gpu" in snakemake.resources.keys()  # noqa: SIM118 (Snakemake's lists of names)


def _wait_until_ready(address: Path) -> None:
    """Wait while the warm process imports; it removes the folder of its address when it ends, if it can."""
    until = time.monotonic() + MOST_S
    while address.parent.exists() and not address.exists() and time.monotonic() < until:
        if INTERRUPTED.wait(READY_S):
            return


def _status(connection: socket.socket) -> int:
    """What the fork answers; one that died answers nothing, and the script dies as it did."""
    answer = connection.recv(1)
    return answer[0] if answer else 128 + signal.SIGKILL


# the warm process


def serve(address: str, owner: int, preloaded: Sequence[str] = PRELOADED) -> None:
    """Import what steps import (``preloaded``), then fork for every request at ``address`` while ``owner`` lives."""
    with _folder_removed(address):  # nobody is to wait for what will not come
        with _ended_with(owner, address):
            _import(preloaded)
        gc.freeze()  # half a million objects for life: a fork that looked for garbage among them would copy them
        # OpenBLAS sees to its own threads
        warnings.filterwarnings("ignore", message="This process .* is multi-threaded")
        forks = multiprocessing.get_context("fork")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{address}.new")
            listener.listen(socket.SOMAXCONN)
            listener.settimeout(LOOKS_S)
            Path(f"{address}.new").rename(address)
            while os.getppid() == owner:
                with contextlib.suppress(TimeoutError):
                    connection, _ = listener.accept()
                    with connection:
                        forks.Process(target=_serve_one, args=(connection, listener)).start()
                multiprocessing.active_children()  # buries those that have ended


@contextlib.contextmanager
def _ended_with(owner: int, address: str) -> Iterator[None]:
    """End this process when ``owner`` does while the block lasts: imports of many seconds are then for nobody.

    Its thread is gone when the block ends: forks are made by a process that has none.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOKS_S):
            if os.getppid() != owner:
                shutil.rmtree(Path(address).parent, ignore_errors=True)
                os._exit(0)

    watching = threading.Thread(target=watch, name="owner-watch")
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


@contextlib.contextmanager
def _folder_removed(address: str) -> Iterator[None]:
    try:
        yield
    finally:
        shutil.rmtree(Path(address).parent, ignore_errors=True)


def _import(names: Sequence[str]) -> None:
    for name in names:
        module = importlib.import_module(name)
        if name.startswith("mirrorflow.") and hasattr(module, "__path__"):
            for part in pkgutil.walk_packages(module.__path__, f"{name}."):
                importlib.import_module(part.name)


def _serve_one(connection: socket.socket, listener: socket.socket) -> None:
    """What a fork does: become the job, and say how it ended. Ctrl-C ends it, as it ends a script."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    listener.close()
    connection.settimeout(None)
    request = _received(connection)
    done = threading.Event()
    threading.Thread(target=_die_with_script, args=(connection, done), daemon=True).start()
    status = _status_of(request)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    done.set()
    connection.sendall(bytes([status]))


def _received(connection: socket.socket) -> Request:
    head, (out, err), _, _ = socket.recv_fds(connection, HEADER.size, 2)
    for mine, theirs in ((1, out), (2, err)):
        os.dup2(theirs, mine)
        os.close(theirs)
    (size,) = HEADER.unpack(head)
    with connection.makefile("rb") as stream:
        request = pickle.loads(stream.read(size))
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    use_threads(request.snakemake.threads)  # as libraries of a process of its own read it from the environment: THREADS
    Path("/proc/self/comm").write_text(request.snakemake.rule)
    return request


def _die_with_script(connection: socket.socket, done: threading.Event) -> None:
    """End this process, and those it has started, when nobody waits for it any more."""
    connection.recv(1)
    if not done.is_set():
        end_with_children()


def _status_of(request: Request) -> int:
    try:
        request.run(request.snakemake)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for Snakemake and the jobs
    serve(sys.argv[1], int(os.environ.get(OWNER, os.getppid())), sys.argv[2:] or PRELOADED)
    os._exit(
        0
    )  # a library complains of what is left in memory when Python takes itself down; nothing else is to be done
