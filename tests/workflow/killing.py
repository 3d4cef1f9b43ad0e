"""Runs that are killed: started, watched through what they say they finished, killed, and gone."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil

from mirrorflow.runtime import warm
from runner import command, jobs_of_warm_process, warm_process

WRITTEN = re.compile(rb"written: (\S+)")
WORTHWHILE = re.compile(
    r"(patches/.*\.h5|features/.*\.h5|genes/\.kept/.*fold\d+\.json|model\.safetensors|fold\d+\.(safetensors|parquet))$"
)
"""Files that stand for a finished slide, gene list (its copy), model, embedding or probe."""
LIMIT_S = 1000
"""One to two minutes on two free cores; other work on the machine makes it longer."""


class Killed:
    """A run in ``folder`` that is started again and again; ``said`` is everything all its attempts said."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.folder, self.config, self.said = folder, config, folder / "said.log"
        self.said.touch()
        self._read, self._written = 0, Counter[str]()

    def written(self) -> Counter[str]:
        """How often each file was finished, over all attempts."""
        size = self.said.stat().st_size
        if size != self._read:
            self._written = Counter(name.decode() for name in WRITTEN.findall(self.said.read_bytes()[:size]))
            self._read = size
        return self._written

    def run(self, until: Callable[[], bool], *, own_warm_process: bool = True) -> list[psutil.Process] | None:
        """Run until ``until`` holds, then SIGKILL Snakemake: its processes, or None when it ended before.

        Without a warm process of its own its jobs are forks of the tests', which outlives it: no imports to wait for.
        Raises AssertionError when it fails by itself, or is not done after :data:`LIMIT_S`.
        """
        environment = {**os.environ, "PYTHONWARNINGS": "default", "MIRRORFLOW_LOG": "DEBUG"}
        if not own_warm_process:
            environment[warm.VARIABLE] = warm_process()
        with self.said.open("ab") as log:
            process = subprocess.Popen(
                command(self.folder, self.config), cwd=self.folder, stdout=log, stderr=log, env=environment
            )
            deadline = time.monotonic() + LIMIT_S
            while not until():
                if process.poll() is not None:
                    assert process.returncode == 0, self.said.read_text(errors="replace")[-4000:]
                    return None
                assert time.monotonic() < deadline, "the moment to kill never came"
                time.sleep(0.02)
            children = psutil.Process(process.pid).children(recursive=True)
            if not own_warm_process:
                children += jobs_of_warm_process()
            process.kill()
            process.wait()
        return children

    def unlock(self) -> None:
        """What `make run` does first."""
        subprocess.run([sys.executable, "-m", "mirrorflow.cli", "unlock"], cwd=self.folder, check=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    """Every process of a killed run ends by itself within seconds."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    names = []
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            names.append(" ".join(process.cmdline()))
    assert not names, names


def finished(folder: Path) -> dict[str, int]:
    """Worthwhile files of a run and when they were written."""
    places = [folder / "store" / "slides", folder / "store" / "features", folder / "results"]
    paths = [path for place in places for path in place.rglob("*") if WORTHWHILE.search(path.as_posix())]
    whole = [path for path in paths if not path.name.startswith(".")]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in whole}


def worthwhile(said: str) -> list[str]:
    """Worthwhile files that a run with MIRRORFLOW_LOG=DEBUG says it finished."""
    return [name for name in re.findall(WRITTEN.pattern.decode(), said) if WORTHWHILE.search(name)]
