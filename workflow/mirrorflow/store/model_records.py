"""What a trained model says of itself, without its weights and without torch: config.json and the weights' header."""

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LONGEST_HEADER = 100_000_000
"""Bytes of a header that safetensors itself allows."""

_PLACE = re.compile(
    r"(?:^|/)(?P<scope>[^/]+)/(?P<cohort>[^/]+)/models/(?P<encoder>[^/]+)/(?P<method>[^/]+)/"
    r"(?:(?P<task>[^/]+)/(?P<setting>[^/]+)/)?seed(?P<seed>\d+)/(?P<prefix>[^/]*?)fold(?P<fold>\d+)$"
)


@dataclass(frozen=True)
class Place:
    """Whose model lies in a folder, as its path says. ``task`` and ``setting`` are empty for pretrained ones."""

    scope: str
    cohort: str
    encoder: str
    method: str
    seed: int
    fold: int
    prefix: str = ""
    """``few-shot-`` or ``inner<j>-``: which genes, or which inner fold."""
    task: str = ""
    setting: str = ""

    @classmethod
    def of(cls, folder: str | Path) -> "Place | None":
        """From ``.../<scope>/<cohort>/models/<encoder>/<method>/[<task>/<setting>/]seed<s>/[<prefix>]fold<k>``."""
        match = _PLACE.search(Path(folder).as_posix())
        if match is None:
            return None
        named = {key: value or "" for key, value in match.groupdict().items()}
        return cls(**{**named, "seed": int(named["seed"]), "fold": int(named["fold"])})  # type: ignore[arg-type]

    def differences(self, record: Mapping[str, Any]) -> list[str]:
        """What ``record`` says otherwise, as ``fold 1``; keys that it lacks are not compared."""
        mine = {key: value for key, value in asdict(self).items() if key != "prefix" and value != ""}
        return [
            f"{key} {record[key]}" for key, value in mine.items() if key in record and str(record[key]) != str(value)
        ]


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a model; empty where there is none or it is damaged."""
    return _mapping(folder / "config.json")


def read_done(folder: Path) -> dict[str, Any]:
    """``done.json`` of a model; empty where there is none or it is damaged."""
    return _mapping(folder / "done.json")


def _mapping(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def weights_metadata(path: Path, key: str) -> dict[str, Any] | None:
    """The mapping that a safetensors file's metadata hold as JSON under ``key``; None without such a file or key."""
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length)) if length <= LONGEST_HEADER else {}
        record = json.loads(header["__metadata__"][key])
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return None
    return record if isinstance(record, dict) else None
