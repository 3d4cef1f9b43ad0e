"""`mirrorflow plan`: what keeps a config from being planned is said in words, never as a traceback."""

import re
from pathlib import Path

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


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a config that cannot be planned."""
    assert main(["plan", "--configfile", "run.yaml"]) == 1
    said, errors = capsys.readouterr()
    assert said == ""
    assert "Traceback" not in errors
    return errors[errors.index("mirrorflow: ") :]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nokey: 1\n", "unknown key 'nokey'"),
        ("cohorts: [a\n", r"run\.yaml: not readable as YAML"),
        ("compute: 3\n", "the config does not fit its schema"),
        (None, r"run\.yaml: not readable as YAML: .*No such file"),
    ],
)
def test_a_config_that_is_not_valid_is_refused_as_check_does(
    text: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        Path("run.yaml").write_text(text)
    assert re.search(said, refused(capsys))


def test_a_sheet_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_example(tmp_path)
    Path("run.yaml").write_text(EXAMPLE)
    Path("patients.tsv").unlink()
    said = refused(capsys)
    assert said.startswith("mirrorflow: run.yaml: cannot be planned: Missing input files")
    assert "patients.tsv" in said


def test_a_store_of_other_settings_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_example(tmp_path)
    config = yaml.safe_load(EXAMPLE)
    run = Run(resolve(yaml.safe_load(EXAMPLE)))
    for record in StoredChecks(run, CohortInputs(run), SlideInputs(run), PredictionInputs(run))._slides():
        write_plan(record)
    config["slides"]["segmentation"] = {"threshold": 30}
    Path("run.yaml").write_text(yaml.safe_dump(config))
    assert "segmentation.threshold: made with None, this run wants 30.0" in refused(capsys)
