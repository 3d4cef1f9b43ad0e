"""A protocol that claims to be honest and leaks: the run fails, says why, and reports everything but its numbers."""

import json
from pathlib import Path

import pandas as pd
import pytest

from mirrorflow.cohorts.splits import Fold
from mirrorflow.store.tables import read_folds, write_fold
from runner import CONFIGS, changed_config, copy_run, run

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def leaking(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny run with "published" folds that share two patients, and one honest claim on them."""
    folder = copy_run(tiny, tmp_path_factory.mktemp("leaking") / "run")
    folds = read_folds(folder / "results/tiny/slide-random-cohort-none-best/tiny/splits", 2)
    for number, fold in enumerate(folds):
        write_fold(folder / "published" / f"splits_{number}.csv", Fold(fold.train + fold.val[:2], fold.val))
    return folder


def config(folder: Path, splits: str) -> Path:
    protocols = {
        "honest-published": {},
        "fixed": {"preset": "honest-published", "splits": "published-repaired"},
        "paper": {"preset": "paper", "splits": "random"},
    }
    methods = {"concat-linear": {}}
    changes = {"protocols": protocols, "methods": methods, "cohorts.tiny.splits": {"published": splits}}
    return changed_config(folder, CONFIGS / "tiny.yaml", **changes)


def test_a_broken_claim_fails_the_run_and_still_gives_a_report(leaking: Path) -> None:
    done = run(leaking, config(leaking, "published"))
    assert done.returncode != 0
    assert "honest-published on tiny claims to be honest and has" in done.stdout
    assert "Traceback" not in done.stdout
    audit = json.loads((leaking / "results/tiny/audit/honest-published/tiny.json").read_text())
    shared = [one["count"] for one in audit["findings"] if one["kind"] == "patients_in_both"]
    assert shared == [2, 2]
    assert "`splits: published-repaired` in the protocol" in done.stdout
    repaired = json.loads((leaking / "results/tiny/audit/fixed/tiny.json").read_text())
    assert (repaired["leaks"], repaired["repaired"]) == (0, [2, 2])
    results = pd.read_csv(leaking / "results/tiny/tables/results.csv")
    assert set(results["protocol"]) == {"fixed", "paper"}
    page = (leaking / "results/tiny/report.html").read_text()
    assert "its numbers are withheld" in page
    assert "2 patients are in train and val" in page
    assert "Folds repaired, every patient is kept once: 4 patients moved (by fold: 2, 2)." in page
    figures = json.loads((leaking / "results/tiny/figures/tiny/figures.json").read_text())
    assert not [one for one in figures["figures"] if "honest-published" in one["name"]]
