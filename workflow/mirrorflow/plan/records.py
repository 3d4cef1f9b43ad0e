"""What files were planned with, beside them: held against this run's settings when planning, and where tables are made.

Snakemake's own notes (``.snakemake``) say the same, but only in the folder they were made in: a store that runs share,
and results that were copied, have none. Free of everything heavy.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mirrorflow.errors import SettingsMismatchError
from mirrorflow.runtime.files import write_text
from mirrorflow.store.digest import canonical, require_same_settings

NOTES = Path(".snakemake") / "metadata"
LONGEST_NAME = 254
"""Snakemake cuts the names of its notes into folders of at most so many characters."""
CLOCKS_APART_S = 2.0
"""Snakemake notes the date of the output itself; file systems keep dates to two seconds at worst."""


ONCE_UNKNOWN = ("patients", "bytes", "date")
"""Keys that records of versions before 1.0 hold as null where nothing was known."""
STORE_FIX = "Another run made it in this store; a run with other settings needs another name or store."
OLDER = "These predictions are older than the config: delete the manifest.json beside this file and run again."


WHOLE = ("classes", "columns", "event_words")
"""Sections whose keys are the user's own: one more, or one less, is another setting."""


def planned(
    path: str,
    settings: Mapping[str, Any],
    unfilled: Mapping[str, Any] | None = None,
    noted: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Param: a record that a job writes when it is done. ``path``: where; ``settings``: what decides its values.

    unfilled: values, section by section, of what a config may leave out; they stand in the record, and for what an
    older record leaves out. noted: sections that are written beside the settings for later readers, and held against
    nothing.
    """
    if unfilled is None:
        return {"path": path, "settings": dict(settings)}
    record = {"path": path, "settings": filled(settings, unfilled), "unfilled": dict(unfilled)}
    return record | ({"noted": dict(noted)} if noted else {})


def filled(settings: Mapping[str, Any], unfilled: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` with the values of what they leave out, in the sections that they have."""
    whole = dict(settings)
    for key, value in unfilled.items():
        if not (isinstance(value, Mapping) and value):
            whole.setdefault(key, value)
        elif isinstance(whole.get(key), Mapping):
            whole[key] = filled(whole[key], value)
    return whole


def write_plan(record: Mapping[str, Any]) -> None:
    """Write a record (:func:`planned`) to its path."""
    written = {**record["settings"], **record.get("noted", {})}
    write_text(record["path"], json.dumps(written, indent=1, sort_keys=True) + "\n")


def read_plan(path: str | Path) -> dict[str, Any] | None:
    """The settings of a record; None where there is none (made before there were records, or not made yet)."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def is_noted(output: str) -> bool:
    """Whether Snakemake has notes of an output in this folder: then it starts by itself what a change asks for."""
    return _note_of(output).exists()


def is_replaced(output: str) -> bool:
    """Whether an output is newer than Snakemake's notes of it: made in its place by another run."""
    try:
        noted = json.loads(_note_of(output).read_text(encoding="utf-8")).get("endtime")
        return noted is not None and Path(output).stat().st_mtime > noted + CLOCKS_APART_S
    except (OSError, ValueError):
        return False


def _note_of(output: str) -> Path:
    name = base64.urlsafe_b64encode(output.encode()).decode()
    *folders, last = [name[start : start + LONGEST_NAME] for start in range(0, len(name), LONGEST_NAME)]
    return NOTES.joinpath(*(f"@{folder}" for folder in folders), last)


def hold(record: Mapping[str, Any], fix: str = "") -> None:
    """Raise SettingsMismatchError where a record's place holds one of other settings, as :func:`compare` says."""
    stored = read_plan(record["path"])
    if stored is not None:
        compare(record["path"], filled(stored, record.get("unfilled", {})), record["settings"], fix)


def compare(path: str, stored: Mapping[str, Any], wanted: Mapping[str, Any], fix: str) -> None:
    """Raise SettingsMismatchError with the file, both values of every setting that differs, and ``fix``.

    A setting that one of the two does not have is no difference: another version of mirrorflow added or dropped it.
    What a config may leave out has been filled in (:func:`planned`).
    """
    try:
        require_same_settings(path, canonical(_shared(stored, wanted)), _shared(wanted, stored))
    except SettingsMismatchError as error:
        raise SettingsMismatchError("\n".join(filter(None, [str(error), fix]))) from None


def _shared(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of ``one`` that ``other`` has as well, section by section."""
    both = {key: (value, other[key]) for key, value in one.items() if key in other}
    both = {key: pair for key, pair in both.items() if key not in ONCE_UNKNOWN or None not in pair}
    return {key: _shared(value, its) if _is_section(key, value, its) else value for key, (value, its) in both.items()}


def _is_section(key: str, one: Any, other: Any) -> bool:
    return isinstance(one, Mapping) and isinstance(other, Mapping) and key not in WHOLE


def hold_predictions(records: Iterable[Mapping[str, Any]]) -> None:
    """:func:`hold` the records of predictions that tables are to be made of."""
    for record in records:
        hold(record, OLDER)


def hold_store(records: Iterable[Mapping[str, Any]]) -> None:
    """:func:`hold` the records of what a job is about to read from the store: another run may have replaced it since
    this one was planned.
    """
    for record in records:
        hold(record, STORE_FIX)


def content_digest(path: str | Path) -> str:
    """Sixteen hexadecimal digits that stand for a file's whole content, as in the record of a converted matrix."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
