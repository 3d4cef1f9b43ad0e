"""Every file that a user gave decides what runs: its size and date are among the params of the rules that read it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mirrorflow.plan.jobs import Job, changed_jobs, following
from reruns import Example

pytestmark = pytest.mark.workflow

FEATURES = "elsewhere/first"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    made = Example(tmp_path_factory.mktemp("example"))
    for number in range(24):
        (made.folder / FEATURES / f"slide-{number}.h5").write_bytes(b"old")
        (made.folder / f"slide-{number}.svs").write_bytes(b"a slide that was cut")
    (made.folder / "weights.pt").write_bytes(b"old")
    made.raw["features"]["encoders"]["phikon"]["weights"] = "weights.pt"
    made.before = made.plan(made.raw)
    return made


def after(example: Example, change: Callable[[Path], None]) -> list[Job]:
    """Jobs that start for themselves once ``change`` was made in the example's folder."""
    change(example.folder)
    before, example.before = example.before, example.plan(example.raw)
    return changed_jobs(before, example.before)


def replaced(name: str) -> Callable[[Path], None]:
    """A file of the same size, older than everything that was made of it: a copy put back from elsewhere."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_bytes(path.read_bytes()[::-1])
        date = path.stat().st_mtime_ns - 10**12
        os.utime(path, ns=(date, date))

    return change


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        (f"{FEATURES}/slide-3.h5", {"index_features"}),
        ("expression.tsv", {"convert_expression"}),
        ("probes.tsv", {"convert_expression"}),
        ("patients.tsv", {"build_cohort"}),
        ("census.csv", {"select_genes", "audit", "explain_genes"}),
        ("sets.csv", {"select_genes", "train_supervised", "audit", "explain_genes"}),
        ("folds/splits_1.csv", {"make_splits"}),
        ("slide-5.svs", {"patch_slides"}),
        ("weights.pt", {"extract_features"}),
    ],
)
def test_a_file_in_anothers_place_starts_what_reads_it(example: Example, name: str, rules: set[str]) -> None:
    jobs = after(example, replaced(name))
    assert {job.rule for job in jobs} == rules
    assert {"evaluate", "make_results"} <= {job.rule for job in following(jobs)}


def test_a_slide_that_was_copied_again_starts_its_shard_alone(example: Example) -> None:
    jobs = after(example, replaced("slide-7.svs"))
    assert len(jobs) == 1
    assert "/own/" in jobs[0].outputs[0]


def test_features_that_come_and_go_are_noticed_and_strange_files_are_not(example: Example) -> None:
    def add(folder: Path) -> None:
        (folder / FEATURES / "slide-0.h5").unlink()

    def strange(folder: Path) -> None:
        (folder / FEATURES / "of-nobody.h5").write_bytes(b"x")
        (folder / FEATURES / "notes.txt").write_bytes(b"x")

    assert {job.rule for job in after(example, add)} == {"index_features"}
    assert after(example, strange) == []


def test_methods_on_slides_follow_new_features(example: Example) -> None:
    jobs = following(after(example, replaced(f"{FEATURES}/slide-4.h5")))
    assert {"pretrain_mirror", "train_supervised", "fit_baseline", "embed_target"} <= {job.rule for job in jobs}
