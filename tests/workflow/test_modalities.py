"""Cohorts of slides alone, of RNA alone, and of patients with either: from simulated slides and RNA to the report."""

import json
from pathlib import Path

import pandas as pd
import pytest

from runner import CONFIGS, succeed

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Folder of the finished run, and what Snakemake said."""
    folder = tmp_path_factory.mktemp("modalities")
    return folder / "results/modalities", succeed(folder, CONFIGS / "modalities.yaml")


def rows_of(results: Path, cohort: str) -> pd.DataFrame:
    table = pd.read_csv(results / "tables/results.csv")
    return table[(table["cohort"] == cohort) & (table["setting"] == "all") & (table["protocol"] == "honest")]


def test_each_cohort_has_the_methods_that_it_can_have(finished: tuple[Path, str]) -> None:
    results, said = finished
    methods = {cohort: set(rows_of(results, cohort)["method"]) for cohort in ("slides-alone", "rna-alone", "either")}
    assert methods["slides-alone"] == {"majority", "clinical", "linear", "abmil"}
    assert methods["rna-alone"] == {"majority", "clinical", "rna-linear", "snn"}
    assert methods["either"] >= methods["slides-alone"] | methods["rna-alone"] | {"mirror", "porpoise"}
    assert "slides-alone: left out rna-linear, concat-linear, mirror, porpoise, snn: sees expression" in said
    assert not list(results.glob("*/slides-alone/genes"))
    assert not (results.parents[1] / "store/slides/rna-alone").exists()


def test_the_report_and_the_tables_say_what_was_left_out(finished: tuple[Path, str]) -> None:
    results, _ = finished
    page = (results / "report.html").read_text(encoding="utf-8")
    table = (results / "tables/main_subtyping.md").read_text(encoding="utf-8")
    for text in (page, table):
        assert "the cohort names no" in text
    assert "Slides-alone: left out" in table


def test_methods_take_the_patients_who_have_what_they_see(finished: tuple[Path, str]) -> None:
    results, _ = finished
    rows = rows_of(results, "either")
    mine = rows[rows["metric"] == "accuracy"].set_index("method")
    assert mine.loc["majority", "patients"] > mine.loc["linear", "patients"] > mine.loc["mirror", "patients"]
    assert mine.loc["mirror", "patients"] < mine.loc["rna-linear", "patients"]
    assert mine.loc["concat-linear", "patient_set"] == mine.loc["mirror", "patient_set"]
    assert mine.loc["linear", "patient_set"] == mine.loc["abmil", "patient_set"] != mine.loc["mirror", "patient_set"]
    trained = mine["train_patients"].str.split().map(lambda counts: sum(map(int, counts)))
    assert trained["majority"] > trained["linear"] > trained["mirror"]
    # folds are two: who is trained on in one is evaluated in the other
    assert trained.equals(mine["patients"].astype(trained.dtype).rename(trained.name))


def test_verdicts_are_on_the_patients_of_both(finished: tuple[Path, str]) -> None:
    results, _ = finished
    rows = rows_of(results, "either")
    mirror = rows[(rows["method"] == "mirror") & (rows["metric"] == "accuracy")].iloc[0]
    assert mirror["difference"] == mirror["difference"]
    assert f"on the {int(mirror['patients'])} of" in mirror["verdict_note"]
    assert "n = " in (results / "tables/main_subtyping.md").read_text(encoding="utf-8")


def test_audits_find_no_leak(finished: tuple[Path, str]) -> None:
    results, _ = finished
    records = [json.loads(path.read_text()) for path in results.glob("audit/honest/*.json")]
    assert {record["cohort"]: record["leaks"] for record in records} == dict.fromkeys(
        ("slides-alone", "rna-alone", "either"), 0
    )
