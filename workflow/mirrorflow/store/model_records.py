"""What a trained model says of itself, without its weights and without torch: config.json and the weights' header."""

import json
import struct
from pathlib import Path
from typing import Any

LONGEST_HEADER = 100_000_000
"""Bytes of a header that safetensors itself allows."""


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
