"""Calls side by side in forks: what they return, who fails alone, how many fit, that none outlives its parent."""

import gc
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import calls_of_tests as made
from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.runtime import forks
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.forks import ONE_BY_ONE, Cores, run_each

TWO = Cores(processes=2)
LIMIT_S = 30
BODY_OF_SUMS = """
from mirrorflow.runtime.forks import Cores, run_each
from mirrorflow.runtime.calls import Call

def added():
    b = torch.ones(2000, 2000)
    return float((b + b).sum())

print(*run_each([Call(added, (), {}, str(i)) for i in range(2)], Cores(2), lambda label: None))
"""


def call(function, *arguments: object, label: str = "") -> Call:
    return Call(function, arguments, {}, label or function.__name__)


def test_each_call_returns_from_a_fork_of_its_own_with_one_thread():
    done: list[str] = []
    found = run_each([call(made.threads_here, label=f"fold {i}") for i in range(3)], TWO, done.append)
    assert len({pid for pid, _ in found} | {os.getpid()}) == 4
    assert [threads for _, threads in found] == [1, 1, 1]
    assert sorted(done) == ["fold 0", "fold 1", "fold 2"]


def test_forks_compute_after_their_parent_did_in_threads():
    """With more than one thread they would wait for those of libgomp that the parent has and they have not."""
    script = "import torch; torch.set_num_threads(3); a = torch.ones(2000, 2000); (a + a).sum()\n" + BODY_OF_SUMS
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=4 * LIMIT_S, check=True
    )
    assert found.stdout.split() == ["8000000.0", "8000000.0"]


def test_what_calls_return_comes_in_their_order():
    calls = [call(made.add, i, 1) for i in range(5)]
    assert run_each(calls, TWO, print) == run_each(calls, ONE_BY_ONE, print) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("cores", [ONE_BY_ONE, TWO])
def test_a_failed_call_is_named_and_takes_no_other_along(tmp_path: Path, cores: Cores, caplog):
    calls = [call(made.refuse, label="survival fold 1")]
    calls += [call(made.note_times, str(tmp_path), name, 0.0) for name in ("one", "other")]
    with pytest.raises(InputError, match=r"^survival fold 1: features.tsv: no such file$"):
        run_each(calls, cores, print)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]
    if cores is ONE_BY_ONE:  # a fork says it itself
        assert "survival fold 1 failed: features.tsv: no such file" in caplog.text


def test_calls_that_fail_alike_are_named_together():
    calls = [call(made.refuse, label=f"fold {i}") for i in range(2)]
    with pytest.raises(InputError, match=r"^fold 0, fold 1: features.tsv: no such file$"):
        run_each(calls, TWO, print)


def test_a_fork_that_is_killed_or_stumbles_is_named(caplog):
    caplog.set_level(logging.ERROR)
    calls = [call(made.die, label="fold 0"), call(made.add, 1, 1), call(made.stumble, label="fold 2")]
    with pytest.raises(MirrorflowError) as raised:
        run_each(calls, TWO, print)
    assert "fold 0: its process ended with -9; -9: killed, often for want of memory" in str(raised.value)
    assert "fold 2: unexpected error, see its traceback above: ZeroDivisionError" in str(raised.value)


def test_an_unexpected_error_of_the_same_process_stays_what_it_is():
    with pytest.raises(ZeroDivisionError) as raised:
        run_each([call(made.stumble, label="fold 0"), call(made.add, 1, 1)], ONE_BY_ONE, print)
    assert raised.value.__notes__ == ["in fold 0"]


@pytest.mark.parametrize("before", [False, True])
def test_forks_look_for_no_garbage_among_what_they_share(*, before: bool):
    if before:
        gc.freeze()
    frozen = gc.get_freeze_count() > 0
    try:
        assert all(count > 0 for count in run_each([call(gc.get_freeze_count), call(gc.get_freeze_count)], TWO, print))
        assert (gc.get_freeze_count() > 0) == frozen
    finally:
        gc.unfreeze()


def at_once(folder: Path) -> int:
    """The most calls of ``note_times`` that ran together."""
    spans = [tuple(map(float, path.read_text().split())) for path in folder.iterdir() if not path.suffix]
    return max(sum(start <= at < end for start, end in spans) for at, _ in spans)


def test_fewer_run_together_where_more_would_not_fit(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(forks, "FIRST_MB", 400.0)
    monkeypatch.setattr(forks, "LOOKS_S", 10.0)  # what they really take is not looked at
    own = forks.own_bytes(os.getpid()) / 2**20
    for name, memory_mb, most in (("enough", own + 2000, 3), ("little", own + 900, 2), ("none", 1.0, 1)):
        folder = tmp_path / name
        folder.mkdir()
        calls = [call(made.note_times, str(folder), str(i), 0.3, most) for i in range(3)]
        run_each(calls, Cores(3, memory_mb), print)
        assert at_once(folder) == most, name


def test_forks_count_with_the_most_that_one_was_seen_to_take(monkeypatch):
    monkeypatch.setattr(forks, "FIRST_MB", 1000.0)
    taken = {0: 0.0, 1: 300.0, 2: 2500.0}
    monkeypatch.setattr(forks, "own_bytes", lambda pid: int(taken.get(pid, 0) * 2**20))
    room = forks._Room(Cores(8, 5000.0))

    class Process:
        def __init__(self, pid: int) -> None:
            self.pid = pid

    small, large = (forks._Fork(pid, "fold", Process(pid)) for pid in (1, 2))
    assert [room.is_left([small] * count) for count in (0, 4, 5)] == [True, True, False], (
        "1000 each, before one is known"
    )
    room.look([small])
    room.ended(small)
    assert room.is_left([small] * 7), "300 each, once one has ended"
    room.look([large])
    assert [room.is_left([large] * count) for count in (1, 2)] == [True, False], "2500 each"


def test_threads_are_shared_out_by_the_calls_of_the_whole_job():
    assert Cores.shared(8, 10, 100.0) == Cores(8, 100.0)
    assert Cores.shared(8, 3, 100.0) == Cores(3, 100.0)
    assert Cores.shared(1, 10, 100.0).processes == 1


BODY = """
import sys
import calls_of_tests as made
from mirrorflow.runtime.forks import Cores, run_each
from mirrorflow.runtime.calls import Call
run_each([Call(made.wait, (folder,), {}, folder) for folder in sys.argv[1:]], Cores(2), print)
"""


def test_forks_end_with_their_parent(tmp_path: Path):
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", BODY, *map(str, folders)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}) as parent:
        until = time.monotonic() + LIMIT_S
        while not all((folder / "pid").exists() for folder in folders):
            assert time.monotonic() < until
            time.sleep(0.02)
        pids = [int((folder / "pid").read_text()) for folder in folders]
        parent.send_signal(signal.SIGKILL)
    while any(map(psutil.pid_exists, pids)):
        assert time.monotonic() < until
        time.sleep(0.05)
