"""A shard of slides to masks and grids: every oddity gets a row, nothing is made twice."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import tifffile
from tests.slide_factory import REAL_SLIDE, add_tissue, corrupt_tile, glass, simple, write_svs

from mirrorflow.errors import ConfigError, MirrorflowError, SettingsMismatchError
from mirrorflow.slides.scale import Scale
from mirrorflow.steps.slides import patch_slides
from mirrorflow.steps.slides.feature_plan import _source
from mirrorflow.steps.slides.patch_slides import patch_shard
from mirrorflow.store.ledger import PATCH_COLUMNS, read_rows
from mirrorflow.store.patches import read_patches
from mirrorflow.store.slide_sheet import SlideRow

SETTINGS: dict[str, Any] = {"patch": {"size_px": 256, "mpp": 0.5, "min_tissue": 0.1}}


def patch_one(path: Path | None, folder: Path, settings: dict[str, Any] | None = None, **row: Any) -> dict[str, str]:
    """Status row of one slide."""
    patch_shard([SlideRow("s", "p", path, **row)], folder / "out", folder / "status.tsv", settings or SETTINGS)
    return read_rows(folder / "status.tsv", PATCH_COLUMNS)[0]


@pytest.mark.skipif(not REAL_SLIDE.exists(), reason=f"{REAL_SLIDE} is not here")
@pytest.mark.parametrize(("preset", "patches"), [("256px-20x", 46), ("512px-20x", 14)])
def test_the_real_slide(tmp_path: Path, preset: str, patches: int):
    """Counts checked on the overlay: one column of tissue, its pale rims and holes left out."""
    row = patch_one(REAL_SLIDE, tmp_path, {"patch": {"preset": preset, "min_tissue": 0.1}})
    assert (row["status"], row["patches"], row["mpp"], row["mpp_source"]) == ("ok", str(patches), "0.499", "metadata")
    mask = cv2.imread(str(tmp_path / "out/masks/s.png"), cv2.IMREAD_GRAYSCALE)
    assert mask.shape == (185, 138)
    assert 0.30 < (mask > 0).mean() < 0.38
    overlay = cv2.imread(str(tmp_path / "out/overlays/s.jpg"))
    assert max(overlay.shape) <= 400


def test_tissue_in_a_known_place(tmp_path: Path):
    row = patch_one(write_svs(tmp_path / "a.svs", simple(2048, 1536)), tmp_path)
    assert (row["status"], row["reason"], row["patches"]) == ("ok", "", "12")
    patches = read_patches(tmp_path / "out/patches/s.h5")
    assert patches.coords.tolist() == [[256 * x, 256 * y] for y in range(3) for x in range(4)]
    assert patches.size_level0 == 256


def test_another_slide_of_as_many_bytes_is_another_slide(tmp_path: Path):
    """A slide that is not compressed has the bytes of its corrected self."""
    path, first = tmp_path / "a.tif", simple(1024, 1024)
    made = []
    for pixels in (first, first[::-1]):
        tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb")
        row = patch_one(path, tmp_path, mpp=0.5)
        assert row["status"] == "ok"
        made.append(read_patches(tmp_path / "out/patches/s.h5"))
    assert len({patches.facts["source_bytes"] for patches in made}) == 1
    assert made[0].coords.tolist() != made[1].coords.tolist()
    assert len({_source(patches) for patches in made}) == 2
    before = (tmp_path / "out/patches/s.h5").stat().st_mtime_ns
    path.touch()
    patch_one(path, tmp_path, mpp=0.5)
    assert (tmp_path / "out/patches/s.h5").stat().st_mtime_ns == before


def test_patches_that_know_the_slides_bytes_alone_are_kept(tmp_path: Path):
    """Those of an earlier version."""
    path, made = write_svs(tmp_path / "a.svs", simple(1024, 1024)), tmp_path / "out/patches/s.h5"
    patch_one(path, tmp_path)
    facts = {key: value for key, value in read_patches(made).facts.items() if key != "source_digest"}
    with h5py.File(made, "r+") as file:
        file.attrs["facts"] = json.dumps(facts)
    assert read_patches(made).facts == facts
    before = made.stat().st_mtime_ns
    patch_one(path, tmp_path)
    assert made.stat().st_mtime_ns == before


def test_tridents_attributes(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(2048, 1536), mpp=0.25, power=40, downsamples=(1, 2))
    patch_one(path, tmp_path)
    with h5py.File(tmp_path / "out/patches/s.h5") as file:
        attributes = dict(file["coords"].attrs)
        assert file["coords"].shape == (4, 2)
    expected = {
        "patch_size": 256,
        "patch_size_level0": 512,
        "level0_magnification": 40,
        "target_magnification": 20,
        "overlap": 0,
        "level0_width": 2048,
        "level0_height": 1536,
        "name": "s",
        "patch_level": 1,
    }
    assert {key: attributes[key] for key in expected} == expected


def test_an_odd_scale_is_exact_or_tridents(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(2048, 2048), mpp=0.2527, power=40)
    patch_one(path, tmp_path / "exact")
    exact = read_patches(tmp_path / "exact/out/patches/s.h5")
    assert exact.size_level0 == pytest.approx(256 * 0.5 / 0.2527)
    assert exact.attributes["patch_size_level0"] == 507
    patch_one(path, tmp_path / "trident", SETTINGS | {"scale": "trident"})
    trident = read_patches(tmp_path / "trident/out/patches/s.h5")
    assert (trident.size_level0, trident.attributes["level0_magnification"]) == (512, 40)


@pytest.mark.parametrize(
    ("mpp", "power", "sheet", "expected"),
    [
        (0.5, 20, None, ("ok", "0.5", "metadata")),
        (None, 20, 0.45, ("ok", "0.45", "sheet")),
        (1.0, 20, 0.5, ("ok", "0.5", "sheet")),  # patches of 0.5 um/px cannot be cut from 1.0
        (None, 20, None, ("ok", "0.5", "objective")),
        (None, None, None, ("failed", "", "")),
    ],
)
def test_where_the_scale_comes_from(
    tmp_path: Path, mpp: float | None, power: float | None, sheet: float | None, expected: tuple[str, str, str]
):
    path = write_svs(tmp_path / "a.svs", simple(1024, 768), mpp=mpp, power=power)
    row = patch_one(path, tmp_path, mpp=sheet)
    assert (row["status"], row["mpp"], row["mpp_source"]) == expected
    if expected[0] == "failed":
        assert "set mpp in slides.tsv" in row["reason"]


def test_a_scale_that_contradicts_itself_is_in_the_ledger(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(1024, 768), mpp=0.5, power=40)
    assert "an objective of 40x usually gives 0.25" in patch_one(path, tmp_path / "one")["reason"]
    assert "the slide's metadata 0.5: slides.tsv was used" in patch_one(path, tmp_path / "two", mpp=0.25)["reason"]


def test_resolution_tags_of_a_slide_without_mpp(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(1024, 768), mpp=None, power=40, per_cm=20000)
    row = patch_one(path, tmp_path)
    assert (row["mpp"], row["mpp_source"]) == ("0.5", "resolution")
    assert "an objective of 40x" in row["reason"]


def test_patches_by_the_objective_are_made_again_where_tags_say_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = write_svs(tmp_path / "a.svs", simple(1024, 768), mpp=None, power=40, per_cm=20000)
    with monkeypatch.context() as before:
        before.setattr(patch_slides, "find_scale", lambda *_: Scale(0.25, "objective"))
        assert patch_one(path, tmp_path)["mpp_source"] == "objective"
    assert patch_one(path, tmp_path)["mpp_source"] == "resolution"


def test_no_tissue(tmp_path: Path):
    row = patch_one(write_svs(tmp_path / "a.svs", glass(1024, 768)), tmp_path)
    assert row["status"] == "no_tissue"
    assert "no tissue found" in row["reason"]
    assert read_patches(tmp_path / "out/patches/s.h5").coords.shape == (0, 2)


def test_all_tissue(tmp_path: Path):
    image = add_tissue(glass(1024, 768), 0, 0, 1024, 768)
    assert patch_one(write_svs(tmp_path / "a.svs", image), tmp_path)["patches"] == "12"


def test_pen_gives_no_patches(tmp_path: Path):
    image = simple(2048, 1536)
    image[1100:1200, 100:1900] = (30, 60, 170)
    assert patch_one(write_svs(tmp_path / "a.svs", image), tmp_path)["patches"] == "12"
    with_pen = patch_one(tmp_path / "a.svs", tmp_path / "again", overrides={"pen": False})
    assert int(with_pen["patches"]) > 12


@pytest.mark.parametrize("size", [(1, 1), (200, 1000)])
def test_a_slide_smaller_than_a_patch(tmp_path: Path, size: tuple[int, int]):
    row = patch_one(write_svs(tmp_path / "a.svs", glass(*size), downsamples=(1,), tile=16), tmp_path)
    assert row["status"] == "no_tissue"
    assert "smaller than one patch" in row["reason"]


def test_a_huge_single_tile(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(2048, 1536), downsamples=(1,), tile=2048)
    assert patch_one(path, tmp_path)["patches"] == "12"


def test_a_corrupt_tile_is_planned_and_told(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(2048, 1536), downsamples=(1,))
    corrupt_tile(path, 47)  # on bare glass: unknown, so it is planned, tried and counted later
    row = patch_one(path, tmp_path)
    assert (row["status"], row["patches"]) == ("ok", "13")
    assert "cannot be read" in row["reason"]


def test_a_slide_mostly_damaged_fails(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(1024, 1024), downsamples=(1,))
    for index in range(12):
        corrupt_tile(path, index)
    row = patch_one(path, tmp_path)
    assert row["status"] == "failed"
    assert "75% of the slide cannot be read" in row["reason"]


def test_a_scan_too_coarse_is_refused(tmp_path: Path):
    row = patch_one(write_svs(tmp_path / "a.svs", simple(1024, 768), mpp=1.0, power=10), tmp_path)
    assert row["status"] == "failed"
    assert "coarser" in row["reason"]


def test_bad_slides_do_not_stop_the_others(tmp_path: Path):
    (tmp_path / "zero.svs").touch()
    (tmp_path / "cut.svs").write_bytes(write_svs(tmp_path / "whole.svs", simple(600, 600)).read_bytes()[:5000])
    good = write_svs(tmp_path / "good.svs", simple(1024, 768))
    paths = [tmp_path / "zero.svs", tmp_path / "cut.svs", tmp_path / "absent.svs", None, good]
    rows = [SlideRow(f"s{i}", "p", path) for i, path in enumerate(paths)]
    patch_shard(rows, tmp_path / "out", tmp_path / "status.tsv", SETTINGS, workers=2)
    found = read_rows(tmp_path / "status.tsv", PATCH_COLUMNS)
    assert [row["slide_id"] for row in found] == ["s0", "s1", "s2", "s3", "s4"]
    assert [row["status"] for row in found] == ["failed"] * 4 + ["ok"]
    assert all(row["reason"] for row in found[:4])


def test_a_full_disk_is_no_slides_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        message = "no space left on the disk"
        raise MirrorflowError(message)

    path = write_svs(tmp_path / "a.svs", simple(600, 600))
    monkeypatch.setattr(patch_slides, "write_png", refuse)
    with pytest.raises(MirrorflowError, match="no space left"):
        patch_one(path, tmp_path)


def test_finished_slides_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = [write_svs(tmp_path / f"{name}.svs", simple(600, 600)) for name in "abc"]
    rows = [SlideRow(path.stem, "p", path) for path in paths]
    killed = patch_slides.open_slide

    def dies_at_b(path: Path) -> Any:
        if path.stem == "b":
            raise KeyboardInterrupt
        return killed(path)

    monkeypatch.setattr(patch_slides, "open_slide", dies_at_b)
    with pytest.raises(KeyboardInterrupt):
        patch_shard(rows, tmp_path / "out", tmp_path / "status.tsv", SETTINGS)
    assert not (tmp_path / "status.tsv").exists()

    opened: list[str] = []

    def counted(path: Path) -> Any:
        opened.append(path.stem)
        return killed(path)

    monkeypatch.setattr(patch_slides, "open_slide", counted)
    patch_shard(rows, tmp_path / "out", tmp_path / "status.tsv", SETTINGS)
    assert "a" not in opened
    assert "b" in opened
    before = (tmp_path / "status.tsv").read_text()
    opened.clear()
    patch_shard(rows, tmp_path / "out", tmp_path / "status.tsv", SETTINGS)
    assert opened == []
    assert (tmp_path / "status.tsv").read_text() == before


def test_another_slide_under_the_same_name_is_made_again(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(2048, 1536))
    assert patch_one(path, tmp_path)["patches"] == "12"
    write_svs(path, glass(2048, 1536))
    assert patch_one(path, tmp_path)["patches"] == "0"


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("lost", [None, "masks/s.png", "overlays/s.jpg"])
def test_a_slide_that_is_gone_keeps_its_patches(tmp_path: Path, lost: str | None, named: bool):  # noqa: FBT001
    """Whether or not its sheet still names the file, and whatever else was removed."""
    path, made = write_svs(tmp_path / "a.svs", simple(1024, 768)), tmp_path / "out/patches/s.h5"
    row = patch_one(path, tmp_path)
    path.unlink()
    before = made.read_bytes()
    if lost:
        (tmp_path / "out" / lost).unlink()
    assert patch_one(path if named else None, tmp_path) == row
    assert made.read_bytes() == before


def test_what_is_lost_of_a_slide_that_can_be_fetched_is_made_again(tmp_path: Path):
    path, overlay = write_svs(tmp_path / "a.svs", simple(1024, 768)), tmp_path / "out/overlays/s.jpg"
    patch_one(path, tmp_path)
    slide = path.read_bytes()
    path.unlink()
    overlay.unlink()
    asked = []

    def fetch(rows: Sequence[SlideRow]) -> None:
        asked.extend(row.slide_id for row in rows)
        path.write_bytes(slide)

    patch_shard([SlideRow("s", "p", path)], tmp_path / "out", tmp_path / "status.tsv", SETTINGS, restore=fetch)
    assert asked == ["s"]
    assert overlay.exists()


def test_damaged_patches_of_a_slide_that_is_gone_are_left(tmp_path: Path):
    path, made = write_svs(tmp_path / "a.svs", simple(1024, 768)), tmp_path / "out/patches/s.h5"
    patch_one(path, tmp_path)
    path.unlink()
    made.write_bytes(b"half")
    assert patch_one(path, tmp_path)["status"] == "failed"
    assert made.read_bytes() == b"half"


def test_a_slide_that_fails_now_has_no_files(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(1024, 768))
    patch_one(path, tmp_path)
    path.write_bytes(b"half a slide")
    assert patch_one(path, tmp_path)["status"] == "failed"
    assert not [file for file in (tmp_path / "out").rglob("s.*") if file.is_file()]


def test_a_damaged_file_of_the_store_is_made_again(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(2048, 1536))
    patch_one(path, tmp_path)
    (tmp_path / "out/patches/s.h5").write_bytes(b"half")
    assert patch_one(path, tmp_path)["patches"] == "12"


def test_other_settings_stop_the_run_and_are_named(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(1024, 768))
    patch_one(path, tmp_path)
    with pytest.raises(
        SettingsMismatchError, match=r"patch\.min_tissue: made with 0\.1, this run wants 0\.5"
    ) as caught:
        patch_one(path, tmp_path, {"patch": SETTINGS["patch"] | {"min_tissue": 0.5}})
    assert f"To make all of it again delete {tmp_path / 'out'}." in str(caught.value)


def test_a_scale_in_the_sheet_matters_only_where_it_is_used(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(1024, 768))
    patch_one(path, tmp_path)
    assert patch_one(path, tmp_path, mpp=0.5)["mpp_source"] == "metadata"
    with pytest.raises(SettingsMismatchError, match=r"sheet_mpp: made with None, this run wants 0\.45"):
        patch_one(path, tmp_path, mpp=0.45)
    bare = write_svs(tmp_path / "b.svs", simple(1024, 768), mpp=None)
    patch_one(bare, tmp_path / "b")
    with pytest.raises(SettingsMismatchError, match="sheet_mpp"):
        patch_one(bare, tmp_path / "b", mpp=0.45)


def test_bad_settings_stop_at_once(tmp_path: Path):
    with pytest.raises(ConfigError, match="exact and trident"):
        patch_one(tmp_path / "a.svs", tmp_path, {"scale": "nominal"})


def test_patches_of_clam_are_understood(tmp_path: Path):
    with h5py.File(tmp_path / "clam.h5", "w") as file:
        file["coords"] = np.array([[0, 512]])
        file["coords"].attrs.update({"patch_size": 256, "patch_level": 1, "downsample": np.array([2.0, 2.0])})
    assert read_patches(tmp_path / "clam.h5").size_level0 == 512
