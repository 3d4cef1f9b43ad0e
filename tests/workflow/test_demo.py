"""The demo as `make run` leaves it: the planted signal is found, nothing runs again."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from runner import ROOT

pytestmark = [pytest.mark.workflow, pytest.mark.slow]
SHARED = ROOT.parent / "shared"


def snakemake(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "all", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def demo() -> Path:
    """The demo's results; computed now where `make run` has not been called."""
    done = snakemake()
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return ROOT / "results/demo"


def value(results: pd.DataFrame, method: str, metric: str, protocol: str = "honest") -> pd.Series:
    rows = results[
        (results["method"] == method)
        & (results["metric"] == metric)
        & (results["protocol"] == protocol)
        & (results["setting"] == "all")
    ]
    assert len(rows) == 1
    return rows.iloc[0]


def test_nothing_re_runs(demo: Path) -> None:
    said = snakemake("--dry-run")
    assert "Nothing to be done" in said.stdout + said.stderr


def test_contract_holds(demo: Path) -> None:
    script = SHARED / "check_contract.py"
    if not script.exists():
        pytest.skip("../shared/check_contract.py is not here")
    said = subprocess.run(
        [sys.executable, str(script), str(demo)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout


@pytest.mark.parametrize("method", ["concat-linear", "mirror"])
def test_planted_subtype_is_found(demo: Path, method: str) -> None:
    results = pd.read_csv(demo / "tables/results.csv")
    majority = value(results, "majority", "accuracy")
    found = value(results, method, "accuracy")
    assert found["ci_low"] > majority["ci_high"]


def test_planted_risk_is_found(demo: Path) -> None:
    results = pd.read_csv(demo / "tables/results.csv")
    assert value(results, "cox", "c_index")["mean"] > 0.55


def test_each_modality_adds(demo: Path) -> None:
    results = pd.read_csv(demo / "tables/results.csv")
    both = value(results, "concat-linear", "f1_macro")["mean"]
    assert both > value(results, "linear", "f1_macro")["mean"]
    assert both > value(results, "rna-linear", "f1_macro")["mean"] - 0.02
