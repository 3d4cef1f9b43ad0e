"""Features of new slides held against those that a run was trained on: encoder, weights, patches, width."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.store.features import describe_features, feature_dataset, stored_settings
from mirrorflow.store.h5 import opened, own_dataset

SAME, DIFFERS, NOT_KNOWN = "same", "differs", "not known"
GRID = ("patch_size", "target_magnification", "overlap")
"""Attributes of coordinates, as TRIDENT and we write them."""
MASK = "tissue mask"
"""What may differ without a refusal: a slide may have settings of its own."""


@dataclass(frozen=True)
class Check:
    """One comparison with training. ``new``: what the new files say, ``verdict``: same, differs, not known."""

    what: str
    verdict: str
    training: str
    new: str
    fix: str = ""

    def row(self) -> dict[str, str]:
        """As a row of a table."""
        return {"check": self.what, "verdict": self.verdict, "training": self.training, "new": self.new}


def check_features(index: pd.DataFrame, files: Mapping[str, Path], where: str) -> list[Check]:
    """Every comparison of ``files`` with a file of the run's ``index``; what differs is told, not refused.

    Raises InputError where a new file cannot be read.
    """
    there = index[index["status"] == "ok"] if "status" in index else index
    training = next((Path(path) for path in there["path"] if Path(path).exists()), None)
    wanted = {} if training is None else described(training)
    wanted["width"] = str(there["dim"].iloc[0])
    found = [described(path) for path in files.values()]
    return [_compared(what, wanted.get(what), [one.get(what) for one in found], where) for what in _FIXES]


def require_same_features(checks: Sequence[Check]) -> None:
    """Raises InputError naming all that differs from training and moves features, with the fix of each."""
    wrong = [one for one in checks if one.verdict == DIFFERS and one.what != MASK]
    if not wrong:
        return
    said = [f"{one.what}: training had {one.training}, the new slides have {one.new}; {one.fix}" for one in wrong]
    raise InputError("the new slides' features are not those of training:\n" + "\n".join(said))


_FIXES = {
    "encoder": "extract them with the encoder of training",
    "weights": "extract them with the very weights of training",
    "patches": "cut them at the size and resolution of training",
    MASK: "",
    "width": "extract them with the encoder of training",
}
"""What is compared, and what mends a difference."""


def described(path: Path) -> dict[str, str]:
    """What a feature file says of how it was made, as far as it says it: by the names of :data:`_FIXES`."""
    file = describe_features(path)
    text, _ = stored_settings(path)
    settings = json.loads(text) if text else {}
    found = {"width": str(file.dim)} if file.n else {}
    with opened(path) as stream:
        attributes = dict(feature_dataset(path, stream).attrs)
        coords = own_dataset(path, stream, "coords")
        grid = {} if coords is None else {key: coords.attrs[key] for key in GRID if key in coords.attrs}
    if settings:
        encoder = {key: value for key, value in settings["encoder"].items() if key not in ("name", "weights", "seed")}
        found["encoder"] = _text(encoder)
        found["weights"] = str(attributes.get("weights_digest", ""))
        patches = settings["patches"]
        found["patches"] = _text({"patch": patches.get("patch"), "scale": patches.get("scale")})
        found[MASK] = _text(patches.get("segmentation"))
    else:
        found |= {"encoder": file.encoder} if file.encoder else {}
        found |= {"patches": _text({key: str(value) for key, value in grid.items()})} if grid else {}
    return {key: value for key, value in found.items() if value}


def _compared(what: str, training: str | None, new: Sequence[str | None], where: str) -> Check:
    said = sorted({one for one in new if one is not None})
    if training is None or not said or not all(_comparable(training, one) for one in said):
        return Check(what, NOT_KNOWN, training or "not known", "; ".join(said) or "the files do not say")
    if said == [training]:
        return Check(what, SAME, training, training)
    other = [one for one in said if one != training]
    return Check(what, DIFFERS, training, "; ".join(other[:3]), f"{_FIXES[what]} ({where})")


def _comparable(one: str, other: str) -> bool:
    """Whether two texts are of one maker: settings as we write them, or a name."""
    return _keys(one) == _keys(other)


def _keys(text: str) -> tuple[str, ...] | None:
    return tuple(sorted(json.loads(text))) if text.startswith("{") else None


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str) if value else ""
