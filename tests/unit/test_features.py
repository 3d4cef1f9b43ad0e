"""Feature files: ours, and those of TRIDENT, CLAM and STAMP."""

import errno
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mirrorflow.errors import InputError, UnreachableError
from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.features import FeatureWriter, check_values, describe_features, read_features, stored_settings
from mirrorflow.store.patches import read_patches
from mirrorflow.store.rows import row_layout

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(5, 8)).astype(np.float32)
COORDS = RNG.integers(0, 9999, (5, 2))
TCGA = Path(__file__).parents[2].parent / "shared" / "tcga" / "coadread" / "features"


def h5(path: Path, attributes: dict[str, Any] | None = None, **datasets: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values
        file.attrs.update(attributes or {})
    return path


def write(path: Path, dtype: str = "float32") -> None:
    with FeatureWriter(path, 8, dtype, {"encoder": "toy"}) as writer:
        writer.append(FEATURES[:3], COORDS[:3])
        writer.append(FEATURES[3:], COORDS[3:])
        writer.finish({"patch_size": 256}, {"seed": 1}, {"patches": 5})


def test_round_trip(tmp_path: Path):
    write(tmp_path / "a.h5")
    features, coords = read_features(tmp_path / "a.h5")
    assert np.array_equal(features, FEATURES)
    assert coords is not None
    assert np.array_equal(coords, COORDS)
    assert describe_features(tmp_path / "a.h5") == (5, 8, "toy", True)
    assert stored_settings(tmp_path / "a.h5") == ('{"seed":1}', {"patches": 5})
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["coords"].attrs["patch_size"] == 256


def test_half_precision_round_trip(tmp_path: Path):
    write(tmp_path / "a.h5", "float16")
    features, _ = read_features(tmp_path / "a.h5")
    assert features.dtype == np.float32
    assert np.abs(features - FEATURES).max() < 2e-3


def test_a_file_without_rows(tmp_path: Path):
    with FeatureWriter(tmp_path / "a.h5", 8, "float32", {}) as writer:
        writer.finish({}, {}, {})
    features, coords = read_features(tmp_path / "a.h5")
    assert features.shape == (0, 8)
    assert coords is not None
    assert coords.shape == (0, 2)


def test_an_abandoned_file_leaves_nothing(tmp_path: Path):
    writer = FeatureWriter(tmp_path / "a.h5", 8, "float32", {})
    writer.append(FEATURES, COORDS)
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "datasets",
    [
        {"features": FEATURES, "coords": COORDS},
        {"features": FEATURES[None], "coords": COORDS[None]},
        {"feats": FEATURES, "coords": COORDS},
        {"features": FEATURES.astype(np.float64), "coords": COORDS.astype(np.int32), "annots": np.arange(3)},
    ],
    ids=["TRIDENT", "batch axis", "STAMP", "float64"],
)
def test_files_made_elsewhere(tmp_path: Path, datasets: dict[str, Any]):
    path = h5(tmp_path / "a.h5", **datasets)
    features, coords = read_features(path)
    assert features.dtype == np.float32
    assert np.array_equal(features, FEATURES)
    assert coords is not None
    assert np.array_equal(coords, COORDS)
    assert describe_features(path)[:2] == (5, 8)


def test_coords_in_micrometres_are_no_pixels(tmp_path: Path):
    path = h5(tmp_path / "a.h5", {"unit": "um", "extractor": "uni"}, feats=FEATURES, coords=COORDS / 2)
    assert read_features(path)[1] is None
    assert describe_features(path) == (5, 8, "uni", False)


GRID = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [2, 0]])


