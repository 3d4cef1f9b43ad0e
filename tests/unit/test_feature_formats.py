"""Features of other tools in and out: a small fixture of each documented layout, round trips, refusals."""

import json
import re
import struct
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mirrorflow.cli import main
from mirrorflow.errors import InputError
from mirrorflow.reuse.feature_formats import export_features, import_features
from mirrorflow.steps.slides.index_features import index_features
from mirrorflow.store.features import FeatureWriter, describe_features, read_features
from mirrorflow.store.lazyslide import corners, square
from mirrorflow.store.other_features import import_hint, layout_of
from mirrorflow.store.patches import read_patches
from mirrorflow.store.slide_sheet import SlideRow

FEATURES = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
COORDS = np.array([[i * 448, 896] for i in range(6)], np.int64)


def clam(folder: Path) -> None:
    (folder / "pt_files").mkdir(parents=True)
    (folder / "h5_files").mkdir()
    torch.save(torch.from_numpy(FEATURES), folder / "pt_files/s1.pt")
    with h5py.File(folder / "h5_files/s1.h5", "w") as file:
        file["features"], file["coords"] = FEATURES, COORDS
        file["coords"].attrs.update({"patch_level": 0, "patch_size": 448})


def slide2vec(folder: Path) -> None:
    (folder / "tile_embeddings").mkdir(parents=True)
    (folder / "tiles").mkdir()
    torch.save(torch.from_numpy(FEATURES).half(), folder / "tile_embeddings/s1.pt")
    meta = {
        "sample_id": "s1", "artifact_type": "tile_embeddings", "encoder_name": "virchow2", "feature_dim": 4,
        "requested_tile_size_px": 224, "tile_size_lv0": 448, "requested_spacing_um": 0.5,
    }  # fmt: skip
    (folder / "tile_embeddings/s1.meta.json").write_text(json.dumps(meta))
    np.savez(folder / "tiles/s1.coordinates.npz", x=COORDS[:, 0], y=COORDS[:, 1], tile_index=np.arange(6))


def stamp(folder: Path) -> None:
    folder.mkdir(parents=True)
    with h5py.File(folder / "s1.h5", "w") as file:
        file["feats"], file["coords"] = FEATURES, COORDS * 0.25
        said = {"stamp_version": "2.3.0", "extractor": "uni2", "unit": "um", "tile_size_um": 112.0, "tile_size_px": 224}
        file.attrs.update(said)


def shapes(path: Path, ids: list[int] | None = None) -> None:
    """Tiles as GeoParquet, by default without ids."""
    path.parent.mkdir(parents=True)
    columns: dict[str, Any] = {"geometry": [square(float(x), float(y), 448.0) for x, y in COORDS]}
    pq.write_table(pa.table(columns | ({"tile_id": ids} if ids else {})), path)


@pytest.mark.parametrize(("make", "encoder"), [(clam, ""), (slide2vec, "virchow2"), (stamp, "uni2")])
def test_each_layout_gives_features_corners_and_the_encoder(make: Any, encoder: str, tmp_path: Path) -> None:
    make(tmp_path / "theirs")
    layout, count, placed = import_features(tmp_path / "theirs", tmp_path / "ours", {"s1": 0.25})
    assert (layout, count, placed) == (make.__name__, 1, 1)
    features, coords = read_features(tmp_path / "ours/s1.h5")
    np.testing.assert_allclose(features, FEATURES, atol=2e-3)  # slide2vec's are float16
    np.testing.assert_array_equal(coords, COORDS)
    assert describe_features(tmp_path / "ours/s1.h5").encoder == encoder
    with h5py.File(tmp_path / "ours/s1.h5") as file:
        assert file["coords"].attrs["patch_size"] in (224, 448)


def clam_as_it_writes(folder: Path, patches: np.ndarray) -> None:
    """CLAM's own: h5_files without attributes, which are in ``patches``."""
    clam(folder)
    (folder / "patches").mkdir()
    with h5py.File(folder / "h5_files/s1.h5", "r+") as file:
        file["coords"].attrs.clear()
    with h5py.File(folder / "patches/s1.h5", "w") as file:
        file["coords"] = patches
        file["coords"].attrs.update({"patch_level": 1, "patch_size": 256, "downsample": np.array([2.0, 2.0])})


def test_clams_size_of_a_patch_is_that_of_its_patches(tmp_path: Path) -> None:
    clam_as_it_writes(tmp_path / "theirs", COORDS)
    import_features(tmp_path / "theirs", tmp_path / "ours", {})
    assert read_patches(tmp_path / "ours/s1.h5").size_level0 == 512


