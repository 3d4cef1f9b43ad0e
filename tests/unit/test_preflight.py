"""Preflight on a little cohort of one's own: what it forecasts, what it finds, when the run would fail."""

import csv
import re
import shutil
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml
from tests.slide_factory import corrupt_tile, glass, simple, write_svs

from file_server import answering
from gdc_server import Gdc, gdc_serving
from mirrorflow.cli import main
from mirrorflow.commands.preflight import encoders as preflight_encoders
from mirrorflow.commands.preflight.forecast import download_bytes, said_time
from mirrorflow.commands.preflight.slides import look_at_slide
from mirrorflow.steps.slides.extract_features import ShardFiles, extract_shard
from mirrorflow.steps.slides.patch_settings import PatchSettings
from mirrorflow.steps.slides.patch_slides import patch_shard
from mirrorflow.store import gdc as store_gdc
from mirrorflow.store.slide_sheet import SlideRow, read_slide_sheet

ENCODER = {"model": "timm/resnet10t", "weights": "random", "image_size": 64}
PATIENTS = ["a", "b", "c"]
Preflight = Callable[..., tuple[int, str]]


@pytest.fixture
def cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of three good slides, their patients and genes, and the config ``run.yaml``."""
    monkeypatch.chdir(tmp_path)
    for name in PATIENTS:
        write_svs(tmp_path / f"{name}.svs", simple(2048, 1536))
    write_sheet(tmp_path, [(name, name, f"{name}.svs") for name in PATIENTS])
    lines = ["patient\tlabel\ttime\tevent", *(f"{name}\tx\t{days}\t1" for days, name in enumerate(PATIENTS, 100))]
    (tmp_path / "patients.tsv").write_text("\n".join(lines) + "\n")
    (tmp_path / "rna.tsv").write_text("id\ta\tb\tc\ng1\t1\t2\t3\ng2\t4\t5\t6\n")
    config = {
        "run": "own",
        "cohorts": {
            "own": {
                "slides": {"sheet": "slides.tsv"},
                "clinical": {"sheet": "patients.tsv"},
                "site": "none",
                "expression": "own",
                "encoders": ["tiny-random"],
            }
        },
        "features": {"encoders": {"tiny-random": ENCODER}},
        "expression": {"sources": {"own": {"matrix": "rna.tsv", "sample_ids": "patient"}}},
        "protocols": {"honest": {"splits": "random"}},
        "splits": {"folds": 2},
        "methods": {"majority": {}},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def write_sheet(folder: Path, rows: list[tuple[str, ...]], columns: str = "slide_id\tpatient\tpath") -> None:
    (folder / "slides.tsv").write_text("\n".join([columns, *("\t".join(row) for row in rows)]) + "\n")


def change(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    config = yaml.safe_load((folder / "run.yaml").read_text())
    change(config)
    (folder / "run.yaml").write_text(yaml.safe_dump(config))


@pytest.fixture
def preflight(cohort: Path, capsys: pytest.CaptureFixture[str]) -> Preflight:
    """Runs the command on the cohort: exit status and what it printed."""

    def run(*options: str, rate: str | None = "100") -> tuple[int, str]:
        given = [] if rate is None else ["--patches-per-second", rate]
        status = main(["preflight", "--configfile", str(cohort / "run.yaml"), *given, *options])
        return status, capsys.readouterr().out

    return run


def test_a_good_cohort_is_forecast(cohort: Path, preflight: Preflight):
    status, said = preflight(rate="0.01")
    assert status == 0
    assert "3 of 3 slides usable" in said
    assert "scale from: 3 metadata" in said
    # Tissue fills 4 x 3 patches of each slide; 36 patches at 0.01 a second take an hour.
    assert "own, tiny-random: 36 patches of 3 slides" in said
    assert "36 patches, 1.0 h" in said
    assert "0 things stop the run, 0 to fix" in said


def test_the_estimate_is_close_to_what_is_cut(cohort: Path):
    settings = PatchSettings.read({"patch": {"size_px": 100, "mpp": 0.5}})
    row = SlideRow("a", "a", cohort / "a.svs")
    look = look_at_slide(row, {"p": settings}, cohort / "store")
    patch_shard([row], cohort / "cut", cohort / "status.tsv", {"patch": {"size_px": 100, "mpp": 0.5}})
    cut = len(h5py.File(cohort / "cut/patches/a.h5")["coords"])
    assert look.patches["p"] == pytest.approx(cut, rel=0.1)


def test_the_speed_is_measured_here(preflight: Preflight):
    status, said = preflight(rate=None)
    assert status == 0
    (line,) = [line for line in said.splitlines() if line.startswith("encoder tiny-random")]
    together, alone = (float(number) for number in re.findall(r"\d+\.\d", line.replace(",", "")))
    assert 0 < together < alone


def test_what_is_done_is_not_forecast_again(cohort: Path, preflight: Preflight):
    make_features(cohort)
    status, said = preflight()
    assert status == 0
    assert "0 patches of 0 slides" in said


def make_features(cohort: Path, **encoder: Any) -> None:
    rows = read_slide_sheet(cohort / "slides.tsv")
    patches, features = cohort / "store/slides/own/256px-20x", cohort / "store/features/own/256px-20x/tiny-random"
    settings = {
        "patch": {"size_px": 256, "mpp": 0.5, "overlap_px": 0, "min_tissue": 0.1},
        "segmentation": {"preset": "default"},
    }
    patch_shard(rows, patches, cohort / "p.tsv", settings | {"scale": "exact"})
    named = {"name": "tiny-random", **ENCODER} | encoder
    extract_shard(rows, ShardFiles(patches, features, cohort / "f.tsv"), named, {}, threads=1, device="cpu")


BAD_SLIDES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: None, "no such file; correct its path in slides.tsv"),
    "empty": (lambda path: path.write_bytes(b""), "copy or download it again"),
    "text": (lambda path: path.write_text("no slide"), "cannot be opened as a slide"),
    "no scale": (lambda path: write_svs(path, simple(), mpp=None, power=None), "set mpp in slides.tsv"),
    "coarse": (lambda path: write_svs(path, simple(), mpp=2.0, power=5), "coarser than the patches'"),
    "glass": (lambda path: write_svs(path, glass(1024, 768)), "no tissue seen at a glance"),
}


@pytest.mark.parametrize("kind", BAD_SLIDES)
def test_a_slide_to_mend_is_named_with_its_file_and_the_mend(cohort: Path, preflight: Preflight, kind: str):
    make, fix = BAD_SLIDES[kind]
    (cohort / "b.svs").unlink()
    make(cohort / "b.svs")
    status, said = preflight("--table", str(cohort / "fix.tsv"))
    assert status == 0  # the run goes on without it
    assert "To fix" in said
    with (cohort / "fix.tsv").open() as stream:
        (row,) = csv.DictReader(stream, delimiter="\t")
    assert (row["stops"], row["subject"], row["file"]) == ("", "b", "b.svs")
    assert fix in row["what"]
    assert preflight("--strict")[0] == 1


def test_damage_is_found_level_by_level(cohort: Path, preflight: Preflight):
    image = simple(2048, 1536)
    image[700:900, 900:1200] = 120
    path = write_svs(cohort / "b.svs", image)
    corrupt_tile(path, 3 * 8 + 4)  # of level 0, where one of the probes is
    _, said = preflight()
    assert "level 0: 1 of 3 probes cannot be decoded" in said
    assert "level 1" not in said


def test_not_one_usable_slide_stops_the_run(cohort: Path, preflight: Preflight):
    for name in PATIENTS:
        (cohort / f"{name}.svs").write_bytes(b"")
    status, said = preflight()
    assert status == 1
    assert "STOPS the run:\n  cohort own: not one slide can be used" in said


def test_weights_that_are_missing_or_of_another_model_stop_the_run(cohort: Path, preflight: Preflight):
    change(cohort, lambda config: config["features"]["encoders"]["tiny-random"].update(weights="weights.pth"))
    status, said = preflight()
    assert status == 1
    assert "no weights file weights.pth" in said
    assert ": 1 things stop the run" in said
    torch.save({"other": torch.zeros(1)}, cohort / "weights.pth")
    status, said = preflight()
    assert status == 1
    assert "these weights are of another model" in said


def test_a_hub_out_of_reach_stops_the_run(cohort: Path, preflight: Preflight, monkeypatch: pytest.MonkeyPatch):
    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")  # noqa: EM101

    import timm

    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: unreachable() if k.get("pretrained") else real(*a, **k))
    change(cohort, lambda config: config["features"]["encoders"]["tiny-random"].update(weights="hub"))
    status, said = preflight()
    assert status == 1
    assert "no route to host" in said
    assert "set weights to the file's path" in said


@pytest.mark.parametrize("lost", ["rna.tsv", "patients.tsv"])
def test_tables_that_are_missing_stop_the_run(cohort: Path, preflight: Preflight, lost: str):
    (cohort / lost).unlink()
    status, said = preflight()
    assert status == 1
    assert f"STOPS the run:\n  cohort own: slides.tsv: {lost}" in said


def test_files_that_the_config_names_and_that_are_not_there_stop_the_run(cohort: Path, preflight: Preflight):
    def name_files(config: dict[str, Any]) -> None:
        config["cohorts"]["own"].update(census="nowhere.csv", splits={"mine": "nowhere"})
        config["expression"]["selection"] = {"gene_sets": "sets.csv"}

    change(cohort, name_files)
    status, said = preflight()
    assert status == 1
    for key, path in [("cohorts.own.census", "nowhere.csv"), ("cohorts.own.splits.mine", "nowhere"),
                      ("expression.selection.gene_sets", "sets.csv")]:  # fmt: skip
        assert f"  config: {key}: {path} is not there; correct the path, or leave the key out" in said


def test_a_full_disk_stops_the_run(preflight: Preflight, monkeypatch: pytest.MonkeyPatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(2e9, 2e9, 1e6))
    status, said = preflight()
    assert status == 1
    assert "1.0 MB free at store; free some" in said


def test_a_store_of_other_settings_stops_the_run(cohort: Path, preflight: Preflight):
    make_features(cohort, image_size=32)
    status, said = preflight()
    assert status == 1
    assert "image_size: made with 32, this run wants 64" in said
    change(cohort, lambda config: config.update(slides={"segmentation": {"pen": False}}))
    status, said = preflight()
    assert status == 1
    assert said.count("segmentation.pen: made with True, this run wants False") == 1  # not once for each slide
    patches, features = "store/slides/own/256px-20x", "store/features/own/256px-20x/tiny-random"
    assert f"3 files in {patches}/patches" in said
    assert f"To make all of it again delete {patches}, {features}." in said
    assert f"3 files in {features}" in said
    assert f"To make all of it again delete {features}." in said


def features_elsewhere(cohort: Path, widths: dict[str, int]) -> None:
    (cohort / "features").mkdir()
    for name, width in widths.items():
        with h5py.File(cohort / "features" / f"{name}.h5", "w") as file:
            file["features"] = np.zeros((5, width), np.float32)
    change(cohort, lambda config: config["cohorts"]["own"].update(features={"uni": "features"}, encoders=["uni"]))


def test_features_made_elsewhere_are_opened(cohort: Path, preflight: Preflight):
    features_elsewhere(cohort, {"a": 8, "b": 8})
    (cohort / "features/c.h5").write_bytes(b"half")
    status, said = preflight()
    assert status == 0
    assert "c: features/c.h5: not an h5 file, or damaged" in said.replace(
        "c: features/c.h5: features/c.h5", "c: features/c.h5"
    )
    assert "0 things stop the run, 1 to fix" in said


def test_values_of_features_made_elsewhere_are_looked_at(cohort: Path, preflight: Preflight):
    features_elsewhere(cohort, {"a": 8, "b": 8, "c": 8})
    with h5py.File(cohort / "features/b.h5", "a") as file:
        file["features"][3, 0] = np.nan
    status, said = preflight()
    assert status == 0  # the run goes on without the slide
    assert "b: features/b.h5: features hold NaN or infinity (first in row 3)" in said
    assert "0 things stop the run, 1 to fix" in said


def test_features_of_different_widths_or_none_stop_the_run(cohort: Path, preflight: Preflight):
    features_elsewhere(cohort, {"a": 8, "b": 9, "c": 8})
    status, said = preflight()
    assert (status, "features of different widths [8, 9]" in said) == (1, True)
    for path in (cohort / "features").iterdir():
        path.unlink()
    status, said = preflight()
    assert (status, "none of the 3 slides has features" in said) == (1, True)


def test_a_wrong_config_is_said_at_once(cohort: Path, preflight: Preflight, capsys: pytest.CaptureFixture[str]):
    change(cohort, lambda config: config.update(slide={}))
    assert main(["preflight", "--configfile", str(cohort / "run.yaml")]) == 1
    assert "did you mean 'slides'" in capsys.readouterr().err


@pytest.fixture
def gdc(cohort: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gdc]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(store_gdc.query_slides.__kwdefaults__, "pause", lambda _s: None)
    with gdc_serving() as running:
        for name in PATIENTS:
            running.add(f"{name}.svs", b"x" * 10, name, file_size=10**9)
        section = {"gdc": {"projects": ["TCGA-X"], "endpoint": running.server.url}}
        change(cohort, lambda config: config["cohorts"]["own"].update(slides=section))
        yield running


def test_slides_still_at_gdc_are_forecast(gdc: Gdc, preflight: Preflight):
    status, said = preflight()
    assert status == 0
    assert "3 slides at GDC, 3 not here yet" in said
    assert "11,000 patches a slide are assumed" in said
    assert "33,000 patches of 3 slides" in said
    assert "slides from GDC: 3.0 GB" in said
    assert gdc.downloads() == []


def test_slides_deleted_because_they_are_done_need_no_room(gdc: Gdc, cohort: Path, preflight: Preflight):
    folder = cohort / "store/features/own/256px-20x/tiny-random"
    folder.mkdir(parents=True)
    for name in "ab":
        (folder / f"{name}.h5").touch()
    _, said = preflight()
    assert "slides from GDC: 1.0 GB" in said


def test_a_gdc_out_of_reach_stops_the_run(gdc: Gdc, preflight: Preflight):
    gdc.server.mishaps.extend([answering(503, b"maintenance")] * 5)
    status, said = preflight()
    assert status == 1
    assert "no list of files: status 503" in said


@pytest.mark.parametrize(("keep", "ahead", "expected"), [(True, 2, 60), (False, 2, 50), (False, None, 60)])
def test_disk_for_downloads(keep: bool, ahead: int | None, expected: int):  # noqa: FBT001
    assert download_bytes({0: 10, 1: 30, 2: 20}, keep=keep, ahead=ahead) == expected


def test_the_gpu_is_named_or_missed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert "will stop" in preflight_encoders.gpu_line()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CPU" in preflight_encoders.gpu_line()


def test_forecasts_under_an_hour_are_in_minutes() -> None:
    assert [said_time(hours) for hours in (0.001, 0.4, 0.999, 1.0, 12.34)] == [
        "1 min",
        "24 min",
        "60 min",
        "1.0 h",
        "12.3 h",
    ]
