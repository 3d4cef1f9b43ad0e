"""Which GPU a job computes on, with a faked list of devices."""

import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mirrorflow.errors import ConfigError
from mirrorflow.runtime import gpus
from mirrorflow.runtime.gpus import ORDER, TOTAL, VISIBLE, driver_version, gpus_here, held_gpus, why_expected

BUSES = ("0000:41:00.0", "0000:01:00.0", "0000:C1:00.0")
"""With their minor numbers 0, 1, 2: not the order of their addresses."""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a machine with three GPUs, none of them chosen by anyone."""
    for name in (VISIBLE, ORDER, TOTAL, *gpus.BY_SLURM):
        monkeypatch.delenv(name, raising=False)
    for attribute, folder in (("DRIVER", "driver"), ("NODES", "dev"), ("LOCKS", "locks")):
        (tmp_path / folder).mkdir()
        monkeypatch.setattr(gpus, attribute, tmp_path / folder)
    for minor, bus in enumerate(BUSES):
        folder = tmp_path / "driver" / "gpus" / bus
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t NVIDIA H200\nDevice Minor: \t {minor}\n")
        (tmp_path / "dev" / f"nvidia{minor}").touch()
    (tmp_path / "driver" / "version").write_text("NVRM version: NVIDIA UNIX  580.65  Release Build\nGCC version:\n")
    return tmp_path


def seen() -> str | None:
    return os.environ.get(VISIBLE)


def test_gpus_are_counted_by_address_and_a_container_sees_its_own(machine: Path):
    assert [gpu.bus for gpu in gpus_here()] == ["0000:01:00.0", "0000:41:00.0", "0000:C1:00.0"]
    (machine / "dev" / "nvidia1").unlink()
    assert [(gpu.number, gpu.bus) for gpu in gpus_here()] == [(0, "0000:41:00.0"), (1, "0000:C1:00.0")]


def test_each_job_has_gpus_of_its_own_and_gives_them_back(machine: Path):
    with held_gpus(1):
        assert (seen(), os.environ[ORDER]) == ("0", "PCI_BUS_ID")
        del os.environ[VISIBLE]  # as in another job, which has an environment of its own
        with held_gpus(2):
            assert seen() == "1,2"
        os.environ[VISIBLE] = "0"
    assert VISIBLE not in os.environ
    assert ORDER not in os.environ
    with held_gpus(3):
        assert seen() == "0,1,2"


def test_another_user_can_lock_what_this_one_made(tmp_path: Path):
    before = os.umask(0o077)
    try:
        os.close(gpus._open(tmp_path / "gpu.lock"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "gpu.lock").stat().st_mode) == 0o666


def test_a_job_waits_until_enough_are_free_and_takes_none_before(machine: Path):
    order = []

    def other() -> None:
        with held_gpus(3, every_s=0.01):
            order.append("other")

    with held_gpus(1):
        del os.environ[VISIBLE]
        thread = threading.Thread(target=other)
        thread.start()
        time.sleep(0.1)
        with held_gpus(2):  # the one that waits holds nothing
            order.append("mine")
            os.environ.pop(VISIBLE)
    thread.join(10)
    assert order == ["mine", "other"]


def test_locks_end_with_their_process_however_it_ends(machine: Path):
    body = (
        "import os, sys, time; from pathlib import Path; from mirrorflow.runtime import gpus\n"
        f"here = Path({str(machine)!r})\n"
        "gpus.DRIVER, gpus.NODES, gpus.LOCKS = (here / name for name in ('driver', 'dev', 'locks'))\n"
        "with gpus.held_gpus(3):\n print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", body], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0,1,2\n"
        process.kill()
    with held_gpus(3, every_s=0.01):
        assert seen() == "0,1,2"


def test_jobs_share_where_the_run_lets_more_of_them_start_than_there_are_gpus(machine: Path, monkeypatch):
    monkeypatch.setenv(TOTAL, "1000")
    with held_gpus(3):
        del os.environ[VISIBLE]
        with held_gpus(3):
            assert sorted(str(seen()).split(",")) == ["0", "1", "2"]


@pytest.mark.parametrize(("name", "value"), [(VISIBLE, "2"), (VISIBLE, ""), ("SLURM_JOB_GPUS", "1")])
def test_what_slurm_or_the_user_chose_stands(machine: Path, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    before = seen()
    with held_gpus(1), held_gpus(1), held_gpus(1), held_gpus(1):
        assert seen() == before
    assert not list((machine / "locks").iterdir())


def test_a_job_that_asks_for_none_sees_none(machine: Path):
    with held_gpus(0):
        assert seen() == ""
        assert why_expected() == ""


def test_more_than_there_are_is_refused(machine: Path):
    with pytest.raises(ConfigError, match=r"4 GPUs are asked for, this machine has 3; lower compute\.devices"):
        held_gpus(4).__enter__()


def test_a_machine_without_gpus_is_left_alone(machine: Path):
    for node in (machine / "dev").iterdir():
        node.unlink()
    with held_gpus(8):
        assert VISIBLE not in os.environ


def test_what_says_that_there_is_a_gpu(machine: Path, monkeypatch):
    assert why_expected() == f"{machine}/dev/nvidia0 is there"
    assert driver_version() == "NVIDIA UNIX  580.65  Release Build"
    monkeypatch.setenv("SLURM_JOB_GPUS", "3")
    assert why_expected() == "SLURM_JOB_GPUS is 3"
    monkeypatch.setenv(VISIBLE, "0,1")
    assert why_expected() == "CUDA_VISIBLE_DEVICES is 0,1"
    monkeypatch.setenv(VISIBLE, "-1")
    assert why_expected() == ""


def test_the_jobs_are_told_how_many_the_run_may_use(monkeypatch):
    from mirrorflow.runtime.locks import own_jobs

    monkeypatch.setenv(TOTAL, "")
    for name in ("MIRRORFLOW_OWNER", "PYTHONPATH", "TORCH_FORCE_WEIGHTS_ONLY_LOAD"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    own_jobs("/package", 1000)
    assert os.environ[TOTAL] == "1000"


def test_a_job_is_given_its_gpu_before_its_step_imports_torch(machine: Path, monkeypatch, tmp_path: Path):
    from types import SimpleNamespace

    from snakemake.iocontainers import Namedlist

    from mirrorflow.steps import start

    told = []

    def step(_rule: str) -> SimpleNamespace:
        told.append(("import", seen()))
        return SimpleNamespace(run=lambda *_: told.append(("run", seen())))

    monkeypatch.setattr(start, "find_step", step)
    snakemake = SimpleNamespace(
        rule="probe",
        wildcards=Namedlist(),
        resources=Namedlist(fromdict={"gpu": 2}),
        log=[],
        output=[],
        input=Namedlist(),
        params=Namedlist(),
        threads=1,
    )
    start.run_step(snakemake)
    assert told == [("import", "0,1"), ("run", "0,1")]
