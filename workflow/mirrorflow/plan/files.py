"""Size and date of what a user gave: a change starts a job, and only a job's digests decide what is done again.

Stat calls alone: nothing is read when planning. Files below the store are the workflow's own and count by their rules.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from mirrorflow.plan.wildcards import ancient

ABSENT = "absent"


def file_state(path: str | os.PathLike[str]) -> str:
    """``<bytes>-<nanoseconds>`` of a file; of a folder (a DICOM slide) a digest; ``absent`` for neither."""
    try:
        found = os.stat(path)  # noqa: PTH116 (10,000 of them in a plan)
    except OSError:
        return ABSENT
    if Path(path).is_dir():
        return states_digest({entry.name: file_state(entry.path) for entry in os.scandir(path)})
    return f"{found.st_size}-{found.st_mtime_ns}"


def states_digest(states: Mapping[str, str]) -> str:
    """Sixteen hexadecimal digits that stand for the states of many files."""
    text = "\n".join(f"{name} {state}" for name, state in sorted(states.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def features_state(folder: str, slides: Iterable[str] | None, *, dates: bool = True) -> str:
    """Stands for the feature files of ``slides`` in a folder; of None, for every file that could be one.

    dates: whether a new date is another state; without them a folder that holds none of the files is ``absent``.
    """
    try:
        with os.scandir(folder) as entries:
            there = {entry.name: entry for entry in entries if entry.name.endswith(".h5")}
    except OSError:
        return ABSENT
    names = sorted(there) if slides is None else [f"{slide}.h5" for slide in slides]
    states = {}
    for name in names:
        if name in there:
            found = there[name].stat()
            states[name] = f"{found.st_size}-{found.st_mtime_ns}" if dates else str(found.st_size)
    return states_digest(states) if states or dates else ABSENT


def is_users(path: str, store: str) -> bool:
    """Whether a file is the user's own, not one that the workflow makes in its store."""
    return not path.startswith(f"{store}/")


def given(paths: Iterable[str], store: str) -> dict[str, str]:
    """Param: path -> state of the user's own files among ``paths``."""
    return {path: file_state(path) for path in paths if is_users(path, store)}


def marked(path: str, store: str) -> str:
    """Input: the user's own file counts by its state among the params, one of the workflow's by its date."""
    return ancient(path) if is_users(path, store) else path
