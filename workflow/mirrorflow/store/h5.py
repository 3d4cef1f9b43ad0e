"""Shared by the h5 files of the store: settings and facts as attributes, clear errors on reading."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from mirrorflow.errors import InputError
from mirrorflow.store.digest import canonical, digest

SETTINGS, DIGEST, FACTS = "settings", "settings_digest", "facts"


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[h5py.File]:
    """Open an h5 file for reading. Raises InputError where it is missing or damaged."""
    path = Path(path)
    if not path.exists():
        message = f"{path}: no such file"
        raise InputError(message)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except OSError as error:
        message = f"{path}: not an h5 file, or damaged ({error}); delete it to have it made again"
        raise InputError(message) from error


def write_settings(file: h5py.File, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Note what the file was made with (compared on re-use) and what was found (not compared)."""
    file.attrs[SETTINGS] = canonical(settings)
    file.attrs[DIGEST] = digest(settings)
    file.attrs[FACTS] = json.dumps(facts)


def read_settings(file: h5py.File) -> tuple[str, dict[str, Any]]:
    """Settings (canonical JSON, empty if the file is not ours) and facts."""
    return str(file.attrs.get(SETTINGS, "")), json.loads(str(file.attrs.get(FACTS, "{}")))
