"""A slide whose decoder crashes takes a shard down once, and never again."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from tests.slide_factory import simple

import mirrorflow
from mirrorflow.errors import MirrorflowError
from mirrorflow.steps.slides.crash_guard import CrashGuard, read_alone
from mirrorflow.steps.slides.extract_features import ShardFiles, extract_shard
from mirrorflow.steps.slides.patch_slides import patch_shard
from mirrorflow.steps.slides.read_alone import view_task
from mirrorflow.store.ledger import FEATURE_COLUMNS, PATCH_COLUMNS, read_rows
from mirrorflow.store.slide_sheet import SlideRow

SETTINGS = {"patch": {"size_px": 128, "mpp": 0.5, "min_tissue": 0.1}}
ENCODER = {"name": "resnet10t-random", "model": "timm/resnet10t", "weights": "random", "image_size": 64}
DEADLY = """
import os, signal
import cv2
decode = cv2.imdecode
def imdecode(data, *arguments):
    if b"DEADLY" in data.tobytes():
        os.kill(os.getpid(), getattr(signal, os.environ.get("DIE_OF", "SIGSEGV")))
    return decode(data, *arguments)
cv2.imdecode = imdecode
"""
SHARD = """
import sys
from pathlib import Path
from mirrorflow.steps.slides.patch_slides import patch_shard
from mirrorflow.store.slide_sheet import SlideRow
folder = Path(sys.argv[1])
rows = [SlideRow(name, "p", folder / f"{name}.png", 0.5) for name in "abc"]
patch_shard(rows, folder / "out", folder / "status.tsv", {"patch": {"size_px": 128, "mpp": 0.5, "min_tissue": 0.1}})
"""


@pytest.fixture
def slides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[SlideRow]:
    """Three images as slides; the codec of every other process crashes on b."""
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}.png"), simple(1024, 700))
    with (tmp_path / "b.png").open("ab") as stream:
        stream.write(b"DEADLY")
    codec = tmp_path / "codec"
    codec.mkdir()
    (codec / "sitecustomize.py").write_text(DEADLY)
    package = str(Path(mirrorflow.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(codec), package]))
    return [SlideRow(name, "p", tmp_path / f"{name}.png", 0.5) for name in "abc"]


def shard(folder: Path) -> int:
    """Exit status of a process that patches the three."""
    return subprocess.run([sys.executable, "-c", SHARD, str(folder)], check=False, capture_output=True).returncode


def statuses(folder: Path) -> dict[str, dict[str, str]]:
    return {row["slide_id"]: row for row in read_rows(folder / "status.tsv", PATCH_COLUMNS)}


def test_a_crash_ends_the_shard_once(slides: list[SlideRow], tmp_path: Path):
    assert shard(tmp_path) == -signal.SIGSEGV
    assert not (tmp_path / "status.tsv").exists()
    assert shard(tmp_path) == 0
    rows = statuses(tmp_path)
    assert [rows[name]["status"] for name in "abc"] == ["ok", "failed", "ok"]
    assert "the process died (SIGSEGV) while reading it" in rows["b"]["reason"]
    assert str(tmp_path / "out/.reading/b.died.json") in rows["b"]["reason"]


def test_the_verdict_stands_until_the_file_is_another(slides: list[SlideRow], tmp_path: Path):
    while shard(tmp_path):
        pass
    patch_shard(slides, tmp_path / "out", tmp_path / "status.tsv", SETTINGS)  # this process would survive it
    assert statuses(tmp_path)["b"]["status"] == "failed"
    cv2.imwrite(str(tmp_path / "b.png"), simple(1024, 700))
    assert shard(tmp_path) == 0
    assert statuses(tmp_path)["b"]["status"] == "ok"


def test_a_killed_run_condemns_nobody(slides: list[SlideRow], tmp_path: Path):
    (tmp_path / "out").mkdir()
    died = CrashGuard(tmp_path / "out")
    died.begin("a")
    (tmp_path / "out/.reading/a").write_text("999999999@" + os.uname().nodename)
    patch_shard(slides[:1], tmp_path / "out", tmp_path / "status.tsv", SETTINGS)
    assert statuses(tmp_path)["a"]["status"] == "ok"
    assert list((tmp_path / "out/.reading").iterdir()) == []


def test_extraction_survives_the_second_time(slides: list[SlideRow], tmp_path: Path):
    patch_shard(slides, tmp_path / "out", tmp_path / "status.tsv", SETTINGS)
    features = tmp_path / "features"
    (features / ".reading").mkdir(parents=True)
    for name in "ab":  # as if a process had died while it read these two
        (features / ".reading" / name).write_text("999999999@" + os.uname().nodename)
    files = ShardFiles(tmp_path / "out", features, features / "0.tsv")
    extract_shard(slides, files, ENCODER, {}, threads=1, device="cpu")
    rows = {row["slide_id"]: row for row in read_rows(features / "0.tsv", FEATURE_COLUMNS)}
    assert [rows[name]["status"] for name in "abc"] == ["ok", "failed", "ok"]
    assert "SIGSEGV" in rows["b"]["reason"]
    assert sorted(path.name for path in features.glob("*.h5")) == ["a.h5", "c.h5"]
    assert [path.name for path in (features / ".reading").iterdir()] == ["b.died.json"]


def test_markers_go_when_the_process_lives(slides: list[SlideRow], tmp_path: Path):
    (tmp_path / "c.png").write_bytes(b"no image")
    patch_shard(slides, tmp_path / "out", tmp_path / "status.tsv", SETTINGS)
    assert [statuses(tmp_path)[name]["status"] for name in "abc"] == ["ok", "ok", "failed"]
    assert list((tmp_path / "out/.reading").iterdir()) == []


def test_a_living_process_is_no_dead_one(slides: list[SlideRow], tmp_path: Path):
    guard = CrashGuard(tmp_path)
    guard.begin("b")
    assert guard.fault(slides[1], view_task(slides[1].path, 0.5, 8.0)) == ""


def test_memory_that_runs_out_is_the_slides_fault_an_interruption_is_not(
    slides: list[SlideRow], monkeypatch: pytest.MonkeyPatch
):
    task = view_task(slides[1].path, 0.5, 8.0)
    monkeypatch.setenv("DIE_OF", "SIGKILL")
    assert read_alone(task) == "SIGKILL"
    monkeypatch.setenv("DIE_OF", "SIGTERM")
    with pytest.raises(MirrorflowError, match="could not be read in a process of its own"):
        read_alone(task)
