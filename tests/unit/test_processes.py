"""Calls in processes of their own, started from a script as Snakemake runs it: not as a module, without a guard."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mirrorflow.runtime.locks import OWNER_VARIABLE

LIMIT_S = 60
HEAD = """
import sys
from types import SimpleNamespace
from mirrorflow.runtime.job import job_setup
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.processes import run_alone, run_side_by_side, run_spread
import calls_of_tests as calls
print("script", flush=True)
given = SimpleNamespace(rule="probe", wildcards=[], log=sys.argv[1:2], output=[])
with job_setup(given):
"""


def start(folder: Path, body: str, owner: int | None = None) -> subprocess.Popen[str]:
    script = folder / "script.py"
    script.write_text(HEAD + body)
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {name: value for name, value in os.environ.items() if name != OWNER_VARIABLE}
    environment |= {"PYTHONPATH": os.pathsep.join(paths)} | ({OWNER_VARIABLE: str(owner)} if owner else {})
    command = [sys.executable, str(script), str(folder / "job.log")]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said(folder: Path, body: str) -> tuple[int, str, str]:
    process = start(folder, body)
    out, err = process.communicate(timeout=LIMIT_S)
    return process.returncode, out, err


def test_a_call_returns_from_a_process_of_its_own_and_the_script_runs_once(tmp_path: Path):
    body = "    print(run_alone(Call(calls.add, (1,), {'other': 2}, 'sum')), __file__.endswith('script.py'))\n"
    code, out, err = said(tmp_path, body)
    assert (code, out) == (0, "script\n3 True\n"), err


def test_calls_side_by_side_log_to_the_job_and_those_that_fail_are_named(tmp_path: Path):
    kinds = ("say", "refuse", "stumble", "die")
    made = ", ".join(f"Call(calls.{kind}, (), {{}}, '{kind}-call')" for kind in kinds)
    code, out, _ = said(tmp_path, f"    run_side_by_side([{made}], 2)\n")
    log = (tmp_path / "job.log").read_text()
    assert (code, out) == (1, "script\n")
    assert "[say-call] at work" in log
    assert "[refuse-call] features.tsv: no such file" in log
    assert "ZeroDivisionError" in log
    assert "refuse-call, stumble-call, die-call failed, see the messages above" in log


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "code"), [("say_rank", 0), ("refuse", 1)])
def test_a_call_is_spread_over_processes_that_know_their_rank(tmp_path: Path, kind: str, code: int):
    found, out, err = said(tmp_path, f"    run_spread(Call(calls.{kind}, (), {{}}, 'fold 0'), 2)\n")
    log = (tmp_path / "job.log").read_text()
    assert (found, out) == (code, "script\n"), err
    if code:
        assert "fold 0: one of 2 processes failed, its message stands above" in log
        assert "[fold 0] features.tsv: no such file" in log
    else:
        assert {"[fold 0] rank 0 of 2", "[fold 0] rank 1 of 2"} <= set(log.splitlines())


def test_the_processes_of_a_job_die_with_its_owner(tmp_path: Path):
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(sleep) as owner:
        body = f"    run_side_by_side([Call(calls.wait, ({str(tmp_path)!r},), {{}}, 'a')], 1)\n"
        with start(tmp_path, body, owner.pid) as job:
            try:
                while not (tmp_path / "pid").exists():
                    assert job.poll() is None
                child = psutil.Process(int((tmp_path / "pid").read_text()))
                owner.kill()
                assert job.wait(LIMIT_S) == -signal.SIGKILL
                assert psutil.wait_procs([child], timeout=LIMIT_S)[1] == []
            finally:
                job.kill()
                owner.kill()