def test_clams_patches_of_another_grid_say_nothing_of_the_features(tmp_path: Path) -> None:
    clam_as_it_writes(tmp_path / "theirs", COORDS + 1)
    import_features(tmp_path / "theirs", tmp_path / "ours", {})
    with h5py.File(tmp_path / "ours/s1.h5") as file:
        assert "patch_size" not in file["coords"].attrs


def test_clams_damaged_patches_do_not_keep_whole_features_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clam_as_it_writes(tmp_path / "theirs", COORDS)
    (tmp_path / "theirs/patches/s1.h5").write_bytes(b"half")
    import_features(tmp_path / "theirs", tmp_path / "ours", {})
    assert "the size of patches is not known" in caplog.text
    with h5py.File(tmp_path / "ours/s1.h5") as file:
        assert "patch_size" not in file["coords"].attrs


def test_slides_of_clam_without_a_tensor_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clam(tmp_path / "theirs")
    (tmp_path / "theirs/h5_files/s2.h5").write_bytes((tmp_path / "theirs/h5_files/s1.h5").read_bytes())
    assert import_features(tmp_path / "theirs", tmp_path / "ours", {}) == ("clam", 1, 1)
    assert "h5_files: 1 slides are left out, which have no file in pt_files: s2; was CLAM stopped?" in caplog.text


def test_features_of_one_slide_in_two_files_are_refused(tmp_path: Path) -> None:
    slide2vec(tmp_path / "theirs")
    np.savez(tmp_path / "theirs/tile_embeddings/s1.npz", features=FEATURES * 0)
    with pytest.raises(InputError, match=r"s1\.npz and s1\.pt: features of one slide twice; keep one of the two"):
        import_features(tmp_path / "theirs", tmp_path / "ours", {})
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(("make", "inner"), [(clam, "."), (clam, "pt_files"), (slide2vec, "tile_embeddings")])
def test_a_folder_of_another_tool_says_how_to_bring_it_in(make: Any, inner: str, tmp_path: Path) -> None:
    make(tmp_path / "theirs")
    folder, hint = tmp_path / "theirs" / inner, f"mirrorflow import-features {tmp_path / 'theirs'} --out"
    with pytest.raises(InputError, match=re.escape(hint)):
        index_features([SlideRow("s1", "p1", None, None, {})], folder, tmp_path / "index.tsv")
    stamp(tmp_path / "read")
    assert import_hint(tmp_path / "read") == import_hint(tmp_path / "nowhere") == ""


def test_micrometres_without_a_scale_leave_no_places(tmp_path: Path) -> None:
    stamp(tmp_path / "theirs")
    assert import_features(tmp_path / "theirs", tmp_path / "ours", {})[1:] == (1, 0)
    assert not describe_features(tmp_path / "ours/s1.h5").has_coords
    assert read_features(tmp_path / "ours/s1.h5")[1] is None


def ours(folder: Path) -> None:
    with FeatureWriter(folder / "s1.h5", 4, "float32", {"encoder": "uni", "name": "s1"}) as writer:
        writer.append(FEATURES, COORDS)
        grid = {"patch_size": 224, "patch_size_level0": 448, "level0_mpp": 0.25, "patch_mpp": 0.5}
        writer.finish(grid, {}, {})


@pytest.mark.parametrize("to", ["clam", "slide2vec", "stamp", "lazyslide"])
def test_what_is_exported_comes_back(to: str, tmp_path: Path) -> None:
    ours(tmp_path / "ours")
    assert main(["export-features", str(tmp_path / "ours"), "--to", to, "--out", str(tmp_path / "theirs")]) == 0
    (tmp_path / "slides.tsv").write_text("slide_id\tpatient\tpath\tmpp\ns1\tp1\t\t0.25\n")
    sheet = ["--slides", str(tmp_path / "slides.tsv")]
    assert main(["import-features", str(tmp_path / "theirs"), "--out", str(tmp_path / "again"), *sheet]) == 0
    features, coords = read_features(tmp_path / "again/s1.h5")
    np.testing.assert_array_equal(features, FEATURES)
    np.testing.assert_array_equal(coords, COORDS)


def test_tridents_layout_is_our_own(tmp_path: Path) -> None:
    ours(tmp_path / "ours")
    export_features(tmp_path / "ours", "trident", tmp_path / "theirs")
    assert (tmp_path / "theirs/s1.h5").read_bytes() == (tmp_path / "ours/s1.h5").read_bytes()
    with pytest.raises(InputError, match="are read where they lie"):
        layout_of(tmp_path / "theirs")


