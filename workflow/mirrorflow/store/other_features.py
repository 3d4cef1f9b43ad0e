"""Features as other tools leave them, where they are no h5 file by themselves: CLAM, slide2vec, lazyslide, STAMP 2.

Layouts as their makers document them: CLAM's ``pt_files`` (a tensor) with coordinates in ``h5_files``; slide2vec 7's
``tile_embeddings`` (a tensor or npz) with coordinates of hs2p in ``tiles``; lazyslide's zarr stores (a table of AnnData
in SpatialData, tiles as shapes); STAMP 2's h5 with coordinates in micrometres.
"""

import json
import logging
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import InputError
from mirrorflow.store.features import read_features
from mirrorflow.store.h5 import opened
from mirrorflow.store.lazyslide import read_store

logger = logging.getLogger("mirrorflow.features")


@dataclass(frozen=True)
class OtherFeatures:
    """A slide's features [patch, value], corners [patch, 2] in level-0 pixels where they are known, and what the files
    say of encoder and grid (TRIDENT's names of attributes)."""

    slide_id: str
    features: NDArray[np.float32]
    coords: NDArray[np.int64] | None = None
    encoder: str = ""
    grid: Mapping[str, Any] = field(default_factory=dict)


INNER = ("pt_files", "tile_embeddings")
"""Folders inside those of CLAM and slide2vec that hold the features."""
SHOWN = 3
Reader = Callable[[Path, Mapping[str, float], str], Iterator[OtherFeatures]]


def layout_of(folder: Path) -> str:
    """Which tool's layout a folder has. Raises InputError naming what it holds where it is none."""
    if (folder / "pt_files").is_dir():
        return "clam"
    if (folder / "tile_embeddings").is_dir():
        return "slide2vec"
    if any(folder.glob("*.zarr")):
        return "lazyslide"
    files = sorted(folder.glob("*.h5"))
    if files:
        with opened(files[0]) as file:
            if _unit(file) in ("um", "µm"):
                return "stamp"
        message = f"{folder}: h5 files that are read where they lie: name the folder under `features:` of the cohort"
        raise InputError(message)
    if (folder / "tiles").is_dir():
        message = f"{folder}: tiles of hs2p without features; let slide2vec make tile_embeddings of them"
        raise InputError(message)
    inside = ", ".join(sorted(path.name for path in folder.iterdir())[:5]) if folder.is_dir() else "no such folder"
    message = (
        f"{folder}: neither CLAM's pt_files, slide2vec's tile_embeddings, lazyslide's *.zarr nor STAMP's h5 files "
        f"({inside or 'it is empty'})"
    )
    raise InputError(message)


def import_hint(folder: Path) -> str:
    """What to do with a folder that another tool made, where ``<slide_id>.h5`` are looked for; "" for any other."""
    place = folder.parent if folder.name in INNER else folder
    try:
        layout = layout_of(place)
    except InputError:
        return ""
    if layout == "stamp":  # read where they lie
        return ""
    return f"; {place} has the layout of {layout}: mirrorflow import-features {place} --out FOLDER makes such files"


def read_others(folder: Path, mpp: Mapping[str, float], table: str = "") -> Iterator[OtherFeatures]:
    """The slides of a folder, in the order of their names, whichever of these tools made it.

    mpp: um/px at full size by slide, for coordinates in micrometres. table: which of a zarr store's tables. Raises
    InputError for a file that is something else.
    """
    return READERS[layout_of(folder)](folder, mpp, table)


def _clam(folder: Path, mpp: Mapping[str, float], table: str) -> Iterator[OtherFeatures]:
    files = sorted((folder / "pt_files").glob("*.pt"))
    alone = sorted({path.stem for path in (folder / "h5_files").glob("*.h5")} - {path.stem for path in files})
    if alone:
        logger.warning(
            "%s: %d slides are left out, which have no file in pt_files: %s; was CLAM stopped? Where they are whole, "
            "name the folder h5_files under `features:` of the cohort",
            folder / "h5_files", len(alone), ", ".join(alone[:SHOWN]),
        )  # fmt: skip
    for path in files:
        features = tensor_of(path)
        coords, grid = _clam_places(folder, path.stem, len(features))
        yield OtherFeatures(path.stem, features, coords, grid=grid)


def _clam_places(folder: Path, slide: str, count: int) -> tuple[NDArray[np.int64] | None, dict[str, Any]]:
    """Corners, and what CLAM notes of the grid: in ``patches`` alone, where ``h5_files`` has the same corners bare."""
    beside, patches = (folder / name / f"{slide}.h5" for name in ("h5_files", "patches"))
    if not beside.exists():
        return _coordinates(patches, count) if patches.exists() else (None, {})
    coords, grid = _coordinates(beside, count)
    if "patch_size" not in grid and patches.exists():
        try:
            grid = {**_grid_of(patches, coords), **grid}
        except InputError as error:
            logger.warning("%s; the size of patches is not known", error)
    return coords, grid


def _grid_of(patches: Path, coords: NDArray[np.int64]) -> dict[str, Any]:
    with opened(patches) as file:
        theirs = file.get("coords")
        same = theirs is not None and np.array_equal(np.asarray(theirs), coords)
        return dict(theirs.attrs) if same else {}