@pytest.mark.parametrize(
    ("coords", "attributes"),
    [
        (GRID * 224, {}),  # pixels of 256/224 um
        (GRID * 224 + 7, {"extractor": "uni"}),
        (GRID * 448, {"tile_size": 224}),
        (GRID * 256, {"tile_size_um": 256, "tile_size_px": 224}),  # micrometres
        (GRID * 224.5, {}),
    ],
)
def test_historic_coords_of_stamp_without_a_unit_are_no_level_0_pixels(
    tmp_path: Path, coords: np.ndarray, attributes: dict[str, Any]
):
    path = h5(tmp_path / "a.h5", attributes, feats=FEATURES, coords=coords)
    assert read_features(path)[1] is None
    assert not describe_features(path).has_coords
    assert describe_features(h5(tmp_path / "t.h5", features=FEATURES, coords=GRID * 224)).has_coords  # TRIDENT


@pytest.mark.parametrize("shape", [(0,), (0, 8), (0, 0), (1, 0, 8)])
@pytest.mark.parametrize("coords", [(0,), (0, 2), None])
def test_a_slide_without_patches_has_none(tmp_path: Path, shape: tuple[int, ...], coords: tuple[int, ...] | None):
    more = {} if coords is None else {"coords": np.zeros(coords)}
    path = h5(tmp_path / "a.h5", features=np.zeros(shape), **more)
    assert describe_features(path).n == 0
    assert len(read_features(path)[0]) == 0


def test_a_slide_without_patches_stops_no_bag(tmp_path: Path):
    empty, full = h5(tmp_path / "a.h5", features=np.zeros(0)), h5(tmp_path / "b.h5", features=FEATURES)
    bags = FeatureBags([[empty, full]], cache_gb=1)
    assert np.array_equal(bags[0], FEATURES)
    assert np.array_equal(bags.rows(0, np.array([1, 0])), FEATURES[[1, 0]])
    with pytest.raises(InputError, match="no patches in"):
        FeatureBags([[empty]], cache_gb=1).size(0)


def test_one_patch_is_no_batch_axis(tmp_path: Path):
    assert read_features(h5(tmp_path / "a.h5", features=FEATURES[:1]))[0].shape == (1, 8)


@pytest.mark.skipif(not TCGA.exists(), reason=f"{TCGA} is not here")
def test_real_features_without_coords():
    path = sorted(TCGA.glob("*.h5"))[0]
    features, coords = read_features(path)
    assert features.shape[1] == 192
    assert coords is None
    assert describe_features(path) == (len(features), 192, "hipt-vit256-mean", False)


