"""A change of the user's own files is seen where Snakemake has no notes: in a shared store, among copied results."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from mirrorflow.config import versions
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import SettingsMismatchError
from mirrorflow.plan.checks import StoredChecks
from mirrorflow.plan.cohorts import CohortInputs
from mirrorflow.plan.given_states import GivenStates
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.records import write_plan
from mirrorflow.plan.run import Run
from mirrorflow.plan.slides import SlideInputs
from rerun_example import EXAMPLE, write_example
from snakemake_notes import note

PATIENTS = "case\tsubtype\ttime\tevent\npatient-0\tAlpha\t12\t1\n"


@pytest.fixture(autouse=True)
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's outputs with the records that its jobs leave, and none of Snakemake's notes."""
    monkeypatch.chdir(tmp_path)
    write_example(tmp_path)
    Path("patients.tsv").write_text(PATIENTS)
    for number in range(4):
        Path(f"slide-{number}.svs").write_bytes(b"scan" * (number + 1))
    for number in range(3):
        Path(f"elsewhere/first/slide-{number}.h5").write_bytes(b"features")
    given = states()
    for output, records in [*given.in_store(), *given.in_results()]:
        Path(output).parent.mkdir(parents=True, exist_ok=True)
        Path(output).touch()
        for record in records():
            write_plan(record)


def states(columns: Mapping[str, str] | None = None) -> GivenStates:
    config = yaml.safe_load(EXAMPLE)
    for cohort in ("own", "elsewhere"):
        slides = config["cohorts"][cohort]["slides"]
        slides["columns"] = {**slides.get("columns", {}), **(columns or {})}
    run = Run(resolve(config))
    return GivenStates(run, CohortInputs(run), SlideInputs(run))


def hold(*arguments: str, columns: Mapping[str, str] | None = None) -> None:
    given = states(columns)
    StoredChecks(given.run, given.cohorts, given.slides, PredictionInputs(given.run)).hold(arguments)


def added(path: str, line: str) -> None:
    with Path(path).open("a") as stream:
        stream.write(line)


def replaced(path: str, old: str, new: str) -> None:
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new))


def test_what_nobody_changed_passes():
    hold()


def test_dates_and_places_are_no_change(tmp_path_factory, monkeypatch):
    moved = tmp_path_factory.mktemp("elsewhere") / "moved"
    shutil.copytree(Path.cwd(), moved)
    for path in moved.rglob("*"):
        os.utime(path, (1, 1))
    monkeypatch.chdir(moved)
    hold()


def test_files_that_are_gone_are_no_change():
    Path("slide-0.svs").unlink()
    Path("patients.tsv").unlink()
    for path in Path("elsewhere").rglob("*.h5"):
        path.unlink()
    hold()
    shutil.rmtree("elsewhere")
    hold()


def test_the_same_slides_from_another_project_are_no_change():
    """Its sheet has another name for the column of paths, and other paths."""
    text = Path("slides.tsv").read_text()
    Path("slides.tsv").write_text(text.replace("\tpath\n", "\tfile\n").replace("\tslide-", "\t./slide-"))
    hold(columns={"path": "file"})


SLIDE_CHANGES: list[tuple[Callable[[], object], str]] = [
    (lambda: added("slides.tsv", "slide-99\tpatient-3\tpatient-3\tslide-99.svs\n"), "rows: made with"),
    (lambda: replaced("slides.tsv", "slide-1\tpatient-0\tpatient-0", "slide-1\tpatient-1\tpatient-1"), "rows: made"),
    (lambda: Path("slide-1.svs").write_bytes(b"another scan"), "slides.slide-1: made with 8, this run wants 12"),
]


@pytest.mark.parametrize(("change", "said"), SLIDE_CHANGES)
def test_other_slides_are_refused_until_they_are_patched_again(change, said):
    change()
    with pytest.raises(SettingsMismatchError, match=said) as told:
        hold()
    assert "--forcerun patch_slides" in str(told.value)
    hold("--forcerun", "patch_slides")


RESULT_CHANGES: list[tuple[Callable[[], object], str]] = [
    (lambda: replaced("patients.tsv", "\t12\t1", "\t12\t0"), r"patients\.tsv: made with"),
    (lambda: added("census.csv", "NEW,1\n"), r"census\.csv: made with"),
    (lambda: added("sets.csv", "NEW,1\n"), r"sets\.csv: made with"),
    (lambda: added("folds/splits_1.csv", "patient-0,,\n"), r"splits_1\.csv: made with"),
    (lambda: Path("elsewhere/first/slide-2.h5").write_bytes(b"of another encoder"), "features: made with"),
]


@pytest.mark.parametrize(("change", "said"), RESULT_CHANGES)
def test_other_files_of_ones_own_are_refused_until_all_is_held_against_them(change, said):
    change()
    with pytest.raises(SettingsMismatchError, match=said) as told:
        hold()
    assert "--forceall" in str(told.value)
    hold("--forceall")


def test_another_version_of_what_computes_is_refused(monkeypatch):
    monkeypatch.setattr(versions, "METRICS", versions.METRICS + 1)
    with pytest.raises(SettingsMismatchError, match="METRICS: made with"):
        hold()


def test_what_snakemake_has_notes_of_is_left_to_it():
    for output, _ in states().in_store():
        note(output, Path(output).stat().st_mtime)
    SLIDE_CHANGES[2][0]()
    hold()


def test_what_another_run_made_in_its_place_since_is_not():
    for output, _ in states().in_store():
        note(output, Path(output).stat().st_mtime - 60)
    SLIDE_CHANGES[2][0]()
    with pytest.raises(SettingsMismatchError, match=r"slides\.slide-1"):
        hold()


def test_new_dates_of_results_leave_them_to_snakemake():
    """A project copied with its notes: a corrected table starts what reads it."""
    for output, _ in states().in_results():
        note(output, Path(output).stat().st_mtime - 60)
    RESULT_CHANGES[0][0]()
    hold()


def test_a_large_file_counts_by_its_size(monkeypatch):
    monkeypatch.setattr("mirrorflow.plan.given_states.SMALL", 1)
    record = states().of_cohort(type("where", (), {"cohort": "own"}), 1)[0]
    assert record["settings"]["files"]["patients.tsv"] == f"{len(PATIENTS)} bytes"
