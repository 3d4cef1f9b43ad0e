"""Every command of the README and of the quick start does what the text says, or is at least a command."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from mirrorflow.cli import main
from runner import ROOT, planned_from

pytestmark = pytest.mark.workflow
PAGES = [ROOT / "README.md", ROOT / "docs" / "quick_start.md"]
SHEETS = ("slides.tsv", "patients.tsv")
SHELL_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PARSED_ONLY = {
    "make run": "installs 6 GB; .ci/run starts it",
    "make test": "would start this test; .ci/run starts it",
    "source .venv/bin/activate": "made by make setup",
    "cp config/features.yaml my.yaml": "the fixture does it, and fills it in",
}
"""Commands that no test runs, and why. Commands for a cluster, a container or the network stand on other pages."""
DEMO = {"simulate_cohort", "patch_slides", "extract_features", "pretrain_mirror", "audit", "make_report"}


def commands() -> list[str]:
    """Commands of both pages, comments left out, each once."""
    texts = [text for page in PAGES for text in SHELL_BLOCK.findall(page.read_text())]
    lines = [line for text in texts for line in text.replace("\\\n", " ").splitlines()]
    return list(dict.fromkeys(shlex.join(words) for line in lines if (words := shlex.split(line, comments=True))))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which config/features.yaml has been copied to my.yaml and what it names is there."""
    folder = tmp_path_factory.mktemp("own")
    features, data = folder / "data" / "features_uni", folder / "data"
    features.mkdir(parents=True)
    shutil.copy(ROOT / "config" / "features.yaml", folder / "my.yaml")
    people, draws = [f"P-{i:04d}" for i in range(30)], np.random.default_rng(0)
    columns = {sheet: pd.read_csv(ROOT / "config" / "templates" / sheet, sep="\t").columns for sheet in SHEETS}
    slides = pd.DataFrame({"slide_id": [f"{name}-a" for name in people], "patient": people})
    patients = pd.DataFrame(
        {
            "patient": people,
            "label": ["luad", "lusc"] * 15,
            "time": draws.integers(100, 2000, 30),
            "event": [1, 1, 0] * 10,
            "site": [f"site-{i // 3}" for i in range(30)],
            "age": draws.integers(40, 80, 30),
        }
    )
    for sheet, table in zip(SHEETS, (slides, patients), strict=True):
        table.reindex(columns=columns[sheet]).to_csv(data / sheet, sep="\t", index=False)
    for slide in slides["slide_id"]:
        with h5py.File(features / f"{slide}.h5", "w") as file:
            file["features"] = draws.normal(size=(8, 1024)).astype("float32")
    expression = pd.DataFrame(draws.normal(8, 2, (50, 30)), index=[f"GENE{i}" for i in range(50)], columns=people)
    expression.rename_axis("gene").to_csv(data / "expression.tsv.gz", sep="\t")
    return folder


def test_the_list_of_what_is_parsed_only_names_commands_of_the_pages() -> None:
    assert set(PARSED_ONLY) <= set(commands())
    assert "snakemake --configfile my.yaml --cores 8 --resources gpu=1" in commands()


@pytest.mark.parametrize("command", commands())
def test_commands_of_the_readme_and_the_quick_start(
    command: str, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program, *arguments = shlex.split(command)
    if command in PARSED_ONLY:
        targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert program != "make" or set(arguments) <= set(targets)
        assert shutil.which(program) or program == "source"
    elif program == "snakemake":
        is_own = "my.yaml" in arguments
        where = [str(own / word) if word == "my.yaml" else word for word in arguments]
        place = ["--directory", str(own if is_own else tmp_path), "--dry-run"]
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *where, *place],
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:]
        rules = set(planned_from(done.stdout))
        assert rules >= (DEMO - {"simulate_cohort", "patch_slides", "extract_features"} if is_own else DEMO)
        assert not is_own or rules.isdisjoint({"simulate_cohort", "extract_features"})
    else:
        assert program == "mirrorflow", f"{command}: run it here, or say in PARSED_ONLY why not"
        monkeypatch.chdir(own)
        assert main(arguments) == 0, capsys.readouterr()
