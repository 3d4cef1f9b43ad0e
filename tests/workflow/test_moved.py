"""New dates, a new place, a lost .snakemake, a full disk: nothing that was finished is done again."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from killing import finished, worthwhile
from mirrorflow.runtime import warm
from runner import (
    CONFIGS,
    ROOT,
    changed_config,
    command,
    compare_runs,
    copy_run,
    planned,
    planned_from,
    run,
    succeed,
    warm_process,
)
from small_disk import enlarge, small_disk

pytestmark = pytest.mark.workflow
TINY = CONFIGS / "tiny.yaml"
PARTS = ("workflow", "config", "resources", "profiles", "envs")
SECONDS = {"make_report"}
"""Reads folders of figures, and folders have dates but no checksums."""
SHARD = "features/tiny/256px-20x/resnet50-random/shards/0.tsv"


def touch_all(folder: Path, seed: int) -> None:
    """New dates for every file, seconds apart up to now and in random order, as a copy or a checkout may give."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and ".snakemake" not in path.parts)
    random.Random(seed).shuffle(files)
    start = max(path.stat().st_mtime for path in files) - len(files)
    for number, path in enumerate(files):
        os.utime(path, (start + number, start + number))


@pytest.fixture
def moved(tiny: Path, tmp_path: Path) -> Path:
    """The tiny run in another folder, every file with a new date."""
    folder = copy_run(tiny, tmp_path / "moved")
    touch_all(folder, seed=1)
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The project at another place, every file with a new date."""
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / "checkout" / part)
    shutil.copy(ROOT / "Snakefile", tmp_path / "checkout")
    touch_all(tmp_path / "checkout", seed=2)
    return tmp_path / "checkout"


def said_by(folder: Path, config: Path, *arguments: str, checkout: Path = ROOT) -> str:
    """What a run says, every file it finished included; it may be started from another checkout."""
    python, *words = command(folder, config, *arguments)
    words = [python, *(word if word == str(config) else word.replace(str(ROOT), str(checkout)) for word in words)]
    variables = {**os.environ, "PYTHONPATH": str(checkout / "workflow"), "MIRRORFLOW_LOG": "DEBUG"}
    if checkout == ROOT:
        variables[warm.VARIABLE] = warm_process()
    done = subprocess.run(
        words, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def test_new_dates_start_nothing(moved: Path) -> None:
    """Of small inputs, of large ones, and of slides, the demo's enlarged to more than 3 MB."""
    slides = list((moved / "store/simulated/tiny/slides").glob("*.svs"))
    with slides[0].open("ab") as stream:
        stream.write(bytes(3_000_000))
    touch_all(moved, seed=3)
    assert set(planned(moved, TINY)) <= SECONDS


def test_another_checkout_starts_nothing(checkout: Path, moved: Path) -> None:
    assert set(planned_from(said_by(moved, TINY, "--dry-run", checkout=checkout))) <= SECONDS


@pytest.mark.slow
def test_a_lost_snakemake_folder_redoes_nothing(tiny: Path, checkout: Path, moved: Path) -> None:
    """Every job may start again, none does its work again; the results are the same."""
    shutil.rmtree(moved / ".snakemake")
    before = finished(moved)
    said = said_by(moved, TINY, checkout=checkout)
    assert "rule extract_features" in said
    assert worthwhile(said) == []
    assert finished(moved) == before
    compare_runs(tiny / "results/tiny", moved / "results/tiny")


def own_sheet(folder: Path) -> Path:
    """A config like the tiny one whose sheet of slides is the user's."""
    header, *rows = (folder / "store/simulated/tiny/slides.tsv").read_text().splitlines()
    rows = [row.replace("slides/", "store/simulated/tiny/slides/") for row in rows]
    (folder / "slides.tsv").write_text("\n".join([header, *rows]) + "\n")
    return changed_config(folder, TINY, **{"cohorts.tiny.slides.sheet": "slides.tsv"})


INDEX = "results/tiny/features/tiny/resnet50-random.tsv"


def test_an_added_slide_touches_its_shard_and_what_follows(tiny: Path, tmp_path: Path) -> None:
    """A second slide of a patient; then it is taken away again."""
    folder = copy_run(tiny, tmp_path / "own")
    config = own_sheet(folder)
    assert worthwhile(said_by(folder, config, INDEX, "store/expression/tiny/tiny.parquet")) == [], (
        "another place of the sheet changes no slide"
    )
    rows = (folder / "slides.tsv").read_text()
    _, patient, path, mpp = next(row.split("\t") for row in rows.splitlines() if "DX1" in row)
    (folder / "slides.tsv").write_text(f"{rows}another\t{patient}\t{path}\t{mpp}\n")
    jobs = planned(folder, config)
    assert {rule: jobs[rule] for rule in ("patch_slides", "extract_features", "index_features")} == dict.fromkeys(
        ("patch_slides", "extract_features", "index_features"), 1
    )
    assert {"build_cohort", "pretrain_mirror", "embed", "probe_mirror", "make_report"} <= set(jobs)
    assert not {"simulate_cohort", "convert_expression"} & set(jobs)
    made = worthwhile(said_by(folder, config, INDEX))
    assert sorted(made) == [
        "store/features/tiny/256px-20x/resnet50-random/another.h5",
        "store/slides/tiny/256px-20x/patches/another.h5",
    ]
    assert f"another\t{patient}" in (folder / INDEX).read_text()
    (folder / "slides.tsv").write_text(rows)
    jobs = planned(folder, config, INDEX)
    assert jobs == {"patch_slides": 1, "extract_features": 1, "index_features": 1}
    assert worthwhile(said_by(folder, config, INDEX)) == []
    assert "another" not in (folder / INDEX).read_text()
    shutil.rmtree(folder / ".snakemake")  # a store that is shared, a project that was copied without it
    (folder / "slides.tsv").write_text(f"{rows}another\t{patient}\t{path}\t{mpp}\n")
    done = run(folder, config, "--dry-run", "--", INDEX)
    assert done.returncode != 0
    assert "rows: made with" in done.stdout
    assert "--forcerun patch_slides" in done.stdout
    assert planned(folder, config, "--forcerun", "patch_slides", "--", INDEX)["patch_slides"] == 1


def test_a_full_disk_stops_the_job_and_loses_nothing(tiny: Path, tmp_path: Path) -> None:
    """The store's disk is full in the middle of a shard; with more room the run goes on from there."""
    sheet = tiny / "store/simulated/tiny/slides.tsv"
    with small_disk("3m") as store:
        config = changed_config(tmp_path, TINY, store=str(store), **{"cohorts.tiny.slides.sheet": str(sheet)})
        done = run(tmp_path, config, f"{store}/{SHARD}")
        assert done.returncode != 0
        assert "no space left on the disk; free some, then run again: finished work is kept" in done.stdout
        kept = finished_on(store)
        assert kept, "the disk was full too early to see anything"
        assert not list(store.rglob(".tmp-*")), "half files are left"
        enlarge(store, "60m")
        succeed(tmp_path, config, f"{store}/{SHARD}")
        now = finished_on(store)
        assert {path: now[path] for path in kept} == kept, "finished slides were done again"
        assert len(now) > len(kept)


def finished_on(store: Path) -> dict[Path, int]:
    """Finished slides of a store and when they were written."""
    return {path: path.stat().st_mtime_ns for path in store.rglob("*.h5") if not path.name.startswith(".")}
