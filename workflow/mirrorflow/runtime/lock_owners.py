"""Which process took which of Snakemake's lock files in a folder: several runs may be at work there."""

import json
import os
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

OWNERS = Path(".snakemake") / "mirrorflow-owners"
"""A record a process: ``<pid>@<host>.json``."""
OWNER_FILE = Path(".snakemake") / "mirrorflow-owner.json"
"""The one record of a folder that runs of before left: whoever started last."""
LOCKS = Path(".snakemake") / "locks"
TOLERANCE_S = 1.0


@dataclass(frozen=True)
class Owner:
    """A process that runs the workflow; locks: names of the lock files it took, None where its record does not say."""

    path: Path
    host: str
    pid: int
    started: float
    locks: frozenset[str] | None
    noted: float

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this machine."""
        return self.host == platform.node()

    @property
    def is_dead(self) -> bool:
        """Whether it is known to be dead: nothing is known of another machine's."""
        return self.is_here and not _lives(self.pid, self.started)


def note_owner(folder: Path, locks: Iterable[str | Path] | None = None) -> None:
    """Write down that this process runs the workflow in ``folder``, and which lock files it took there.

    Records that hold no lock any more are removed.
    """
    me = psutil.Process(os.getpid())
    taken = None if locks is None else sorted(Path(lock).name for lock in locks)
    path = folder / OWNERS / f"{me.pid}@{platform.node()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"host": platform.node(), "pid": me.pid, "started": me.create_time(), "locks": taken, "noted": time.time()}
    path.write_text(json.dumps(record))
    held = holders(folder)
    for owner in _owners(folder):
        if owner.path != path and owner not in held:
            owner.path.unlink(missing_ok=True)


def lock_files(folder: Path) -> list[Path]:
    """Snakemake's lock files in ``folder``."""
    return sorted((folder / LOCKS).iterdir()) if (folder / LOCKS).is_dir() else []


def holders(folder: Path) -> dict[Owner | None, list[Path]]:
    """Owner -> the lock files that it holds: the last one that says it took them; None: those of nobody known.

    A record that names no files, of a run of before, is of those that no other names.
    """
    owners = _owners(folder)
    found: dict[Owner | None, list[Path]] = {}
    for lock in lock_files(folder):
        named = [one for one in owners if one.locks is not None and lock.name in one.locks]
        unnamed = [one for one in owners if one.locks is None]
        owner = max(named or unnamed, key=lambda one: one.noted, default=None)
        found.setdefault(owner, []).append(lock)
    return found


def _owners(folder: Path) -> Sequence[Owner]:
    paths = [folder / OWNER_FILE, *sorted((folder / OWNERS).glob("*.json"))]
    return [owner for owner in map(_read, paths) if owner is not None]


def _read(path: Path) -> Owner | None:
    try:
        record = json.loads(path.read_text())
        locks = record.get("locks")
        names = None if locks is None else frozenset(locks)
        noted = float(record.get("noted", 0.0))
        return Owner(path, record["host"], record["pid"], record["started"], names, noted)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _lives(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < TOLERANCE_S
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