def test_corners_of_tiles_are_read_from_their_shapes(tmp_path: Path) -> None:
    shapes(tmp_path / "shapes/tiles/shapes.parquet")
    np.testing.assert_array_equal(corners(tmp_path / "shapes/tiles/shapes.parquet"), COORDS)
    pq.write_table(pa.table({"geometry": [struct.pack("<BIII", 1, 1, 0, 0)]}), tmp_path / "points.parquet")
    with pytest.raises(InputError, match="not a polygon"):
        corners(tmp_path / "points.parquet")


@pytest.mark.parametrize("package", ["zarr", "anndata"])
def test_zarr_stores_without_the_packages_say_how_to_get_them(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours(tmp_path / "ours")
    (tmp_path / "theirs/s1.zarr").mkdir(parents=True)
    monkeypatch.setitem(sys.modules, package, None)
    said = {"zarr": r"pip install 'mirrorflow\[zarr\]'", "anndata": r"pip install 'mirrorflow\[h5ad\]'"}[package]
    with pytest.raises(InputError, match=said):
        export_features(tmp_path / "ours", "lazyslide", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    if package == "zarr":
        with pytest.raises(InputError, match=said):
            import_features(tmp_path / "theirs", tmp_path / "again", {})


def table_of(store: Path, name: str, ids: list[int] | None = None) -> None:
    """A table of features, with the ids of its tiles or without."""
    import zarr

    zarr.create_array(str(store / f"tables/{name}/X"), shape=(6, 4), dtype="f4")[:] = FEATURES
    if ids:
        zarr.create_array(str(store / f"tables/{name}/obs/tile_id"), shape=(6,), dtype="i8")[:] = np.array(ids)


def test_a_table_of_a_zarr_store_is_read_with_its_tiles(tmp_path: Path) -> None:
    for name in ("uni_tiles", "conch_tiles"):
        table_of(tmp_path / "a/s1.zarr", name)
    shapes(tmp_path / "a/s1.zarr/shapes/tiles/shapes.parquet")
    assert import_features(tmp_path / "a", tmp_path / "ours", {}, "uni_tiles") == ("lazyslide", 1, 1)
    features, coords = read_features(tmp_path / "ours/s1.h5")
    np.testing.assert_array_equal(features, FEATURES)
    np.testing.assert_array_equal(coords, COORDS)
    with pytest.raises(InputError, match=r"not one table of features \(there: conch_tiles, uni_tiles\)"):
        import_features(tmp_path / "a", tmp_path / "ours", {})


def test_tiles_and_features_of_a_zarr_store_meet_by_their_ids(tmp_path: Path) -> None:
    table_of(tmp_path / "a/s1.zarr", "uni_tiles", [15, 14, 13, 12, 11, 10])
    shapes(tmp_path / "a/s1.zarr/shapes/tiles/shapes.parquet", [10, 11, 12, 13, 14, 15])
    import_features(tmp_path / "a", tmp_path / "ours", {})
    np.testing.assert_array_equal(read_features(tmp_path / "ours/s1.h5")[1], COORDS[::-1])
    table_of(tmp_path / "b/s1.zarr", "uni_tiles", [15, 14, 13, 12, 11, 99])
    shapes(tmp_path / "b/s1.zarr/shapes/tiles/shapes.parquet", [10, 11, 12, 13, 14, 15])
    with pytest.raises(InputError, match=r"no tile 99 \(1 such\): the features belong to other tiles"):
        import_features(tmp_path / "b", tmp_path / "ours", {})


def test_a_store_for_lazyslide_has_its_layout(tmp_path: Path) -> None:
    """What wsidata 0.12 and SpatialData 0.7 write: names, attributes, encodings (see benchmarks/readers.sh)."""
    import anndata

    ours(tmp_path / "ours")
    export_features(tmp_path / "ours", "lazyslide", tmp_path / "theirs")
    store = tmp_path / "theirs/s1.zarr"
    root, table, tiles = (
        json.loads((store / part / "zarr.json").read_text())["attributes"]
        for part in ("", "tables/uni_tiles", "shapes/tiles")
    )
    assert root["spatialdata_attrs"] == {"version": "0.2"}
    assert root["tile_spec"]["tiles"] | {"mpp": 0.5, "width": 224, "base_downsample": 2.0} == root["tile_spec"]["tiles"]
    assert (table["region"], table["region_key"], table["instance_key"]) == ("tiles", "library_id", "tile_id")
    assert (table["encoding-type"], table["spatialdata-encoding-type"]) == ("anndata", "ngff:regions_table")
    assert tiles["encoding-type"] == "ngff:shapes"
    found = anndata.io.read_zarr(store / "tables/uni_tiles")
    np.testing.assert_array_equal(found.X, FEATURES)
    assert found.obs["library_id"].tolist() == ["tiles"] * 6
    np.testing.assert_array_equal(corners(store / "shapes/tiles/shapes.parquet"), COORDS)
    assert b'"encoding": "WKB"' in pq.read_schema(store / "shapes/tiles/shapes.parquet").metadata[b"geo"]
    import_features(tmp_path / "theirs", tmp_path / "again", {})
    with h5py.File(tmp_path / "again/s1.h5") as file:
        said = dict(file["coords"].attrs)
    assert (said["patch_size"], said["patch_size_level0"], said["patch_mpp"]) == (224, 448, 0.5)


def test_a_zarr_store_is_never_written_over_and_places_are_needed(tmp_path: Path) -> None:
    ours(tmp_path / "ours")
    (tmp_path / "theirs/s1.zarr").mkdir(parents=True)
    (tmp_path / "theirs/s1.zarr/mine.txt").touch()
    with pytest.raises(InputError, match="is there already, and may hold more than features"):
        export_features(tmp_path / "ours", "lazyslide", tmp_path / "theirs")
    assert (tmp_path / "theirs/s1.zarr/mine.txt").exists()
    with h5py.File(tmp_path / "ours/s1.h5", "r+") as file:
        del file["coords"]
    with pytest.raises(InputError, match=r"the file says no places \(coords\)"):
        export_features(tmp_path / "ours", "lazyslide", tmp_path / "out")


def test_a_zarr_store_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a/s1.zarr/tables/uni_tiles/X").mkdir(parents=True)
    with pytest.raises(InputError, match="not a table of numbers that zarr reads"):
        import_features(tmp_path / "a", tmp_path / "ours", {})
    (tmp_path / "b/s1.zarr").mkdir(parents=True)
    with pytest.raises(InputError, match=r"not one table of features \(there: none\)"):
        import_features(tmp_path / "b", tmp_path / "ours", {})


class Executes:
    def __reduce__(self) -> Any:
        return (print, ("executed",))


def spoil(folder: Path, what: str) -> None:
    clam(folder)
    if what == "code":
        torch.save(Executes(), folder / "pt_files/s1.pt")
    elif what == "dict":
        torch.save({"features": torch.zeros(2, 2)}, folder / "pt_files/s1.pt")
    elif what == "vector":
        torch.save(torch.zeros(4), folder / "pt_files/s1.pt")
    elif what == "nan":
        torch.save(torch.full((6, 4), torch.nan), folder / "pt_files/s1.pt")
    elif what == "fewer":
        torch.save(torch.from_numpy(FEATURES[:5]), folder / "pt_files/s1.pt")
    elif what == "text":
        (folder / "pt_files/s1.pt").write_text("features")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("code", "not a tensor that torch loads without executing it"),
        ("text", "not a tensor that torch loads without executing it"),
        ("dict", "holds a dict, not a tensor"),
        ("vector", r"shape \(4,\)"),
        ("nan", "features are finite numbers"),
        ("fewer", r"coordinates of shape \(6, 2\) for 5 patches"),
    ],
)
def test_files_that_are_something_else_are_refused(
    what: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(tmp_path / "theirs", what)
    with pytest.raises(InputError, match=said):
        import_features(tmp_path / "theirs", tmp_path / "ours", {})
    assert "executed" not in capsys.readouterr().out


def test_folders_that_are_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        layout_of(tmp_path / "nowhere")
    (tmp_path / "tiles").mkdir()
    with pytest.raises(InputError, match="tiles of hs2p without features"):
        layout_of(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").touch()
    with pytest.raises(InputError, match=r"neither CLAM's pt_files.*notes.txt"):
        layout_of(tmp_path / "other")
    with pytest.raises(InputError, match=r"no \*.h5 files"):
        export_features(tmp_path / "other", "clam", tmp_path / "out")
    with h5py.File(tmp_path / "other/s1.h5", "w") as file:
        file["features"] = FEATURES
    with pytest.raises(InputError, match="does not say its scale"):
        export_features(tmp_path / "other", "stamp", tmp_path / "out")