def _coordinates(path: Path, count: int) -> tuple[NDArray[np.int64], dict[str, Any]]:
    with opened(path) as file:
        if "coords" not in file:
            message = f"{path}: no dataset coords; CLAM writes one (it has {', '.join(file) or 'nothing'})"
            raise InputError(message)
        dataset = file["coords"]
        coords, grid = np.asarray(dataset[:]).astype(np.int64), dict(dataset.attrs)
    return _of_count(path, coords, count), grid


def _of_count(path: Path, coords: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    if coords.shape != (count, 2):
        message = f"{path}: coordinates of shape {coords.shape} for {count} patches; they belong to other features"
        raise InputError(message)
    return coords


def tensor_of(path: Path) -> NDArray[np.float32]:
    """Features [patch, value] of a .pt file that holds a tensor and nothing else: nothing in it is executed.

    Raises InputError for anything else.
    """
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        message = f"{path}: not a tensor that torch loads without executing it ({str(error).splitlines()[0][:120]})"
        raise InputError(message) from error
    if not isinstance(found, torch.Tensor):
        message = f"{path}: holds a {type(found).__name__}, not a tensor [patches, values]"
        raise InputError(message)
    return _matrix(path, found.float().numpy())


def _matrix(path: Path, values: NDArray[Any]) -> NDArray[np.float32]:
    values = values[0] if values.ndim == 3 and len(values) == 1 else values
    if values.ndim != 2 or values.dtype.kind != "f" or not values.shape[1] or not np.isfinite(values).all():
        message = f"{path}: shape {values.shape}, {values.dtype}; features are finite numbers [patches, values]"
        raise InputError(message)
    return values.astype(np.float32)


def _slide2vec(folder: Path, mpp: Mapping[str, float], table: str) -> Iterator[OtherFeatures]:
    files = sorted([*(folder / "tile_embeddings").glob("*.pt"), *(folder / "tile_embeddings").glob("*.npz")])
    for path, other in pairwise(sorted(files, key=lambda one: one.stem)):
        if path.stem == other.stem:
            message = f"{path} and {other.name}: features of one slide twice; keep one of the two files"
            raise InputError(message)
    for path in files:
        meta = _json(path.with_suffix(".meta.json"))
        if meta.get("artifact_type", "tile_embeddings") != "tile_embeddings":
            message = f"{path}: {meta['artifact_type']}, not tile_embeddings (a vector a tile)"
            raise InputError(message)
        features = tensor_of(path) if path.suffix == ".pt" else _matrix(path, _npz(path, ["features"])["features"])
        beside, coords = folder / "tiles" / f"{path.stem}.coordinates.npz", None
        if beside.exists():
            found = _npz(beside, ["x", "y"])
            coords = _of_count(beside, np.stack([found["x"], found["y"]], 1).astype(np.int64), len(features))
        known = {"patch_size": "requested_tile_size_px", "patch_size_level0": "tile_size_lv0"}
        known |= {"patch_mpp": "requested_spacing_um"}
        grid = {ours: meta[theirs] for ours, theirs in known.items() if meta.get(theirs)}
        yield OtherFeatures(path.stem, features, coords, str(meta.get("encoder_name", "")), grid)


def _npz(path: Path, names: list[str]) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except (OSError, ValueError, KeyError) as error:
        message = f"{path}: no numpy archive with {' and '.join(names)} ({error})"
        raise InputError(message) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        message = f"{path}: not readable as JSON ({error})"
        raise InputError(message) from error


def _stamp(folder: Path, mpp: Mapping[str, float], table: str) -> Iterator[OtherFeatures]:
    for path in sorted(folder.glob("*.h5")):
        features, _ = read_features(path)
        with opened(path) as file:
            if _unit(file) not in ("um", "µm"):
                message = f"{path}: no unit um, unlike other files of {folder}; keep files of one tool in a folder"
                raise InputError(message)
            where, scale = np.asarray(file["coords"][:], float), mpp.get(path.stem)
            said = {key: file.attrs[key] for key in ("tile_size_px", "tile_size_um") if key in file.attrs}
            encoder = str(file.attrs.get("extractor", ""))
        coords = None if scale is None else np.rint(where / scale).astype(np.int64)
        grid: dict[str, Any] = {"patch_size": int(said["tile_size_px"])} if "tile_size_px" in said else {}
        if {"tile_size_px", "tile_size_um"} <= set(said):
            grid["patch_mpp"] = float(said["tile_size_um"]) / float(said["tile_size_px"])
        if scale is not None and "tile_size_um" in said:
            grid |= {"patch_size_level0": round(float(said["tile_size_um"]) / scale), "level0_mpp": scale}
        yield OtherFeatures(path.stem, features, coords, encoder, grid)


def _unit(file: h5py.File) -> str:
    found = file.attrs.get("unit", "")
    return found.decode() if isinstance(found, bytes) else str(found)


def _lazyslide(folder: Path, mpp: Mapping[str, float], table: str) -> Iterator[OtherFeatures]:
    for path in sorted(folder.glob("*.zarr")):
        values, coords, encoder, grid = read_store(path, table)
        yield OtherFeatures(path.stem, _matrix(path, values), coords, encoder, grid)


READERS: dict[str, Reader] = {"clam": _clam, "slide2vec": _slide2vec, "lazyslide": _lazyslide, "stamp": _stamp}
"""How each layout is read."""
