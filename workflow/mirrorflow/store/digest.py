"""Every file in the store says with which settings it was made; a mismatch stops the run."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mirrorflow.errors import SettingsMismatchError


def canonical(settings: Mapping[str, Any]) -> str:
    """Settings as one line of JSON, the same for equal settings in any order."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))


def digest(settings: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits that stand for ``settings``."""
    return hashlib.sha256(canonical(settings).encode()).hexdigest()[:16]


def names_digest(names: Iterable[str]) -> str:
    """Sixteen hexadecimal digits that stand for names (of units, patients or genes) in this order."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def patients_digest(patients: Iterable[str]) -> str:
    """:func:`names_digest` of a set of patients, whatever their order."""
    return names_digest(sorted(set(patients)))


def same_settings(stored: str, wanted: Mapping[str, Any]) -> bool:
    """Whether settings as a file holds them (canonical JSON) are those wanted: by value, 96 is 96.0."""
    return json.loads(stored) == json.loads(canonical(wanted))


SLIDES = "slides_of_units"
"""Key of :func:`slides_digest` in what models and embeddings were made with; older ones have none."""


def slides_digest(files: Sequence[Sequence[Any]]) -> dict[str, str]:
    """``slides_of_units``: how many of the files in a row are each unit's. Nothing where each unit has one.

    Beside digests of the units' names and of all their files: a slide that changes its patient changes neither.
    """
    counts = [len(of_unit) for of_unit in files]
    return {} if set(counts) <= {1} else {SLIDES: names_digest(map(str, counts))}


def same_making(stored: str, wanted: Mapping[str, Any]) -> bool:
    """:func:`same_settings`; what was made before there was ``slides_of_units`` is taken to be of the same slides."""
    return same_settings(stored, as_known(json.loads(stored), wanted))


def as_known(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """``wanted`` without ``slides_of_units`` in the sections where ``stored`` has none."""
    known = {key: value for key, value in wanted.items() if key in stored or key != SLIDES}
    sections = [key for key, value in known.items() if isinstance(value, Mapping) and isinstance(stored.get(key), dict)]
    return known | {key: as_known(stored[key], known[key]) for key in sections}


_ABSENT = object()


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def require_same_settings(where: str, stored: str, wanted: Mapping[str, Any], fix: str = "") -> None:
    """Compare the settings stored in a file (canonical JSON) with those of this run.

    Raises SettingsMismatchError naming every setting that differs, both values and what to do; ``fix``: more of that.
    """
    if same_settings(stored, wanted):
        return
    was, now = _flat(json.loads(stored)), _flat(json.loads(canonical(wanted)))
    differences = [
        f"  {key}: made with {was.get(key, 'nothing')!r}, this run wants {now.get(key, 'nothing')!r}"
        for key in sorted(was.keys() | now.keys())
        if was.get(key, _ABSENT) != now.get(key, _ABSENT)
    ]
    message = "\n".join(
        [
            f"{where}: made with other settings, not reused and not overwritten:",
            *differences,
            "Set them back, or choose another `store` (or name), or delete what was made with the old ones.",
            *filter(None, [fix]),
        ]
    )
    raise SettingsMismatchError(message)


def file_digest(path: str | Path) -> str:
    """Sixteen hexadecimal digits that stand for a file's content (for small files: it is read whole)."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