NAN = FEATURES.copy()
NAN[2, 3] = np.nan


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"embeddings": FEATURES}, "no dataset features or feats; it has embeddings"),
        ({}, "it has nothing"),
        ({"features": np.zeros((2, 5, 8), np.float32)}, r"shape \(2, 5, 8\)"),
        ({"features": FEATURES[0]}, r"shape \(8,\)"),
        ({"features": np.zeros((3, 8), int)}, "type int64"),
        ({"features": NAN}, "NaN or infinity .first in row 2"),
        ({"features": FEATURES, "coords": COORDS[:3]}, r"coords has shape \(3, 2\) for 5 patches"),
    ],
)
def test_what_is_refused(tmp_path: Path, datasets: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        read_features(h5(tmp_path / "a.h5", **datasets))


@pytest.mark.parametrize("axes", [(), (1,)])
@pytest.mark.parametrize("row", [None, 0, 255, 256, 999])
def test_every_value_is_looked_at_a_part_at_a_time(tmp_path: Path, monkeypatch: Any, row: int | None, axes: tuple[int]):
    monkeypatch.setattr("mirrorflow.store.features.BYTES_AT_ONCE", 1)
    values = np.zeros((*axes, 1000, 8), np.float16)
    path = h5(tmp_path / "a.h5", features=values)
    check_values(path)
    if row is not None:
        values[..., row, 7] = np.inf
        with pytest.raises(InputError, match=rf"NaN or infinity \(first in row {row}\)"):
            check_values(h5(tmp_path / "b.h5", features=values))


def test_no_file_and_no_h5(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        read_features(tmp_path / "a.h5")
    (tmp_path / "a.h5").write_bytes(b"not h5")
    with pytest.raises(InputError, match="damaged"):
        describe_features(tmp_path / "a.h5")


OUTSIDE = {
    "rights": OSError(errno.EACCES, "Unable to open file"),
    "disk": OSError(errno.EIO, "Unable to open file"),
    "handle": OSError(errno.ESTALE, "Unable to open file"),
    "lock": OSError(errno.EAGAIN, "Unable to lock file"),
    "disk, while it is read": KeyError(f"Unable to open object (file read failed: errno = {errno.EIO}, offset = 680)"),
}


@pytest.mark.parametrize("why", OUTSIDE)
def test_what_lies_outside_of_a_file_is_no_damage(tmp_path: Path, monkeypatch: Any, why: str):
    """No InputError: nobody may take the file for damaged, pass over it or make it again."""
    path = h5(tmp_path / "a.h5", features=np.ones((3, 2), np.float32))

    def refused(*_: Any) -> None:
        raise OUTSIDE[why]

    monkeypatch.setattr("mirrorflow.store.h5.h5py.File", refused)
    with pytest.raises(UnreachableError, match=rf"{path}: cannot be read now .*, then run again"):
        describe_features(path)


def external_link(file: h5py.File) -> None:
    file["features"] = h5py.ExternalLink("other.h5", "features")


def soft_link_through_another_file(file: h5py.File) -> None:
    file["there"] = h5py.ExternalLink("other.h5", "/")
    file["features"] = h5py.SoftLink("/there/features")


def raw_storage(file: h5py.File) -> None:
    file.create_dataset("features", data=FEATURES, external=[(f"{file.filename}.raw", 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(FEATURES.shape, "f4")
    layout[:] = h5py.VirtualSource("other.h5", "features", FEATURES.shape)
    file.create_virtual_dataset("features", layout)


def virtual_over_a_link(file: h5py.File) -> None:
    file["there"] = h5py.ExternalLink("other.h5", "features")
    layout = h5py.VirtualLayout(FEATURES.shape, "f4")
    layout[:] = h5py.VirtualSource(".", "there", FEATURES.shape)
    file.create_virtual_dataset("features", layout)


def dangling(file: h5py.File) -> None:
    file["features"] = h5py.SoftLink("/gone")


ELSEWHERE = {
    external_link: "features is a link into .*other.h5",
    soft_link_through_another_file: "features is a link into .*other.h5",
    raw_storage: "features is raw storage in .*raw",
    virtual: "features is a virtual dataset of other.h5",
    virtual_over_a_link: "features is a virtual dataset of /?there, itself a link",
    dangling: "features is a link to what is not there",
}


@pytest.mark.parametrize("lead_out", ELSEWHERE)
@pytest.mark.parametrize("reader", [read_features, describe_features, row_layout])
def test_values_of_another_file_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lead_out: Any, reader: Any
):
    monkeypatch.chdir(tmp_path)
    h5(tmp_path / "other.h5", features=FEATURES, coords=COORDS)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        lead_out(file)
    with pytest.raises(InputError, match=rf"a\.h5: {ELSEWHERE[lead_out]}.*copy them into the file"):
        reader(tmp_path / "a.h5")


@pytest.mark.parametrize("reader", [read_features, read_patches])
def test_coords_of_another_file_are_refused(tmp_path: Path, reader: Any):
    h5(tmp_path / "other.h5", coords=COORDS)
    h5(tmp_path / "a.h5", features=FEATURES, coords=h5py.ExternalLink("other.h5", "coords"))
    with pytest.raises(InputError, match=r"a\.h5: coords is a link into .*other\.h5"):
        reader(tmp_path / "a.h5")


def test_a_soft_link_within_the_file_is_followed(tmp_path: Path):
    h5(tmp_path / "a.h5", mine=FEATURES, features=h5py.SoftLink("/mine"))
    assert np.array_equal(read_features(tmp_path / "a.h5")[0], FEATURES)
    assert row_layout(tmp_path / "a.h5").mapped
