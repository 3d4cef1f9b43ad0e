"""A user's own sheets: features made elsewhere, one's own matrix, odd column names; and what goes wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from mirrorflow.cli import main
from runner import changed_config, run, succeed

pytestmark = pytest.mark.workflow


@pytest.fixture
def own(tiny: Path, tmp_path: Path) -> Path:
    """A cohort that starts from features and a matrix: sheets in the user's own words, config beside them."""
    cohort = pd.read_parquet(tiny / "results/tiny/cohort/tiny.parquet")
    slides = cohort.explode("slide_ids")[["slide_ids", "patient"]]
    slides.columns = ["scan", "case"]
    slides.to_csv(tmp_path / "slides.csv", index=False)
    patients = cohort.assign(months=cohort["time_days"] / 30.4375)
    patients = patients[["patient", "label", "months", "event", "site"]]
    patients.columns = ["case", "histology", "os_months", "died", "hospital"]
    patients.to_csv(tmp_path / "patients.tsv", sep="\t", index=False)
    stored = pd.read_parquet(tiny / "store/expression/tiny/tiny.parquet").set_index("id").drop(columns="gene")
    stored[cohort["patient"]].T.rename_axis("case").to_csv(tmp_path / "expression.csv")
    config = {
        "run": "own",
        "cohorts": {
            "own": {
                "slides": {"sheet": "slides.csv", "columns": {"slide_id": "scan", "patient": "case"}},
                "clinical": {
                    "sheet": "patients.tsv",
                    "columns": {
                        "patient": "case",
                        "label": "histology",
                        "time": "os_months",
                        "event": "died",
                        "site": "hospital",
                    },
                    "time_unit": "months",
                },
                "site": "column",
                "expression": "own",
                "encoders": ["elsewhere"],
                "features": {"elsewhere": str(tiny / "store/features/tiny/256px-20x/resnet50-random")},
            }
        },
        "expression": {
            "sources": {
                "own": {"matrix": "expression.csv", "orientation": "samples_by_genes", "sample_ids": "patient"}
            },
            "selection": {"method": "variance", "n_genes": 50, "census": False},
        },
        "splits": {"folds": 2},
        "methods": {"majority": {}, "concat-linear": {}, "cox": {"components": 5}},
        "evaluation": {"shots": [], "bootstrap": 20},
    }
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


TTA = {
    "network": {"width": 16, "prototypes": 4, "heads": 2},
    "train": {"epochs": 2, "tokens": 8, "batch_size": 8, "min_steps": 0},
    "gene_sets": "random",
}


def as_published_of_tta(own: Path) -> Path:
    """The same cohort with deaths by cause, under the names that TTA's tables have, and two small methods of theirs."""
    config, path = yaml.safe_load(own.read_text()), own.parent / "patients.tsv"
    patients = pd.read_csv(path, sep="\t")
    patients.assign(any_months=patients["os_months"], any_died=patients["died"]).to_csv(path, sep="\t", index=False)
    cohort = config["cohorts"]["own"]
    cause = {"name": "DSS", "time": "any_months", "event": "any_died"}
    cohort |= {"clinical": cohort["clinical"] | {"cause_specific": cause}, "encoders": ["uni"]}
    cohort |= {"features": {"uni": cohort["features"]["elsewhere"]}}
    alone = TTA | {"network": TTA["network"] | {"anchors": False, "contrast_weight": 0}}
    methods = config["methods"] | {"tta": TTA, "tta--together": alone}
    return changed_config(own.parent, own, cohorts={"brca": cohort}, methods=methods)


def test_own_sheets_run_to_tables(own: Path) -> None:
    succeed(own.parent, as_published_of_tta(own))
    results = pd.read_csv(own.parent / "results/own/tables/results.csv")
    assert set(results["method"]) == {"majority", "concat-linear", "cox", "tta", "tta--together"}
    stages = pd.read_csv(own.parent / "results/own/tables/tta_stages.csv").set_index("method")
    (column,) = set(stages) - {"protocol", "encoder"}
    assert column == "TCGA-BRCA (DSS, cause-specific), all, C-index"
    assert stages[column].str.extract(r"\(published (.*)\)", expand=False).to_dict() == {
        "TTA": "0.726 ± 0.039",
        "TTA (together only)": "0.675 ± 0.078",
    }
    ours = results[results["method"].str.startswith("tta") & (results["metric"] == "c_index")]
    assert set(ours["comparable"]) == {"no"}
    assert ours["why_not"].str.contains("expression: the paper does not say which matrix it took").all()
    assert set(results["task"]) == {"subtyping", "survival"}
    assert results.loc[results["metric"] == "accuracy", "mean"].between(0, 1).all()
    assert not (own.parent / "store/slides").exists()


def test_checker_likes_it_and_says_what_does_not_fit(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(own.parent)
    assert main(["check", "--configfile", str(own)]) == 0
    assert "0 problems" in capsys.readouterr().out
    wrong = changed_config(own.parent, own, **{"cohorts.own.features": {"elsewhere": "nowhere"}})
    assert main(["check", "--configfile", str(wrong)]) == 1
    said = capsys.readouterr().out
    assert "PROBLEM" in said
    assert "nowhere" in said


def test_misspelt_key_is_named(own: Path) -> None:
    wrong = changed_config(own.parent, own, **{"evaluation.bootstraps": 5})
    done = run(own.parent, wrong, "--dry-run")
    assert done.returncode != 0
    assert "unknown key 'bootstraps'; did you mean 'bootstrap'?" in done.stdout


def test_strangers_in_the_matrix_stop_only_what_needs_them(own: Path) -> None:
    matrix = pd.read_csv(own.parent / "expression.csv", index_col=0)
    matrix.index = [f"STRANGER-{number}" for number in range(len(matrix))]
    matrix.rename_axis("case").to_csv(own.parent / "expression.csv")
    done = run(own.parent, own)
    assert done.returncode != 0
    assert "STRANGER-0" in done.stdout
    assert "Traceback" not in done.stdout
    assert (own.parent / "results/own/features/own/elsewhere.tsv").exists()


def test_unknown_outcomes_leave_out_survival_only(own: Path) -> None:
    path = own.parent / "patients.tsv"
    pd.read_csv(path, sep="\t").assign(os_months=np.nan, died=np.nan).to_csv(path, sep="\t", index=False)
    config = changed_config(own.parent, own, methods={"majority": {}, "concat-linear": {}})
    succeed(own.parent, config)
    results = pd.read_csv(own.parent / "results/own/tables/results.csv")
    assert set(results["task"]) == {"subtyping"}
    dropped = pd.read_csv(own.parent / "results/own/cohort/own.dropped.tsv", sep="\t")
    assert (dropped["step"] == "survival").sum() == len(pd.read_csv(path, sep="\t"))


def test_class_smaller_than_the_folds_is_said(own: Path) -> None:
    path = own.parent / "patients.tsv"
    sheet = pd.read_csv(path, sep="\t")
    sheet.loc[0, "histology"] = "rare"
    sheet.to_csv(path, sep="\t", index=False)
    said = succeed(own.parent, own)
    assert "rare (1)" in said
    audit = (own.parent / "results/own/audit/honest/own.md").read_text()
    assert "no patient of class rare" in audit
