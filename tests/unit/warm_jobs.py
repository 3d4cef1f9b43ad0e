"""Jobs that test_warm.py asks a warm process for."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.processes import run_alone


def say_where(snakemake: SimpleNamespace) -> None:
    print(Path.cwd(), os.environ["SAID"], "in", snakemake.rule)
    print("beside", file=sys.stderr)


def end_with_three(snakemake: SimpleNamespace) -> None:
    sys.exit(3)


def fail(snakemake: SimpleNamespace) -> None:
    message = "something nobody thought of"
    raise ValueError(message)


def be_killed(snakemake: SimpleNamespace) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def last(snakemake: SimpleNamespace) -> None:
    """Write the ids of this process and of a child of its own, then go on for long."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    Path("ids").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(100)


def change_everything(snakemake: SimpleNamespace) -> None:
    sys.modules.pop("json", None)
    sys.path.clear()
    os.environ["SAID"] = "changed"


def ask_a_spawned_process(snakemake: SimpleNamespace) -> None:
    print(run_alone(Call(name_of_this, (), {}, "spawned")))


def name_of_this() -> str:
    return f"{multiprocessing.current_process().name.split('-')[0]} of {Path.cwd().name}"


def count_threads(snakemake: SimpleNamespace) -> None:
    import torch

    print(torch.get_num_threads())


def say_whether_frozen(snakemake: SimpleNamespace) -> None:
    """Whether what was imported is kept from the search for garbage."""
    print(gc.get_freeze_count() > 100_000)
