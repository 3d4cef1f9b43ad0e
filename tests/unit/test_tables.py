from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mirrorflow.evaluation.verdicts import NOTHING
from mirrorflow.metrics import SUBTYPING_METRICS, SURVIVAL_METRICS
from mirrorflow.store.tables import read_numbers, read_text_sheet
from mirrorflow.tables.main import MAIN_METRICS, TITLES, cell_text, main_table, value_text
from mirrorflow.tables.published import PAPER_GENE_SETS, PAPER_VARIANTS
from mirrorflow.tables.render import to_latex, to_markdown
from mirrorflow.tables.results import CELL, COLUMNS, NUMBERS, SAW, beside_published, published_key

RESOURCES = Path(__file__).parents[2] / "resources"
PUBLISHED = read_numbers(RESOURCES / "published_results.csv", ["mean", "sd"])
NAMES = read_text_sheet(RESOURCES / "names.tsv")
MIRRORS_TABLES = PUBLISHED[(PUBLISHED["paper"] == "mirror") & PUBLISHED["table"].isin(["III", "IV"])]


def cell(**changes: Any) -> dict[str, Any]:
    """A cell of ours as `evaluate` writes it."""
    here = {
        "protocol": "paper",
        "cohort": "brca",
        "encoder": "phikon",
        "setting": "all",
        "task": "subtyping",
        "method": "mirror",
        "metric": "accuracy",
    }
    numbers = {"mean": 0.9, "sd": 0.02, "ci_low": 0.86, "ci_high": 0.93, "n": 100, "folds": 5, "patients": 90}
    more = {"gene_labels": 11, "tau_days": "", "unstable": "", "seeds": 1, "seed_sd": np.nan, SAW: "no"} | NOTHING
    return {**here, **numbers, "by_fold": "", "why_undefined": "", "note": "", "predictions": "p"} | more | changes


def joined(*cells: dict[str, Any], why_not: list[str] | None = None) -> pd.DataFrame:
    return beside_published(pd.DataFrame(cells), PUBLISHED, NAMES, lambda _cell: list(why_not or []))


def published_value(column: str = "mean", **where: str) -> float:
    rows = MIRRORS_TABLES
    for key, value in where.items():
        rows = rows[rows[key] == value]
    assert len(rows) == 1
    return rows[column].iloc[0]


# Ours beside the published value.


def test_published_values_join_by_cohort_encoder_setting_task_method_and_metric():
    table = joined(cell(), cell(cohort="nsclc", encoder="resnet50", setting="10-shot", method="abmil"))
    where = {"encoder": "phikon", "setting": "all", "method": "mirror", "metric": "accuracy"}
    assert table["published_mean"].tolist() == [published_value(cohort="TCGA-BRCA", **where), 0.633]
    assert table["published_sd"].tolist() == [published_value("sd", cohort="TCGA-BRCA", **where), 0.084]


def test_every_cell_keeps_its_place_and_the_columns_are_the_contracts():
    table = joined(cell(method="z"), cell(method="a"), cell(cohort="mine"))
    assert table["method"].tolist() == ["z", "a", "mirror"]
    assert list(table) == COLUMNS
    assert COLUMNS[: len(CELL)] == CELL
    assert set(NUMBERS) < set(COLUMNS)


def test_comparable_only_when_nothing_differs_and_delta_only_then():
    same = joined(cell(mean=0.95)).iloc[0]
    assert (same["comparable"], same["why_not"]) == ("yes", "")
    assert same["delta"] == pytest.approx(0.95 - same["published_mean"])
    other = joined(cell(), why_not=["unit: patient (paper: slide)", "width"]).iloc[0]
    assert (other["comparable"], other["why_not"]) == ("no", "unit: patient (paper: slide); width")
    assert np.isnan(other["delta"])
    assert not np.isnan(other["published_mean"])


def test_a_cell_without_a_published_value_says_so():
    row = joined(cell(method="majority"), why_not=["features made elsewhere"]).iloc[0]
    assert (row["comparable"], row["why_not"]) == ("no", "no published value; features made elsewhere")
    assert np.isnan([row["delta"], row["published_mean"]]).all()
    assert row["suspect"] == ""


def test_suspect_cells_of_the_paper_are_marked():
    doubtful = MIRRORS_TABLES[MIRRORS_TABLES["suspect"] != ""].iloc[0]
    cohorts = {label: name for name, label in published_key(NAMES, "cohort").items()}
    there = doubtful[["encoder", "setting", "task", "method", "metric"]].to_dict()
    row = joined(cell(cohort=cohorts[doubtful["cohort"]], **there)).iloc[0]
    assert row["suspect"] == doubtful["suspect"] != ""


