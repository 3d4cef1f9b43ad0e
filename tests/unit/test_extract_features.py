"""Patches to features: the same values in any batch, nothing made twice, nothing lost silently."""

import contextlib
import dataclasses
import re
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import torch
from tests.slide_factory import corrupt_tile, glass, simple, write_svs

from mirrorflow.errors import ConfigError, SettingsMismatchError, UnreachableError
from mirrorflow.slides.encoder_settings import encoder_from
from mirrorflow.slides.encoders import build_encoder
from mirrorflow.slides.reader import open_slide
from mirrorflow.steps.slides import encode_slides
from mirrorflow.steps.slides.encode_slides import Segment, fill_batches
from mirrorflow.steps.slides.extract_features import ShardFiles, extract_shard
from mirrorflow.steps.slides.feature_plan import _outdated, plan_slide
from mirrorflow.steps.slides.patch_slides import patch_shard
from mirrorflow.store.features import describe_features, read_features
from mirrorflow.store.ledger import FEATURE_COLUMNS, read_rows
from mirrorflow.store.patches import read_patches
from mirrorflow.store.slide_sheet import SlideRow

PATCHES = {"patch": {"size_px": 128, "mpp": 0.5, "min_tissue": 0.1}}
ENCODER = {"name": "resnet10t-random", "model": "timm/resnet10t", "weights": "random", "image_size": 64}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[SlideRow], Path]:
    """Three slides with tissue (12, 6 or so and 20 patches), one empty, one missing; patched."""
    folder = tmp_path_factory.mktemp("cohort")
    images = {"a": simple(1024, 700), "b": simple(1000, 600), "c": simple(1280, 1024), "empty": glass(512, 512)}
    rows = [
        SlideRow(name, "p", write_svs(folder / f"{name}.svs", image, mpp=0.5 if name == "a" else 0.51))
        for name, image in images.items()
    ]
    rows.append(SlideRow("absent", "p", folder / "absent.svs"))
    patch_shard(rows, folder / "slides", folder / "patched.tsv", PATCHES)
    return rows, folder / "slides"


def extract(
    cohort: tuple[list[SlideRow], Path],
    out: Path,
    encoder: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    **how: Any,
) -> dict[str, dict[str, str]]:
    """Status rows by slide."""
    rows, patches = cohort
    how = {"threads": 1, "device": "cpu"} | how
    files = ShardFiles(patches, out, out / "shards/0.tsv")
    extract_shard(rows, files, ENCODER | (encoder or {}), settings or {}, **how)
    return {row["slide_id"]: row for row in read_rows(out / "shards/0.tsv", FEATURE_COLUMNS)}


def test_status_and_files(cohort: tuple[list[SlideRow], Path], tmp_path: Path):
    status = extract(cohort, tmp_path)
    assert {slide: row["status"] for slide, row in status.items()} == {
        "a": "ok",
        "b": "ok",
        "c": "ok",
        "empty": "no_tissue",
        "absent": "failed",
    }
    assert "ledger" in status["absent"]["reason"]
    for slide in ("a", "b", "c", "empty"):
        coords = read_patches(cohort[1] / "patches" / f"{slide}.h5").coords
        features, stored = read_features(tmp_path / f"{slide}.h5")
        assert np.array_equal(stored, coords)
        assert features.shape == (len(coords), 512)
        assert status[slide]["patches"] == str(len(coords))
    assert not (tmp_path / "absent.h5").exists()


def test_attributes(cohort: tuple[list[SlideRow], Path], tmp_path: Path):
    extract(cohort, tmp_path)
    assert describe_features(tmp_path / "a.h5").encoder == "resnet10t-random"
    with h5py.File(tmp_path / "a.h5") as file:
        features, coords = dict(file["features"].attrs), dict(file["coords"].attrs)
    assert {"encoder", "weights_digest", "version"} <= features.keys()
    trident = "patch_size patch_size_level0 level0_magnification target_magnification overlap name"
    assert {*trident.split(), "level0_width", "level0_height"} <= coords.keys()


