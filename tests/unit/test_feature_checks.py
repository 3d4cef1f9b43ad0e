"""Features of new slides held against training's: the size and resolution of patches, as other tools write them."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from mirrorflow.errors import InputError
from mirrorflow.reuse.feature_checks import Check, check_features, described, require_same_features
from mirrorflow.reuse.feature_formats import import_features

FEATURES = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)


def stamp(folder: Path, um: float, name: str = "s1") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / f"{name}.h5", "w") as file:
        file["feats"], file["coords"] = FEATURES, np.arange(12.0).reshape(6, 2) * um
        file.attrs.update({"extractor": "uni", "unit": "um", "tile_size_px": 224, "tile_size_um": um})
    return folder / f"{name}.h5"


def slide2vec(folder: Path, um: float, size: Any = 256) -> Path:
    (folder / "tile_embeddings").mkdir(parents=True)
    torch.save(torch.from_numpy(FEATURES), folder / "tile_embeddings/s1.pt")
    meta = {"encoder_name": "uni", "requested_tile_size_px": size, "requested_spacing_um": um, "tile_size_lv0": 512}
    (folder / "tile_embeddings/s1.meta.json").write_text(json.dumps(meta))
    import_features(folder, folder / "ours", {})
    return folder / "ours/s1.h5"


def ours(path: Path, **grid: Any) -> Path:
    with h5py.File(path, "w") as file:
        file["features"], file["coords"] = FEATURES, np.zeros((6, 2), np.int64)
        file["coords"].attrs.update(grid)
    return path


def patches(training: Path, *new: Path) -> Check:
    index = pd.DataFrame({"path": [str(training)], "status": ["ok"], "dim": ["8"]})
    checks = check_features(index, {str(number): path for number, path in enumerate(new)}, "the run")
    return next(check for check in checks if check.what == "patches")


@pytest.mark.parametrize("scale", [{}, {"s1": 0.25}])
def test_tiles_of_as_many_pixels_and_another_resolution_are_refused(tmp_path: Path, scale: dict[str, float]) -> None:
    made = []
    for name, um in (("a", 112.0), ("b", 256.0), ("c", 112.0)):
        stamp(tmp_path / name, um)
        import_features(tmp_path / name, tmp_path / f"{name}-ours", scale)
        made.append(tmp_path / f"{name}-ours/s1.h5")
    found = patches(made[0], made[1])
    assert found.verdict == "differs"
    assert "1.143" in found.new
    with pytest.raises(InputError, match=r"patches: training had .*0.5.*, the new slides have .*1.143"):
        require_same_features([found])
    assert patches(made[0], made[2]).verdict == "same"
    assert patches(tmp_path / "a/s1.h5", tmp_path / "b/s1.h5").verdict == "differs"  # as they lie, not imported
    assert patches(tmp_path / "a/s1.h5", made[2]).verdict == "same"


def test_the_spacing_of_slide2vec_is_kept_without_coordinates(tmp_path: Path) -> None:
    half, whole = slide2vec(tmp_path / "a", 0.5), slide2vec(tmp_path / "b", 1.0)
    again = slide2vec(tmp_path / "c", 0.5, 256.0)
    assert described(half)["patches"] == '{"patch_mpp": "0.5", "patch_size": "256"}'
    assert patches(half, whole).verdict == "differs"
    assert patches(half, again).verdict == "same"


def test_numbers_are_compared_as_numbers_and_rounded_scales_are_one(tmp_path: Path) -> None:
    one = ours(tmp_path / "1.h5", patch_size=224.0, patch_mpp=0.5)
    two = ours(tmp_path / "2.h5", patch_size=224, patch_size_level0=451, level0_mpp=0.25)
    assert patches(one, two).verdict == "same"
    assert patches(ours(tmp_path / "3.h5", patch_size="224", patch_mpp=0.25), two).verdict == "differs"


def test_what_one_side_does_not_say_is_not_known(tmp_path: Path) -> None:
    old = ours(tmp_path / "old.h5", patch_size=224)
    assert patches(old, ours(tmp_path / "1.h5", patch_size=224, patch_mpp=0.5)).verdict == "not known"
    assert patches(old, ours(tmp_path / "2.h5", patch_size=512, patch_mpp=0.5)).verdict == "differs"
    assert patches(old, ours(tmp_path / "3.h5", patch_size=224)).verdict == "not known"  # nor the resolution of both
    clam = ours(tmp_path / "4.h5", patch_size=448, patch_level=0)
    assert patches(old, clam).verdict == "not known"
    trident = {"patch_size": 256, "target_magnification": 20, "overlap": 0}
    assert patches(ours(tmp_path / "5.h5", **trident), ours(tmp_path / "6.h5", **trident)).verdict == "same"


def test_one_slide_that_differs_is_refused_beside_others_that_do_not_say(tmp_path: Path) -> None:
    grid = {"patch_size": 224, "patch_mpp": 0.5}
    training, other = ours(tmp_path / "1.h5", **grid), ours(tmp_path / "2.h5", **{**grid, "patch_mpp": 1.0})
    assert patches(training, ours(tmp_path / "3.h5", patch_size=224), other).verdict == "differs"
