"""The GPUs of this machine, and which of them a job computes on. Free of torch: settled before torch is imported.

A job that asks for GPUs locks as many, holds them to its end, and sees no other: two jobs of one machine never meet on
a GPU, whichever runs started them. Where Slurm or the user says which GPUs there are, that stands.
"""

import contextlib
import fcntl
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mirrorflow.errors import ConfigError

logger = logging.getLogger("mirrorflow.runtime.gpus")

VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
TOTAL = "MIRRORFLOW_GPUS"
"""Environment variable with the run's ``--resources gpu=<n>``: above the machine's GPUs, jobs share them on purpose."""
BY_SLURM = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS")
HIDDEN = ("", "-1", "NoDevFiles")
"""What CUDA_VISIBLE_DEVICES says where no GPU is to be used."""

DRIVER = Path("/proc/driver/nvidia")
NODES = Path("/dev")
LOCKS = Path("/tmp")  # not TMPDIR, which differs between jobs.

MINOR = re.compile(r"Device Minor:\s*(\d+)")


@dataclass(frozen=True)
class Gpu:
    """``number`` as CUDA counts in the order of PCI addresses; ``bus``: its address, the same for every process."""

    number: int
    bus: str


def gpus_here() -> list[Gpu]:
    """The NVIDIA GPUs whose device file this process can see (a container may have some of the machine's)."""
    folders = sorted((DRIVER / "gpus").glob("*"), key=lambda folder: folder.name.lower())
    there = [folder.name for folder in folders if _node(folder).exists()]
    return [Gpu(number, bus) for number, bus in enumerate(there)]


def _node(folder: Path) -> Path:
    try:
        found = MINOR.search((folder / "information").read_text())
    except OSError:
        found = None
    return NODES / f"nvidia{found[1] if found else 0}"


def why_expected() -> str:
    """What says that there is a GPU for this process, in words; empty where nothing does, or it is to be left alone."""
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return "" if visible.strip() in HIDDEN else f"{VISIBLE} is {visible}"
    given = next((name for name in BY_SLURM if os.environ.get(name)), None)
    if given:
        return f"{given} is {os.environ[given]}"
    nodes = sorted(path for path in NODES.glob("nvidia*") if path.name.removeprefix("nvidia").isdigit())
    return f"{nodes[0]} is there" if nodes else ""


def driver_version() -> str:
    """The NVIDIA driver's own line; empty where none is loaded."""
    try:
        return (DRIVER / "version").read_text().splitlines()[0].removeprefix("NVRM version:").strip()
    except (OSError, IndexError):
        return ""


@contextlib.contextmanager
def held_gpus(count: int, *, every_s: float = 1.0) -> Iterator[None]:
    """Let this process, and those it starts, see ``count`` GPUs that it holds alone while the block lasts; 0: none.

    Jobs wait for each other. Where the run's ``gpu`` (:data:`TOTAL`) is more than there are GPUs, they share them
    instead, and wait only for those that do not. Nothing is done without a GPU, or where Slurm or the user has chosen.
    Raises ConfigError where fewer are there than asked for.
    """
    there = gpus_here()
    if not there or VISIBLE in os.environ or any(os.environ.get(name) for name in BY_SLURM):
        yield
        return
    if count > len(there):
        message = (
            f"{count} GPUs are asked for, this machine has {len(there)}; lower compute.devices, or run it where there "
            "are as many"
        )
        raise ConfigError(message)
    with contextlib.ExitStack() as held:
        mine = _taken(there, count, held, every_s) if count else []
        with _environment({VISIBLE: ",".join(str(gpu.number) for gpu in mine), ORDER: "PCI_BUS_ID"}):
            yield


def _taken(there: Sequence[Gpu], count: int, held: contextlib.ExitStack, every_s: float) -> list[Gpu]:
    total = os.environ.get(TOTAL, "")
    shared = total.isdigit() and int(total) > len(there)
    start = os.getpid() % len(there) if shared else 0
    order = [*there[start:], *there[:start]]
    waiting = False
    while True:
        with contextlib.ExitStack() as tried:
            free = (gpu for gpu in order if _locked(gpu, tried, fcntl.LOCK_SH if shared else fcntl.LOCK_EX))
            if len(mine := list(islice(free, count))) == count:
                held.push(tried.pop_all())
                return mine
        if not waiting:
            logger.info("waiting for %d of this machine's %d GPUs: other jobs hold them", count, len(there))
            waiting = True
        time.sleep(every_s)


def _locked(gpu: Gpu, stack: contextlib.ExitStack, kind: int) -> bool:
    path = LOCKS / f"mirrorflow-gpu-{gpu.bus.replace(':', '-')}.lock"
    opened = _open(path)
    try:
        fcntl.flock(opened, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        return False
    stack.callback(os.close, opened)
    return True


def _open(path: Path) -> int:
    """The lock file, made for every user where it is not there; another user's is locked as it is."""
    try:
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with contextlib.suppress(PermissionError):  # it is another user's
        os.fchmod(opened, 0o666)  # whatever the umask
    return opened


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