def test_equal_to_a_plain_loop(cohort: tuple[list[SlideRow], Path], tmp_path: Path):
    """Read, resize, normalise, forward: one patch at a time."""
    extract(cohort, tmp_path, settings={"batch_size": 5}, workers=2)
    encoder = build_encoder(encoder_from(ENCODER), None, "cpu")
    mean, std = torch.tensor(encoder.mean), torch.tensor(encoder.std)
    for row in cohort[0][:3]:
        features, coords = read_features(tmp_path / f"{row.slide_id}.h5")
        assert coords is not None
        assert row.path is not None
        size = round(read_patches(cohort[1] / "patches" / f"{row.slide_id}.h5").size_level0)
        with open_slide(row.path) as slide, torch.inference_mode():
            for found, (x, y) in zip(features, coords, strict=True):
                patch = cv2.resize(slide.read(0, x, y, size, size), (64, 64), interpolation=cv2.INTER_AREA)
                image = ((torch.from_numpy(patch) / 255 - mean) / std).permute(2, 0, 1)[None]
                expected = encoder.network(image).numpy()[0]
                assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ({"batch_size": 1}, {}),
        ({"batch_size": 7}, {"workers": 3}),
        ({"batch_size": 500}, {"threads": 2, "workers": 2}),
    ],
)
def test_values_do_not_depend_on_batches_and_threads(
    cohort: tuple[list[SlideRow], Path],
    tmp_path_factory: pytest.TempPathFactory,
    settings: dict[str, Any],
    how: dict[str, Any],
):
    plain, other = tmp_path_factory.mktemp("plain"), tmp_path_factory.mktemp("other")
    extract(cohort, plain)
    extract(cohort, other, settings=settings, **how)
    for slide in "abc":
        expected, found = read_features(plain / f"{slide}.h5")[0], read_features(other / f"{slide}.h5")[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_the_same_run_twice_is_the_same_to_the_bit(
    cohort: tuple[list[SlideRow], Path], tmp_path_factory: pytest.TempPathFactory
):
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    extract(cohort, first, threads=2, workers=1)
    extract(cohort, second, threads=2, workers=3)
    for slide in "abc":
        assert np.array_equal(read_features(first / f"{slide}.h5")[0], read_features(second / f"{slide}.h5")[0])


def test_finished_slides_are_kept(cohort: tuple[list[SlideRow], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    opened: list[str] = []

    def dies_at_c(path: Path) -> Any:
        opened.append(path.stem)
        if path.stem == "c":
            raise KeyboardInterrupt
        return open_slide(path)

    monkeypatch.setattr(encode_slides, "open_slide", dies_at_c)
    with pytest.raises(KeyboardInterrupt):
        extract(cohort, tmp_path, settings={"batch_size": 6})
    assert (tmp_path / "a.h5").exists()
    assert not list(tmp_path.glob("**/*tmp*"))
    whole = (tmp_path / "a.h5").read_bytes()

    opened.clear()
    monkeypatch.setattr(encode_slides, "open_slide", lambda path: (opened.append(path.stem), open_slide(path))[1])
    extract(cohort, tmp_path)
    assert "a" not in opened
    assert "c" in opened
    assert (tmp_path / "a.h5").read_bytes() == whole

    def no_network(*_: object) -> None:
        message = "nothing was left to do"
        raise AssertionError(message)

    monkeypatch.setattr("mirrorflow.slides.encoders.build_encoder", no_network)
    opened.clear()
    assert extract(cohort, tmp_path)["c"]["status"] == "ok"
    assert opened == []


def test_other_settings_stop_the_run(cohort: tuple[list[SlideRow], Path], tmp_path: Path):
    extract(cohort, tmp_path)
    with pytest.raises(SettingsMismatchError, match=r"encoder\.seed: made with 0, this run wants 1"):
        extract(cohort, tmp_path, {"seed": 1})


def test_other_patches_name_the_features_of_every_encoder_that_saw_them(tmp_path: Path):
    folder = tmp_path / "store/features/brca/256px-20x"
    for encoder in ("phikon", "resnet50"):
        (folder / encoder).mkdir(parents=True)
    target, stored = folder / "phikon/s.h5", '{"patches":{"mpp":0.5},"encoder":{"seed":0}}'
    other = {"patches": {"mpp": 0.25}, "encoder": {"seed": 0}}
    assert _outdated(target, stored, other) == [folder / "phikon", folder / "resnet50"]
    assert _outdated(target, stored, {"patches": {"mpp": 0.5}, "encoder": {"seed": 1}}) == [folder / "phikon"]


def test_unreadable_patches_are_left_out_and_counted(tmp_path: Path):
    rows = [SlideRow("s", "p", write_svs(tmp_path / "s.svs", simple(2048, 1536), downsamples=(1, 4)))]
    patch_shard(rows, tmp_path / "slides", tmp_path / "patched.tsv", PATCHES)
    assert rows[0].path is not None
    corrupt_tile(rows[0].path, 9)
    cohort = rows, tmp_path / "slides"
    row = extract(cohort, tmp_path / "loose")["s"]
    assert (row["status"], row["patches"], row["unreadable"]) == ("ok", "44", "4")
    features, coords = read_features(tmp_path / "loose/s.h5")
    assert len(features) == 44
    assert coords is not None
    assert not {(256, 256), (384, 256), (256, 384), (384, 384)} & {tuple(corner) for corner in coords.tolist()}

    strict = extract(cohort, tmp_path / "strict", settings={"max_unreadable": 0.05})["s"]
    assert strict["status"] == "failed"
    assert "4 of 48 patches cannot be read" in strict["reason"]
    assert not (tmp_path / "strict/s.h5").exists()

    stricter = extract(cohort, tmp_path / "loose", settings={"max_unreadable": 0.05})["s"]
    assert stricter["status"] == "failed"
    assert not (tmp_path / "loose/s.h5").exists()


def test_a_slide_that_vanished_fails_alone(cohort: tuple[list[SlideRow], Path], tmp_path: Path):
    rows = [SlideRow("a", "p", tmp_path / "gone.svs"), cohort[0][1]]
    status = extract((rows, cohort[1]), tmp_path)
    assert [row["status"] for row in status.values()] == ["failed", "ok"]
    assert "no such file" in status["a"]["reason"]


def test_features_stay_where_their_patches_cannot_be_read(cohort: tuple[list[SlideRow], Path], tmp_path: Path):
    """They go where their slide has no patches; a damaged file says nothing against them, and stops no other slide."""
    rows, patches, made = cohort[0][:2], tmp_path / "slides/patches/a.h5", tmp_path / "a.h5"
    shutil.copytree(cohort[1], tmp_path / "slides")
    extract((rows, tmp_path / "slides"), tmp_path)
    whole = patches.read_bytes()
    patches.write_bytes(whole[: len(whole) // 2])
    (tmp_path / f"{rows[1].slide_id}.h5").unlink()
    status = extract((rows, tmp_path / "slides"), tmp_path)
    assert [status[row.slide_id]["status"] for row in rows] == ["failed", "ok"]
    assert re.search(r"patches/a\.h5 is damaged; features made of it stay", status["a"]["reason"])
    patches.write_bytes(whole)
    with no_more_files(), pytest.raises(UnreachableError, match=r"patches/a\.h5: .*Too many open files.*ulimit -n"):
        plan_slide(rows[0], patches.parent, tmp_path, ENCODER, max_unreadable=0.1)
    assert made.exists()
    patches.unlink()
    gone = dataclasses.replace(rows[0], path=tmp_path / "gone.svs")
    assert extract(([gone], tmp_path / "slides"), tmp_path)["a"]["status"] == "failed"
    assert made.exists(), "nothing could make them again"
    assert extract((rows, tmp_path / "slides"), tmp_path)["a"]["status"] == "failed"
    assert not made.exists()


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """As if this process had as many files open as it may."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_features_that_overflow_fail(cohort: tuple[list[SlideRow], Path], tmp_path: Path, monkeypatch: Any):
    monkeypatch.setattr(encode_slides.Run, "_encode", huge_features)
    row = extract(cohort, tmp_path, {"output_dtype": "float16"})["a"]
    assert row["status"] == "failed"
    assert "overflow" in row["reason"]


def huge_features(_: Any, batch: Any, read: Any) -> encode_slides.Encoded:
    return encode_slides.Encoded(batch, np.full((len(read.images), 512), 1e9, np.float32), read.readable)


def test_half_precision_storage(cohort: tuple[list[SlideRow], Path], tmp_path: Path):
    extract(cohort, tmp_path, {"output_dtype": "float16"})
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["features"].dtype == np.float16


def test_unknown_settings(cohort: tuple[list[SlideRow], Path], tmp_path: Path):
    with pytest.raises(ConfigError, match="unknown batchsize; allowed are batch_size, max_unreadable"):
        extract(cohort, tmp_path, settings={"batchsize": 3})


def test_batches_are_filled_across_slides():
    works: Any = ["a", "b", "c"]
    coords = [np.arange(2 * n).reshape(n, 2) for n in (3, 6, 1)]
    segments = (Segment(work, each) for work, each in zip(works, coords, strict=True))
    batches = [[(work, len(part)) for work, part in batch] for batch in fill_batches(segments, 4)]
    assert batches == [[("a", 3), ("b", 1)], [("b", 4)], [("b", 1), ("c", 1)]]
