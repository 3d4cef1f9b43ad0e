"""Tables beyond the main ones: which a run has, which rows they show, what stands beside them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mirrorflow.evaluation.verdicts import NOTHING
from mirrorflow.steps.results.further_table import Params, make_further_table
from mirrorflow.store.tables import read_numbers, read_text_sheet
from mirrorflow.tables.further import FURTHER_TABLES, further_table, methods_of, wanted_tables
from mirrorflow.tables.main import ABSENT_CLASSES
from mirrorflow.tables.variants import variant_table

ROOT = Path(__file__).parents[2]
RESOURCES = ROOT / "resources"
PUBLISHED = read_numbers(RESOURCES / "published_results.csv", ["mean", "sd"])
LABELS = {
    "mirror--alignment": "mirror[alignment]",
    "mirror--hard-clustering": "mirror[style]",
    "mirror--weights-0.3-0.5-0.2": "mirror[weights=0.3/0.5/0.2]",
    "mirror--genes-porpoise": "mirror[genes=porpoise]",
}
METHODS = ["linear", "tangle", "mirror", *LABELS, "mirror--mask-0.5"]
BOTH = ("subtyping", "survival")


def names() -> pd.DataFrame:
    """resources/names.tsv, with the variants named as they may be there."""
    known = read_text_sheet(RESOURCES / "names.tsv")
    rows = [{"kind": "method", "name": k, "published": v, "title": k} for k, v in LABELS.items()]
    return pd.concat([known[~known["name"].isin(LABELS)], pd.DataFrame(rows)], ignore_index=True)


def cell(**changes: Any) -> dict[str, Any]:
    where = {"protocol": "paper", "cohort": "brca", "encoder": "phikon", "setting": "all", "task": "subtyping"}
    numbers = {"method": "mirror", "metric": "accuracy", "mean": 0.9, "sd": 0.02, "ci_low": 0.86, "ci_high": 0.93}
    return where | numbers | {"published_mean": np.nan, "published_sd": np.nan, "suspect": ""} | NOTHING | changes


def made(name: str, *cells: dict[str, Any]) -> pd.DataFrame:
    titles = {"brca": "TCGA-BRCA", "nsclc": "TCGA-NSCLC"}
    return variant_table(further_table(name), pd.DataFrame(cells), PUBLISHED, names(), METHODS, titles)


def published(table: str, method: str, cohort: str = "TCGA-BRCA", metric: str = "accuracy") -> pd.Series:
    mine = PUBLISHED[(PUBLISHED["table"] == table) & (PUBLISHED["method"] == method)]
    return mine[(mine["cohort"] == cohort) & (mine["metric"] == metric)].iloc[0]


# Which tables a run has.


def test_a_plain_run_has_no_further_table():
    assert wanted_tables(["linear", "mirror"], ["brca"], [], BOTH) == []
    assert wanted_tables(["linear", "mirror"], ["brca"], [10], BOTH) == ["few_shot"]


@pytest.mark.parametrize(
    ("method", "table"),
    [
        ("mirror--alignment-retention", "ablation_objectives"),
        ("mirror--deterministic-style", "ablation_style"),
        ("tangle--genes-survpath", "gene_sets"),
        ("mirror--weights-0.3-0.2-0.5", "loss_weights"),
        ("mirror--mask-0.5", "variants"),
        ("linear--strong", "variants"),
    ],
)
def test_a_variant_brings_its_table(method, table):
    assert wanted_tables(["mirror", method], ["brca"], [], BOTH) == [table]


def test_cohorts_of_adaptation_bring_theirs():
    assert wanted_tables(["mirror"], ["nsclc--from--brca"], [], BOTH) == ["adaptation_subtyping", "adaptation_survival"]
    assert wanted_tables(["mirror"], ["nsclc--from--brca"], [], ["survival"]) == ["adaptation_survival"]


def test_a_table_shows_its_variants_and_what_they_vary():
    assert methods_of(further_table("ablation_objectives"), METHODS) == ["mirror", "mirror--alignment"]
    assert methods_of(further_table("gene_sets"), METHODS) == ["tangle", "mirror", "mirror--genes-porpoise"]
    assert methods_of(further_table("variants"), METHODS) == ["mirror", "mirror--mask-0.5"]
    assert methods_of(further_table("few_shot"), METHODS) == METHODS


def test_every_published_table_of_the_paper_has_one_here():
    numbers = {(table.paper, number) for table in FURTHER_TABLES for number in table.published}
    mirrors = {("mirror", number) for number in ("III", "IV", "V", "VI", "VII", "VIII", "IX", "X")}
    assert numbers == mirrors | {("tta", number) for number in "1234679"}  # Table 8 is the main table's, as Table 1
    for table in FURTHER_TABLES:
        mine = (PUBLISHED["paper"] == table.paper) & PUBLISHED["table"].isin(table.published)
        assert set(table.relabelled.values()) <= set(PUBLISHED.loc[mine, "method"])


RULES = ROOT / "workflow" / "rules"
CAPTIONED = [
    (rule.partition(":")[0], rule)
    for path in sorted(RULES.glob("*.smk"))
    for rule in path.read_text().split("\nrule ")[1:]
    if "caption=" in rule
]


@pytest.mark.parametrize(("name", "rule"), CAPTIONED, ids=[name for name, _ in CAPTIONED])
def test_a_caption_asks_its_rule_for_nothing_it_lacks(name, rule):
    for caption in re.findall(r'caption="(.+?)"', rule):
        text = (RULES / caption).read_text()
        assert f"(rule {name})" in text
        assert all(f"{{{{{one}}}}}" in rule for one in re.findall(r"snakemake\.wildcards\.(\w+)", text))
        assert all(f"        {one}=" in rule for one in re.findall(r"snakemake\.params\.(\w+)", text))


# What they show.


def test_variants_stand_beside_their_own_published_values():
    table = made("ablation_objectives", cell(), cell(method="mirror--alignment"), cell(method="linear"))
    assert table["method"].tolist() == ["mirror", "mirror--alignment"]
    values = [published("V", label)["mean"] for label in ("mirror", "mirror[alignment]")]
    shown = table["TCGA-BRCA, all, Accuracy"].tolist()
    assert [f"(published {value:.3f}" in text for value, text in zip(values, shown, strict=True)] == [True, True]


def test_a_base_is_labelled_as_the_table_labels_it():
    table = made("loss_weights", cell(), cell(method="mirror--weights-0.3-0.5-0.2"))
    first = published("VIII", "mirror[weights=0.5/0.3/0.2]")["mean"]
    assert f"(published {first:.3f}" in table["TCGA-BRCA, all, Accuracy"].iloc[0]
    genes = made("gene_sets", cell(method="tangle"), cell(method="mirror--genes-porpoise"))
    assert f"{published('VII', 'tangle[genes=mirror]')['mean']:.3f}" in genes["TCGA-BRCA, all, Accuracy"].iloc[0]


def test_suspect_cells_are_marked_in_the_table_that_doubts_them():
    doubtful = made("ablation_style", cell(), cell(method="mirror--hard-clustering"))
    assert doubtful["TCGA-BRCA, all, Accuracy"].str.contains("suspect").all()
    sure = made("ablation_objectives", cell(), cell(method="mirror--alignment"))
    assert not sure["TCGA-BRCA, all, Accuracy"].str.contains("suspect").any()


def test_adapted_cohorts_stand_beside_adaptation_and_are_named_in_words():
    row = cell(cohort="nsclc--from--brca", metric="f1_macro")
    table = made("adaptation_subtyping", row, cell())
    assert list(table)[3:] == ["TCGA-NSCLC from TCGA-BRCA, all, Macro F1"]
    text = table.iloc[0, 3]
    assert f"(published {published('IX', 'mirror', 'TCGA-NSCLC', 'f1_macro')['mean']:.3f}" in text


def test_k_shot_rows_have_a_table_of_their_own():
    table = made("few_shot", cell(), cell(setting="10-shot"), cell(setting="10-shot", method="linear"))
    assert list(table)[3:] == ["TCGA-BRCA, 10-shot, Accuracy"]
    assert table["method"].tolist() == ["linear", "mirror"]
    assert table["TCGA-BRCA, 10-shot, Accuracy"].str.contains("published").all()


def test_a_table_without_rows_is_an_empty_table():
    assert made("variants", cell(method="linear")).empty


def test_a_table_is_written_three_times_without_torch(tmp_path):
    rows = pd.DataFrame([cell(), cell(method="mirror--alignment"), cell(protocol="change--epoch")])
    rows.assign(seeds=1, seed_sd=np.nan).to_csv(tmp_path / "results.csv", index=False)
    published_file, names_file = str(RESOURCES / "published_results.csv"), str(tmp_path / "names.tsv")
    names().to_csv(names_file, sep="\t", index=False)
    stem = tmp_path / "ablation_objectives"
    params = Params(stem.name, METHODS, {}, "test")
    make_further_table(params, str(tmp_path / "results.csv"), published_file, names_file, str(stem))
    sheet = read_text_sheet(stem.with_suffix(".csv"))
    assert sheet["protocol"].tolist() == ["paper", "paper"]
    assert f"Macro F1: {ABSENT_CLASSES}." in stem.with_suffix(".md").read_text()
    assert "Table V" in stem.with_suffix(".md").read_text()
    steps = "mirrorflow.steps.results.further_table, mirrorflow.steps.results.make_optimism"
    code = f"import sys, {steps}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