def test_why_not_is_asked_about_the_cell_itself():
    asked = []
    beside_published(pd.DataFrame([cell(note="k = 3")]), PUBLISHED, NAMES, lambda row: asked.append(row) or [])
    assert asked[0]["note"] == "k = 3"
    assert asked[0]["cohort"] == "brca"


def test_a_published_cell_stands_once():
    key = ["cohort", "encoder", "setting", "task", "method", "metric"]
    assert len(MIRRORS_TABLES) > 300
    assert not MIRRORS_TABLES.duplicated(key).any()


def test_published_metrics_are_ones_we_compute():
    assert set(MIRRORS_TABLES["metric"]) <= {*SUBTYPING_METRICS, *SURVIVAL_METRICS}


@pytest.mark.parametrize(("kind", "column"), [("cohort", "cohort"), ("method", "method"), ("encoder", "encoder")])
def test_every_name_is_a_published_label(kind, column):
    labels = {name: label for name, label in published_key(NAMES, kind).items() if label}
    assert labels
    assert set(labels.values()) <= set(PUBLISHED[column])


@pytest.mark.parametrize(("kind", "column"), [("cohort", "cohort"), ("method", "method"), ("encoder", "encoder")])
def test_every_published_label_of_tables_iii_and_iv_has_a_name(kind, column):
    assert set(MIRRORS_TABLES[column]) <= set(published_key(NAMES, kind).values())


def test_methods_and_encoders_are_named_as_published():
    # beside_published maps cohorts and variants alone.
    for kind in ("method", "encoder"):
        labels = {name: label for name, label in published_key(NAMES, kind).items() if "--" not in name}
        assert all(label in ("", name) for name, label in labels.items())


def test_names_are_path_names_and_stand_once():
    assert NAMES["name"].str.fullmatch(r"[a-z0-9._-]+").all()
    assert not NAMES.duplicated(["kind", "name"]).any()
    assert (NAMES["title"] != "").all()


def test_ablations_stand_beside_their_own_published_rows():
    gene_sets = [f"{name}--{variant}" for name in ("mirror", "tangle") for variant in PAPER_GENE_SETS]
    table = joined(*(cell(method=name) for name in ("mirror", *PAPER_VARIANTS, *gene_sets)))
    label = published_key(NAMES, "method")
    for row in table.to_dict("records"):
        mine = PUBLISHED["method"] == label[row["method"]]
        mine &= (PUBLISHED["cohort"] == "TCGA-BRCA") & (PUBLISHED["metric"] == "accuracy")
        found = PUBLISHED[mine & (PUBLISHED["paper"] == "mirror") & (PUBLISHED["setting"] == "all")]
        assert row["published_mean"] in set(found["mean"]), row["method"]
    assert len(table) == 1 + len(PAPER_VARIANTS) + len(gene_sets)


# The main tables.


def test_a_cell_reads_mean_deviation_interval_and_published_value():
    row = joined(cell()).iloc[0].to_dict()
    published = f"{row['published_mean']:.3f} ± {row['published_sd']:.3f}"
    assert cell_text(row) == f"0.900 ± 0.020 [0.860, 0.930] (published {published})"
    assert cell_text(row | {"suspect": "odd"}).endswith(f"(published {published}, suspect)")
    assert cell_text(row | {"published_mean": np.nan, "ci_low": np.nan}) == "0.900 ± 0.020"
    assert cell_text(row | {"verdict": "better"}).startswith("0.900 ± 0.020 [0.860, 0.930], better (published")


def test_undefined_values_are_said_and_never_zero():
    assert value_text(np.nan, np.nan) == "undefined"
    assert value_text(None, None) == "undefined"
    assert value_text(0.5, np.nan) == "0.500"


def test_main_table_has_methods_down_and_cohorts_across():
    rows = [
        cell(method="linear"),
        cell(method="mirror", metric="f1_macro", mean=0.8),
        cell(method="mirror"),
        cell(method="majority", encoder="none"),
        cell(method="mirror", cohort="nsclc", setting="10-shot"),
        cell(method="mirror", protocol="honest"),
        cell(method="mirror", metric="auroc"),
        cell(method="cox", task="survival", metric="c_index"),
    ]
    table = main_table(joined(*rows), "subtyping", ["majority", "linear", "mirror"], {"brca": "TCGA-BRCA"})
    assert table[["protocol", "encoder", "method"]].to_numpy().tolist() == [
        ["honest", "phikon", "mirror"],
        ["paper", "none", "majority"],
        ["paper", "phikon", "linear"],
        ["paper", "phikon", "mirror"],
    ]
    assert list(table)[3:] == ["TCGA-BRCA, all, Accuracy", "TCGA-BRCA, all, Macro F1", "nsclc, 10-shot, Accuracy"]
    assert table.loc[3, "TCGA-BRCA, all, Macro F1"].startswith("0.800")
    assert table.loc[1, "nsclc, 10-shot, Accuracy"] == ""


