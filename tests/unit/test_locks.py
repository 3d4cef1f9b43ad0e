"""A lock is cleared when its owner is dead, and only then."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from mirrorflow.errors import MirrorflowError
from mirrorflow.runtime.locks import LOCKS, OWNER_FILE, clear_dead_lock, dead_lock, note_owner


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A folder as Snakemake leaves it when it is killed."""
    (tmp_path / LOCKS).mkdir(parents=True)
    (tmp_path / LOCKS / "0.input.lock").touch()
    return tmp_path


def owned_by(folder: Path, **changes: object) -> None:
    note_owner(folder)
    owner = json.loads((folder / OWNER_FILE).read_text()) | changes
    (folder / OWNER_FILE).write_text(json.dumps(owner))


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


def test_a_plain_snakemake_says_what_clears_a_dead_lock(tmp_path: Path) -> None:
    folder = tmp_path / ".snakemake/locks"
    assert dead_lock(tmp_path) == ""
    folder.mkdir(parents=True)
    (folder / "0.input.lock").touch()
    assert dead_lock(tmp_path) == ""  # an unknown owner: nothing is known to be dead
    owner = {"host": platform.node(), "pid": 2**22 + 1, "started": 0.0}
    (tmp_path / ".snakemake/mirrorflow-owner.json").write_text(json.dumps(owner))
    assert "run `mirrorflow unlock`" in dead_lock(tmp_path, ["--cores", "2"])
    assert dead_lock(tmp_path, ["--unlock"]) == dead_lock(tmp_path, ["--target-jobs", "x"]) == ""
    note_owner(tmp_path)  # this very process lives
    assert dead_lock(tmp_path) == ""
    assert list(folder.iterdir())
