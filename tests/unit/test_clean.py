"""`mirrorflow clean`: what the store holds of other settings is listed, and deleted only with --yes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mirrorflow.cli import main
from mirrorflow.config.resolve import resolve
from mirrorflow.plan.checks import StoredChecks
from mirrorflow.plan.cohorts import CohortInputs
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.records import write_plan
from mirrorflow.plan.run import Run
from mirrorflow.plan.slides import SlideInputs
from rerun_example import EXAMPLE, write_example

PATCHES = Path("store/slides/own/256px-20x")
FEATURES = Path("store/features/own/256px-20x/resnet50")
MADE = [
    PATCHES / "masks/s1.png",
    PATCHES / "patches/s1.h5",
    PATCHES / "ledger.tsv",
    PATCHES / "shards/0.given.json",
    FEATURES / "s1.h5",
]


def config_of(**changes: Any) -> Path:
    raw = yaml.safe_load(EXAMPLE)
    for section, keys in changes.items():
        raw[section] = raw.get(section, {}) | keys
    Path("run.yaml").write_text(yaml.safe_dump(raw))
    return Path("run.yaml")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store as a run of the example leaves it."""
    write_example(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = Run(resolve(yaml.safe_load(EXAMPLE)))
    for record in StoredChecks(run, CohortInputs(run), SlideInputs(run), PredictionInputs(run))._slides():
        write_plan(record)
    for path in MADE:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def cleaned(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> str:
    assert main(["clean", "--configfile", str(config), *arguments]) == 0
    return capsys.readouterr().out


def test_what_fits_the_config_is_left_alone(capsys):
    assert "holds no masks of other settings" in cleaned(capsys, config_of(), "--what", "masks", "--yes")
    assert all(path.exists() for path in MADE)


def test_nothing_is_deleted_before_it_was_listed_and_said(capsys):
    config = config_of(slides={"segmentation": {"threshold": 30}})
    said = cleaned(capsys, config, "--what", "masks")
    assert f"{PATCHES}: 5 files, 0.00 GB (segmentation.threshold: made with None, this run wants 30.0)" in said
    assert f"{FEATURES}: 2 files, 0.00 GB (" in said
    assert "nothing was deleted; add --yes" in said
    assert all(path.exists() for path in MADE)


def test_masks_go_with_the_features_made_of_them_and_others_files_stay(capsys):
    mine = [
        PATCHES / "masks/by_hand.geojson",
        PATCHES / "notes.txt",
        FEATURES / "shards/notes.md",
        Path("store/mine.h5"),
    ]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    (FEATURES / "linked.h5").symlink_to(Path("store/mine.h5").resolve())
    config = config_of(slides={"segmentation": {"threshold": 30}})
    said = cleaned(capsys, config, "--what", "masks", "--yes")
    assert "; 2 other files there stay (" in said
    assert not any(path.exists() for path in MADE)
    assert all(path.read_text() == "mine" for path in [*mine, FEATURES / "linked.h5"])
    assert not (PATCHES / "plan.json").exists()
    assert not (PATCHES / "patches").exists()
    assert "holds no masks of other settings" in cleaned(capsys, config, "--what", "masks")


def test_features_alone_leave_the_masks(capsys):
    raw = yaml.safe_load(EXAMPLE)
    raw["features"]["encoders"]["resnet50"] |= {"precision": "bfloat16"}
    Path("run.yaml").write_text(yaml.safe_dump(raw))
    cleaned(capsys, Path("run.yaml"), "--what", "features", "--yes")
    assert not MADE[-1].exists()
    assert all(path.exists() for path in MADE[:-1])


def test_a_folder_that_a_cohort_names_is_not_deleted(capsys):
    raw = yaml.safe_load(EXAMPLE)
    raw["slides"] = raw.get("slides", {}) | {"segmentation": {"threshold": 30}}
    raw["cohorts"]["elsewhere"]["features"] = {"resnet50": str(FEATURES)}
    Path("run.yaml").write_text(yaml.safe_dump(raw))
    assert main(["clean", "--configfile", "run.yaml", "--what", "masks", "--yes"]) == 1
    assert "a cohort names it as features of its own" in capsys.readouterr().err
    assert all(path.exists() for path in MADE)


def test_a_store_behind_a_link_and_a_run_at_work_are_left_alone(capsys, tmp_path):
    config = config_of(slides={"segmentation": {"threshold": 30}})
    elsewhere = tmp_path / "another_disk"
    PATCHES.rename(elsewhere)
    PATCHES.symlink_to(elsewhere)
    assert main(["clean", "--configfile", str(config), "--what", "masks", "--yes"]) == 1
    assert "lies outside the store" in capsys.readouterr().err
    assert (elsewhere / "masks/s1.png").exists()
    lock = Path(".snakemake/locks/0.input.lock")
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps({}))
    assert main(["clean", "--configfile", str(config), "--what", "masks"]) == 1
    assert "a run holds this folder" in capsys.readouterr().err


def test_check_names_the_command(capsys):
    config = config_of(slides={"segmentation": {"threshold": 30}})
    assert main(["check", "--configfile", str(config)]) == 1
    assert "`mirrorflow clean --what masks` (or features)" in capsys.readouterr().out
