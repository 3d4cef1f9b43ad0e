"""Features from and to other tools' layouts: ``mirrorflow import-features`` and ``mirrorflow export-features``."""

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import InputError
from mirrorflow.runtime.files import check_file_name, write_text, written_whole
from mirrorflow.store.features import FeatureWriter, describe_features, read_features
from mirrorflow.store.h5 import created, opened
from mirrorflow.store.lazyslide import write_store
from mirrorflow.store.other_features import layout_of, read_others

logger = logging.getLogger("mirrorflow.features")


def import_features(folder: Path, out: Path, mpp: Mapping[str, float], table: str = "") -> tuple[str, int, int]:
    """Write ``<slide_id>.h5`` in TRIDENT's layout for every slide of a folder that another tool made.

    Returns whose layout it was, how many slides there were, and of how many coordinates are known. Raises InputError
    as :func:`~mirrorflow.store.other_features.read_others`, and where the folder holds no slide.
    """
    layout, count, placed = layout_of(folder), 0, 0
    for slide in read_others(folder, mpp, table):
        name = check_file_name(slide.slide_id, what="slide", where=str(folder))
        attributes = {"name": name, "encoder": slide.encoder, "imported_from": layout}
        attributes |= dict(slide.grid) if slide.coords is None else {}  # beside the features, where no places are kept
        with FeatureWriter(out / f"{name}.h5", slide.features.shape[1], "float32", attributes) as writer:
            known, nowhere = slide.coords is not None, np.zeros((len(slide.features), 2), np.int64)
            writer.append(slide.features, nowhere if slide.coords is None else slide.coords)
            writer.finish({**slide.grid, "known": known}, {}, {})
        if not known:
            _drop_coords(out / f"{name}.h5")
        count, placed = count + 1, placed + known
    if not count:
        message = f"{folder}: {layout}'s layout without any slide in it"
        raise InputError(message)
    return layout, count, placed


def _drop_coords(path: Path) -> None:
    """Leave no places in a file of which none are known."""
    with h5py.File(path, "r+") as file:
        del file["coords"]


def export_features(folder: Path, to: str, out: Path) -> int:
    """Write the ``<slide_id>.h5`` of a folder in another tool's layout; returns how many slides.

    to: clam, slide2vec, stamp, trident or lazyslide. Raises InputError for another word, a folder without such files,
    and where STAMP's micrometres need a scale, or lazyslide's tiles places, that a file does not say.
    """
    if to not in WRITERS:
        message = f"--to {to}: there are {', '.join(WRITERS)}"
        raise InputError(message)
    files = sorted(folder.glob("*.h5"))
    if not files:
        message = f"{folder}: no *.h5 files of features in it"
        raise InputError(message)
    for path in files:
        WRITERS[to](path, out)
    return len(files)


def _read(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64] | None, str, dict[str, Any]]:
    """Features, corners, encoder, attributes of the coordinates."""
    features, coords = read_features(path)
    with opened(path) as file:
        grid = dict(file["coords"].attrs) if "coords" in file else {}
    return features, coords, describe_features(path).encoder, grid


def _to_clam(path: Path, out: Path) -> None:
    import torch

    features, coords, _, grid = _read(path)
    with written_whole(out / "pt_files" / f"{path.stem}.pt") as temporary, temporary.open("wb") as stream:
        torch.save(torch.from_numpy(features), stream)
    with written_whole(out / "h5_files" / path.name) as temporary, created(temporary) as file:
        file["features"] = features
        if coords is not None:
            file["coords"] = coords
            file["coords"].attrs.update(grid)


def _to_slide2vec(path: Path, out: Path) -> None:
    import torch

    features, coords, encoder, grid = _read(path)
    with written_whole(out / "tile_embeddings" / f"{path.stem}.pt") as temporary, temporary.open("wb") as stream:
        torch.save(torch.from_numpy(features), stream)
    meta = {
        "sample_id": path.stem,
        "artifact_type": "tile_embeddings",
        "encoder_level": "tile",
        "encoder_name": encoder,
        "feature_dim": int(features.shape[1]),
        "feature_dtype": "fp32",
        "format": "pt",
        "num_tiles": len(features),
    }
    known = {"requested_tile_size_px": "patch_size", "tile_size_lv0": "patch_size_level0"}
    known["requested_spacing_um"] = "patch_mpp"
    meta |= {theirs: float(grid[ours]) for theirs, ours in known.items() if ours in grid}
    write_text(out / "tile_embeddings" / f"{path.stem}.meta.json", json.dumps(meta, indent=1))
    if coords is not None:
        with written_whole(out / "tiles" / f"{path.stem}.coordinates.npz") as temporary, temporary.open("wb") as stream:
            index = np.arange(len(coords), dtype=np.int32)
            np.savez(stream, x=coords[:, 0], y=coords[:, 1], tile_index=index)


def _to_stamp(path: Path, out: Path) -> None:
    features, coords, encoder, grid = _read(path)
    if coords is None or not {"level0_mpp", "patch_size", "patch_mpp"} <= set(grid):
        message = f"{path}: STAMP's places are micrometres, and the file does not say its scale (level0_mpp, patch_mpp)"
        raise InputError(message)
    with written_whole(out / path.name) as temporary, created(temporary) as file:
        file["coords"] = coords * float(grid["level0_mpp"])
        file["feats"] = features
        said = {"extractor": encoder, "unit": "um", "tile_size_px": int(grid["patch_size"])}
        file.attrs.update(said | {"tile_size_um": float(grid["patch_size"]) * float(grid["patch_mpp"])})


def _to_trident(path: Path, out: Path) -> None:
    describe_features(path)
    with written_whole(out / path.name) as temporary:
        shutil.copyfile(path, temporary)


def _to_lazyslide(path: Path, out: Path) -> None:
    features, coords, encoder, grid = _read(path)
    if coords is None:
        message = f"{path}: lazyslide's features are of tiles, and the file says no places (coords)"
        raise InputError(message)
    out.mkdir(parents=True, exist_ok=True)
    write_store(out / f"{path.stem}.zarr", features, coords, encoder, grid)


WRITERS: dict[str, Callable[[Path, Path], None]] = {
    "clam": _to_clam,
    "slide2vec": _to_slide2vec,
    "stamp": _to_stamp,
    "trident": _to_trident,
    "lazyslide": _to_lazyslide,
}
"""How each layout is written; TRIDENT's is that of our own files."""
