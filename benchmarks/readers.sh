#!/usr/bin/env bash
# Features between this project and the tools that read them, each in an environment of its own. Outside CI: it
# installs packages (some GB in a temporary folder).
#
#     PYTHON=.venv/bin/python benchmarks/readers.sh
#
# Out: what `mirrorflow export-features` writes is read by each tool's own code. In: what the tool writes is taken over by
# `mirrorflow import-features`. Where a tool is not in the Python registry (CLAM, TRIDENT, STAMP), its documented layout
# is held instead, and said. Then slide2vec's presets are held against config/encoders.yaml. Fails where a reader fails.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
case $python in */*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;; esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export PYTHONPATH=$root/workflow PYTHONWARNINGS=ignore
mirrorflow() { "$python" -m mirrorflow.cli "$@"; }
install() { # name of the environment, packages
  local name=$1
  shift
  env -u PYTHONPATH "$python" -m venv "$name"
  env -u PYTHONPATH "$name/bin/pip" install --quiet --disable-pip-version-check "$@" 2>pip.txt || { cat pip.txt; exit 1; }
}
there() { env -u PYTHONPATH "$1/bin/python" "${@:2}"; }

echo "== features of two slides, written by mirrorflow"
"$python" - <<'PYTHON'
import numpy as np
import tifffile

from mirrorflow.store.features import FeatureWriter

rng = np.random.default_rng(0)
for name, count in (("s1", 6), ("s2", 5)):
    with FeatureWriter(f"ours/{name}.h5", 8, "float32", {"encoder": "uni", "name": name}) as writer:
        features = rng.standard_normal((count, 8)).astype(np.float32)
        coords = np.array([[row * 64, 64] for row in range(count)], np.int64)
        writer.append(features, coords)
        writer.finish({"patch_size": 32, "patch_size_level0": 64, "level0_mpp": 0.25, "patch_mpp": 0.5}, {}, {})
    np.savez(f"{name}.npz", features=features, coords=coords)
    pixels = rng.integers(0, 255, (256, 512, 3), np.uint8)
    tifffile.imwrite(f"{name}.tiff", pixels, tile=(64, 64), photometric="rgb", resolution=(40000, 40000), resolutionunit=3)
PYTHON
for to in clam slide2vec stamp trident lazyslide; do mirrorflow export-features ours --to "$to" --out "out/$to"; done

echo "== lazyslide: its data package wsidata, on SpatialData"
install lazy wsidata openslide-python openslide-bin tiffslide
there lazy - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from wsidata import TileSpec, open_wsi
from wsidata.io import add_features, add_tiles

print(", ".join(f"{name} {version(name)}" for name in ("wsidata", "spatialdata", "anndata", "zarr", "geopandas")))
for name in ("s1", "s2"):
    wanted = np.load(f"{name}.npz")
    wsi = open_wsi(f"{name}.tiff", store=f"out/lazyslide/{name}.zarr")
    found = wsi.fetch.features_anndata("uni", "tiles")
    assert np.array_equal(np.asarray(found.X), wanted["features"])
    assert np.array_equal(wsi.shapes["tiles"][["x", "y"]].to_numpy(), wanted["coords"])
    assert np.array_equal(wsi.shapes["tiles"].geometry.bounds.to_numpy()[:, :2], wanted["coords"])
    spec = wsi.tile_spec("tiles")
    assert (spec.width, spec.base_width, spec.mpp) == (32, 64, 0.5), spec
    print(f"read {name}: {found.shape[0]} tiles of {found.shape[1]} values, {spec.width} px at {spec.mpp} um/px")
    again = open_wsi(f"{name}.tiff", store=f"back/lazyslide/{name}.zarr")
    size = TileSpec(32, 32, 32, 32, mpp=0.5, base_downsample=2.0)
    add_tiles(again, "tiles", wanted["coords"], size, np.zeros(len(found), int))
    add_features(again, "uni_tiles", "tiles", wanted["features"])
    again.write()
PYTHON

echo "== slide2vec and hs2p (without what reads slides: it does not go with one another)"
install s2v --no-deps slide2vec hs2p
env -u PYTHONPATH s2v/bin/pip install --quiet --disable-pip-version-check torch torchvision timm "transformers<5" numpy omegaconf \
  pandas h5py tqdm rich pillow matplotlib opencv-python-headless packaging wandb einops 2>pip.txt || { cat pip.txt; exit 1; }
there s2v - <<'PYTHON'
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
from hs2p.tiling.io import _validate_metadata_schema
from slide2vec.artifacts import load_array, load_metadata, write_tile_embeddings

print(", ".join(f"{name} {version(name)}" for name in ("slide2vec", "hs2p", "torch")))
for name in ("s1", "s2"):
    wanted = np.load(f"{name}.npz")
    found = load_array(f"out/slide2vec/tile_embeddings/{name}.pt")
    said = load_metadata(f"out/slide2vec/tile_embeddings/{name}.meta.json")
    assert np.array_equal(found.numpy(), wanted["features"])
    assert (said["artifact_type"], said["feature_dim"], said["tile_size_lv0"]) == ("tile_embeddings", 8, 64), said
    with np.load(f"out/slide2vec/tiles/{name}.coordinates.npz") as tiles:
        assert np.array_equal(np.stack([tiles["x"], tiles["y"]], 1), wanted["coords"])
        assert np.array_equal(tiles["tile_index"], np.arange(len(found)))
    print(f"read {name}: {tuple(found.shape)} of {said['encoder_name']}")
    meta = {"encoder_name": "uni", "tile_size_lv0": 64, "requested_tile_size_px": 32}
    write_tile_embeddings(name, wanted["features"], output_dir="back/slide2vec", metadata=meta)
    Path("back/slide2vec/tiles").mkdir(exist_ok=True)
    x, y = wanted["coords"].T
    arrays = {"x": x, "y": y, "tissue_fractions": np.ones(len(x), np.float32), "tile_index": np.arange(len(x), dtype=np.int32)}
    np.savez_compressed(f"back/slide2vec/tiles/{name}.coordinates.npz", **arrays)
try:
    _validate_metadata_schema({})
    raise SystemExit("hs2p takes tiles without its metadata now: write them")
except ValueError as error:
    print(f"hs2p's own loader wants how it segmented the slide, which features do not say: {str(error)[:90]} ...")
PYTHON

echo "== what they wrote, read by mirrorflow"
for tool in lazyslide slide2vec; do mirrorflow import-features "back/$tool" --out "again/$tool"; done
"$python" - <<'PYTHON'
import numpy as np

from mirrorflow.store.features import read_features

for tool in ("lazyslide", "slide2vec"):
    for name in ("s1", "s2"):
        wanted, (features, coords) = np.load(f"{name}.npz"), read_features(f"again/{tool}/{name}.h5")
        assert np.array_equal(features, wanted["features"]) and np.array_equal(coords, wanted["coords"]), (tool, name)
    print(f"{tool}: values and places are those that it wrote")
PYTHON

echo "== not in the Python registry by its makers: CLAM, TRIDENT, STAMP 2; their documented layouts, read without us"
there s2v - <<'PYTHON'
import h5py
import numpy as np
import torch

for name in ("s1", "s2"):
    wanted = np.load(f"{name}.npz")
    bag = torch.load(f"out/clam/pt_files/{name}.pt", weights_only=True)
    assert np.array_equal(bag.numpy(), wanted["features"])
    for tool, key in (("clam/h5_files", "features"), ("trident", "features"), ("stamp", "feats")):
        with h5py.File(f"out/{tool}/{name}.h5") as file:
            assert np.array_equal(np.squeeze(file[key][:]), wanted["features"]), tool
            places, said = file["coords"][:], dict(file.attrs) | dict(file["coords"].attrs)
            if tool == "stamp":
                assert said["unit"] == "um" and said["tile_size_um"] == 16.0 and said["tile_size_px"] == 32
                places = np.rint(places / 0.25)
            else:
                assert (said["patch_size"], said["patch_size_level0"]) == (32, 64)
            assert np.array_equal(places, wanted["coords"]), tool
print("CLAM: pt_files, coords in h5_files. TRIDENT: features, coords with patch_size_level0. STAMP: feats, coords in um")
PYTHON

echo "== slide2vec's presets against config/encoders.yaml"
HF_HUB_OFFLINE=1 there s2v - >presets.json <<'PYTHON'
import json

from slide2vec.encoders.registry import encoder_registry


def normalisation(name):
    """Mean and deviation, where the class has them without its weights."""
    kind = encoder_registry.require(name)
    try:
        steps = kind.get_transform(object.__new__(kind)).transforms
        (last,) = [step for step in steps if type(step).__name__ == "Normalize"]
    except Exception:
        return None
    return [list(map(float, last.mean)), list(map(float, last.std))]


plain = (int, float, str, list, dict, type(None))
found = {}
for name in encoder_registry.names():
    said = encoder_registry.info(name)
    found[name] = {key: value for key, value in said.items() if isinstance(value, plain)}
    found[name]["normalisation"] = normalisation(name)
print(json.dumps(found))
PYTHON
"$python" "$root/benchmarks/presets.py" presets.json
echo "readers: all read"
