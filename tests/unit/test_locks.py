"""A lock is cleared when its owner is dead, and only then."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from mirrorflow.errors import MirrorflowError
from mirrorflow.runtime.lock_owners import LOCKS, OWNER_FILE, OWNERS, note_owner
from mirrorflow.runtime.locks import clear_dead_lock, dead_lock


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A folder as Snakemake leaves it when it is killed."""
    (tmp_path / LOCKS).mkdir(parents=True)
    (tmp_path / LOCKS / "0.input.lock").touch()
    return tmp_path


def owned_by(folder: Path, *locks: str, **changes: object) -> None:
    """Another process took ``locks``, or all there are."""
    note_owner(folder, locks or None)
    path = folder / OWNERS / f"{os.getpid()}@{platform.node()}.json"
    path.rename(folder / OWNERS / "other.json")
    owner = json.loads((folder / OWNERS / "other.json").read_text()) | changes
    (folder / OWNERS / "other.json").write_text(json.dumps(owner))


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


def test_no_lock_is_fine(tmp_path: Path) -> None:
    assert clear_dead_lock(tmp_path) == 0


def test_lock_of_a_dead_owner_is_cleared(locked: Path) -> None:
    owned_by(locked, pid=dead_process())
    assert clear_dead_lock(locked) == 0
    assert not (locked / LOCKS).exists()


def test_lock_of_a_reused_process_id_is_cleared(locked: Path) -> None:
    owned_by(locked, started=1.0)
    assert clear_dead_lock(locked) == 0


def test_lock_of_a_living_owner_stays(locked: Path) -> None:
    owned_by(locked)
    with pytest.raises(MirrorflowError, match=f"process {os.getpid()}"):
        clear_dead_lock(locked)
    assert (locked / LOCKS).exists()


def test_lock_from_another_machine_stays(locked: Path) -> None:
    owned_by(locked, host=f"not-{platform.node()}")
    with pytest.raises(MirrorflowError, match="cannot be seen from here"):
        clear_dead_lock(locked)


def test_lock_without_an_owner_stays(locked: Path) -> None:
    with pytest.raises(MirrorflowError, match="snakemake --unlock"):
        clear_dead_lock(locked)


def take(folder: Path, *names: str) -> list[Path]:
    """Lock files as a Snakemake writes them."""
    paths = [folder / LOCKS / name for name in names]
    for path in paths:
        path.touch()
    return paths


@pytest.mark.parametrize("last", ["the dead one", "the living one"])
def test_of_two_runs_the_dead_ones_lock_alone_is_cleared(
    last: str, locked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two configs of disjoint files are at work in one folder; one of them was killed."""
    (mine,) = take(locked, "1.output.lock")
    if last == "the living one":
        owned_by(locked, "0.input.lock", pid=dead_process())
        note_owner(locked, [mine])
    else:
        note_owner(locked, [mine])
        path = locked / OWNERS / f"{os.getpid()}@{platform.node()}.json"
        kept = path.read_text()
        owned_by(locked, "0.input.lock", pid=dead_process())
        path.write_text(kept)
    assert "run `mirrorflow unlock`" in dead_lock(locked)
    assert clear_dead_lock(locked) == 0
    assert list((locked / LOCKS).iterdir()) == [mine]
    said = capsys.readouterr().err
    assert "cleared the lock of process" in said
    assert f"another run (process {os.getpid()}) is at work here" in said
    assert dead_lock(locked) == ""
    with pytest.raises(MirrorflowError, match=f"process {os.getpid()}"):
        clear_dead_lock(locked)


def test_the_last_one_that_took_a_lock_file_has_it(locked: Path) -> None:
    """A Snakemake that ends removes the locks of all; their numbers are then taken again."""
    owned_by(locked, "0.input.lock", pid=dead_process())
    note_owner(locked, ["0.input.lock"])
    assert not (locked / OWNERS / "other.json").exists()  # it holds nothing any more
    with pytest.raises(MirrorflowError, match=f"process {os.getpid()}"):
        clear_dead_lock(locked)


def test_the_record_of_a_run_of_before_is_read(locked: Path) -> None:
    owner = {"host": platform.node(), "pid": dead_process(), "started": 0.0}
    (locked / OWNER_FILE).write_text(json.dumps(owner))
    assert clear_dead_lock(locked) == 0
    assert not (locked / LOCKS).exists()


def test_a_plain_snakemake_says_what_clears_a_dead_lock(tmp_path: Path) -> None:
    folder = tmp_path / ".snakemake/locks"
    assert dead_lock(tmp_path) == ""
    folder.mkdir(parents=True)
    (folder / "0.input.lock").touch()
    assert dead_lock(tmp_path) == ""  # an unknown owner: nothing is known to be dead
    owner = {"host": platform.node(), "pid": 2**22 + 1, "started": 0.0}
    (tmp_path / OWNER_FILE).write_text(json.dumps(owner))
    assert "run `mirrorflow unlock`" in dead_lock(tmp_path, ["--cores", "2"])
    assert dead_lock(tmp_path, ["--unlock"]) == dead_lock(tmp_path, ["--target-jobs", "x"]) == ""
    note_owner(tmp_path)  # this very process lives
    assert dead_lock(tmp_path) == ""
    assert list(folder.iterdir())
