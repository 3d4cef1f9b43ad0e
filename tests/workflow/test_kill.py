"""SIGKILL in the middle: no orphan goes on, finished slides and epochs are kept, the result is the same."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from runner import CONFIGS, changed_config, command, succeed
from test_tiny import compare_runs

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def features(folder: Path) -> dict[Path, int]:
    """Finished feature files and when they were written."""
    files = (folder / "store/features").glob("*/*/*/[!.]*.h5")
    return {path: path.stat().st_mtime_ns for path in files}


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoints of pretrainings under way."""
    return list(folder.glob("results/tiny/*/*/models/*/*/*/*/checkpoint.*"))


def manifests(folder: Path) -> list[Path]:
    """Finished probes and baselines."""
    return list(folder.glob("results/tiny/predictions/*/*/*/*/manifest.json"))


def kill_when(folder: Path, config: Path, ready: Callable[[], bool], limit_s: float = 300) -> list[psutil.Process]:
    """Start the workflow, SIGKILL its main process once ``ready`` holds; returns the processes it had started."""
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    with (folder / "killed.log").open("w") as log:
        process = subprocess.Popen(command(folder, config), cwd=folder, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + limit_s
        while not ready():
            assert process.poll() is None, f"ended too soon: {(folder / 'killed.log').read_text()[-3000:]}"
            assert time.monotonic() < deadline, "the moment to kill never came"
            time.sleep(0.05)
        children = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    return children


def assert_gone(processes: list[psutil.Process]) -> None:
    """Every Python process of the killed run ends by itself within seconds."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    names = []
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            names.append(" ".join(process.cmdline()))
    assert not names, names


def unlock(folder: Path) -> None:
    """What `make run` does first."""
    subprocess.run([sys.executable, "-m", "mirrorflow.cli", "unlock"], cwd=folder, check=True)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny cohort, trained long enough to be killed while it trains."""
    folder = tmp_path_factory.mktemp("config")
    return changed_config(folder, CONFIGS / "tiny.yaml", **{"pretrain.epochs": 40, "protocols": {"honest": {}}})


@pytest.fixture(scope="module")
def undisturbed(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, never killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    succeed(folder, config)
    return folder / "results/tiny"


def test_killed_run_goes_on_and_gives_the_same(config: Path, undisturbed: Path, tmp_path: Path) -> None:
    """Killed while slides are encoded, while MIRROR trains, while probes run; then left alone."""
    assert_gone(kill_when(tmp_path, config, lambda: len(features(tmp_path)) >= 3))
    encoded = features(tmp_path)
    unlock(tmp_path)

    assert_gone(kill_when(tmp_path, config, lambda: bool(checkpoints(tmp_path))))
    after = features(tmp_path)
    assert {path: after[path] for path in encoded} == encoded, "a finished slide was done again"
    unlock(tmp_path)

    assert_gone(kill_when(tmp_path, config, lambda: len(manifests(tmp_path)) >= 2))
    log = "\n".join(path.read_text() for path in tmp_path.glob("results/tiny/logs/pretrain_mirror/**/*.log"))
    assert "epochs kept from an earlier run" in log, "no training went on from its checkpoint"
    unlock(tmp_path)

    succeed(tmp_path, config)
    compare_runs(undisturbed, tmp_path / "results/tiny")
    assert {path: features(tmp_path)[path] for path in encoded} == encoded
    assert not list(tmp_path.glob("**/.tmp-*")), "half files are left"


def test_unlock_refuses_while_a_run_lives(config: Path, tmp_path: Path) -> None:
    process = None

    def started() -> bool:
        return (tmp_path / ".snakemake/mirrorflow-owner.json").exists()

    with (tmp_path / "run.log").open("w") as log:
        process = subprocess.Popen(command(tmp_path, config), cwd=tmp_path, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 120
            while not started():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            said = subprocess.run(
                [sys.executable, "-m", "mirrorflow.cli", "unlock"],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            process.kill()
            process.wait()
    assert said.returncode == 1
    assert "is at work here" in said.stderr