@pytest.mark.parametrize("titles", [{"brca": "Breast", "blca": "Breast"}, {"brca": "TCGA-BRCA", "blca": "TCGA-BRCA"}])
def test_cohorts_of_one_title_are_told_apart_by_their_names(titles):
    rows = joined(*(cell(cohort=name, mean=mean) for name, mean in (("brca", 0.9), ("blca", 0.8), ("nsclc", 0.7))))
    (line,) = main_table(rows, "subtyping", ["mirror"], titles | {"nsclc": "Lung"}).to_dict("records")
    for name, text in (("brca", "0.900"), ("blca", "0.800")):
        assert line[f"{titles[name]} ({name}), all, Accuracy"].startswith(text)
    assert line["Lung, all, Accuracy"].startswith("0.700")


def test_a_k_shot_column_says_how_many_its_folds_hold():
    less = "k = 1, 2 (smallest group); 4 evaluation units lost with the last batch"
    rows = [
        cell(setting="3-shot", note=less),
        cell(setting="3-shot", note=less, method="linear"),
        cell(setting="3-shot", cohort="nsclc"),
        cell(setting="3-shot", cohort="rcc", note="k = 1 (smallest group)"),
        cell(setting="3-shot", cohort="rcc", protocol="honest"),
    ]
    table = main_table(joined(*rows), "subtyping", ["linear", "mirror"], {})
    assert list(table)[3:] == [
        "brca, 3-shot (k = 1 or 2), Accuracy",
        "nsclc, 3-shot, Accuracy",
        "rcc, 3-shot (k = 1 or 3), Accuracy",
    ]


def test_a_clinical_model_is_not_titled_with_columns_it_may_lack():
    title = published_key(NAMES, "method", "title")["clinical"]
    assert [column for column in ("age", "sex", "stage") if column in title] == []


def test_a_task_without_results_is_an_empty_table():
    assert list(main_table(joined(cell()), "survival", ["mirror"], {})) == ["protocol", "encoder", "method"]


def test_main_metrics_have_titles():
    assert {metric for metrics in MAIN_METRICS.values() for metric in metrics} == set(TITLES)


# Markdown and LaTeX.


def test_markdown_escapes_what_would_break_the_table():
    text = to_markdown(pd.DataFrame({"a|b": ["x|y", "two\nlines"]}), "Caption.")
    assert text.splitlines() == ["Caption.", "", r"| a\|b |", "| --- |", r"| x\|y |", "| two lines |"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
        ("[here](http://x)", r"[here\](http://x)"),
        ("![i](x)", r"![i\](x)"),
        ("*bold* `code` ~~no~~", r"\*bold\* \`code\` \~~no\~~"),
        ("__no_feature", r"\_\_no_feature"),
        ("a\\b", r"a\\b"),
        (
            "0.900 ± 0.020 [0.860, 0.930], better (published 0.9)",
            "0.900 ± 0.020 [0.860, 0.930], better (published 0.9)",
        ),
    ],
)
def test_names_are_no_markup(name: str, shown: str):
    assert to_markdown(pd.DataFrame({name: [name]}), "Caption.").splitlines()[2:] == [
        f"| {shown} |",
        "| --- |",
        f"| {shown} |",
    ]


def test_latex_escapes_what_latex_reads_as_commands():
    table = pd.DataFrame({"a_b": ["50% & more", r"\input{x}", "0.9 ± 0.1", "p<0.05 ~ $1 #2 ^3"]})
    text = to_latex(table, "n_patients", "main")
    assert r"\caption{n\_patients}" in text
    assert r"\label{tab:main}" in text
    assert "a\\_b \\\\\n" in text
    assert r"50\% \& more \\" in text
    assert r"\textbackslash{}input\{x\} \\" in text
    assert r"0.9 $\pm$ 0.1 \\" in text
    assert r"p$<$0.05 \textasciitilde{} \$1 \#2 \textasciicircum{}3 \\" in text


def test_latex_has_as_many_cells_in_each_row_as_columns():
    text = to_latex(pd.DataFrame({"x": [1, 2], "y": [3, 4], "z": [5, 6]}), "c", "l")
    assert r"\begin{tabular}{lll}" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 3
    assert all(row.count("&") == 2 for row in rows)
