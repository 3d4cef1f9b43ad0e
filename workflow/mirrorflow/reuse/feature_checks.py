"""Features of new slides held against those that a run was trained on: encoder, weights, patches, width."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.store.features import describe_features, feature_dataset, stored_settings
from mirrorflow.store.h5 import opened, own_dataset

SAME, DIFFERS, NOT_KNOWN = "same", "differs", "not known"
GRID = ("patch_size", "patch_level", "target_magnification", "overlap")
"""Attributes of coordinates, as TRIDENT, CLAM and we write them."""
MPP = "patch_mpp"
"""Um/px of a patch: what tells 224 px of 112 um from 224 px of 256 um."""
NEAR = 0.02
"""Relative difference of two scales that count as one: sides in level-0 pixels are rounded."""
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
        grid = _grid(path, stream, attributes)
    if settings:
        encoder = {key: value for key, value in settings["encoder"].items() if key not in ("name", "weights", "seed")}
        found["encoder"] = _text(encoder)
        found["weights"] = str(attributes.get("weights_digest", ""))
        patches = settings["patches"]
        found["patches"] = _text({"patch": patches.get("patch"), "scale": patches.get("scale")})
        found[MASK] = _text(patches.get("segmentation"))
    else:
        found |= {"encoder": file.encoder} if file.encoder else {}
        found |= {"patches": _text(grid)} if grid else {}
    return {key: value for key, value in found.items() if value}


def _grid(path: Path, stream: h5py.File, attributes: Mapping[str, Any]) -> dict[str, str]:
    """What a file says of its patches; of STAMP's with micrometres, and where no places are known, too."""
    coords = own_dataset(path, stream, "coords")
    said = {**attributes, **({} if coords is None else coords.attrs)}
    if {"tile_size_px", "tile_size_um"} <= set(stream.attrs):
        size = float(stream.attrs["tile_size_px"])
        said |= {"patch_size": size, MPP: float(stream.attrs["tile_size_um"]) / size}
    elif MPP not in said and {"patch_size", "patch_size_level0", "level0_mpp"} <= set(said):
        said[MPP] = float(said["patch_size_level0"]) * float(said["level0_mpp"]) / float(said["patch_size"])
    return {key: _number(said[key]) for key in (*GRID, MPP) if key in said}


def _number(value: Any) -> str:
    """A number in one way, whatever its type: 256.0 is 256."""
    try:
        return f"{float(value):.4g}" if np.ndim(value) == 0 else str(value)
    except ValueError:
        return str(value)


def _compared(what: str, training: str | None, new: Sequence[str | None], where: str) -> Check:
    said = sorted({one for one in new if one is not None})
    verdicts = {one: NOT_KNOWN if training is None else _verdict(training, one) for one in said}
    other = [one for one, verdict in verdicts.items() if verdict == DIFFERS]
    if training is not None and other:
        return Check(what, DIFFERS, training, "; ".join(other[:3]), f"{_FIXES[what]} ({where})")
    if training is None or not said or NOT_KNOWN in verdicts.values():
        return Check(what, NOT_KNOWN, training or "not known", "; ".join(said) or "the files do not say")
    return Check(what, SAME, training, "; ".join(said))


def _verdict(training: str, new: str) -> str:
    """Of two texts of one maker: settings as we write them, what a grid says, or a name."""
    was, now = _parsed(training), _parsed(new)
    if was is None or now is None:
        return NOT_KNOWN if was is not now else SAME if training == new else DIFFERS
    if "patch_size" in was or "patch_size" in now:
        return _grid_verdict(was, now)
    if set(was) != set(now):
        return NOT_KNOWN
    return SAME if was == now else DIFFERS


def _grid_verdict(was: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Of two grids; not known where both do not say the same things, or nothing of the resolution."""
    if set(was) - {MPP} != set(now) - {MPP}:
        return NOT_KNOWN
    if any(was[key] != now[key] for key in was if key != MPP):
        return DIFFERS
    if MPP in was and MPP in now:
        return SAME if math.isclose(float(was[MPP]), float(now[MPP]), rel_tol=NEAR) else DIFFERS
    return SAME if "target_magnification" in was else NOT_KNOWN


def _parsed(text: str) -> dict[str, Any] | None:
    return json.loads(text) if text.startswith("{") else None


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str) if value else ""
