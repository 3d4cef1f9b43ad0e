"""From predictions files to results.csv and the main tables."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import InputError
from mirrorflow.metrics import DISTANCES, SUBTYPING_METRICS, SURVIVAL_METRICS
from mirrorflow.steps.results.evaluate import evaluate
from mirrorflow.steps.results.main_table import make_main_table
from mirrorflow.steps.results.make_results import make_results
from mirrorflow.steps.results.training_patients import training_counts
from mirrorflow.store.predictions import read_predictions, write_predictions
from mirrorflow.store.tables import read_fold, read_numbers, read_text_sheet, write_cohort, write_fold
from mirrorflow.tables.compared import settings_compared
from mirrorflow.tables.main import ABSENT_CLASSES
from mirrorflow.tables.results import COLUMNS, NUMBERS, SAW

RESOURCES = Path(__file__).parents[2] / "resources"
SETTINGS = {"bootstrap": 20, "confidence": 0.95, "seed": 0}
COHORT = {
    "slides": {"sheet": "slides.tsv"},
    "clinical": {"sheet": "patients.tsv"},
    "expression": "own",
    "encoders": ["phikon"],
    "features": {"phikon": "elsewhere"},
    "splits": {"published": "folds"},
}
RUN = {
    "run": "test",
    "cohorts": {"brca": COHORT, "demo": COHORT | {"simulated": True}},
    "expression": {"sources": {"own": {"matrix": "rna.tsv"}}},
    "protocols": {"honest": {}, "paper": {}},
    "methods": {"linear": {}, "majority": {}, "mirror": {}},
}
CONFIG = settings_compared(resolve(RUN))


def predictions(
    folder: Path, *, protocol: str = "honest", cohort: str = "brca", method: str = "linear", folds: int = 2
) -> str:
    """Predictions of a method on disk; returns the manifest's path."""
    encoder = "none" if method == "majority" else "phikon"
    place = folder / "predictions" / protocol / cohort / encoder / method
    written = {}
    for fold in range(folds):
        rng = np.random.default_rng(fold)
        names = [f"P{fold}{i:02}" for i in range(20)]
        share = rng.random(20)
        rows = pd.DataFrame({"setting": "all", "seed": 0, "fold": fold, "patient": names, "slide_id": ""})
        subtype = rows.assign(label=np.where(share > 0.4, "b", "a"), prob_a=1 - share, prob_b=share)
        survival = rows.assign(time_days=rng.exponential(100, 20), event=rng.integers(0, 2, 20), risk=share)
        settings = [{"setting": "all", "k_real": None, "lost_units": ["x"] if protocol == "paper" else []}]
        notes = {"digest": "d", "classes": ["a", "b"], "settings": settings}
        for task, table in (("subtyping", subtype), ("survival", survival)):
            name = f"{task}/fold{fold}.parquet"
            write_predictions(place / name, table, notes)
            written[name] = "d"
    manifest = place / "manifest.json"
    manifest.write_text(json.dumps({"written": written, "skipped": {}}))
    return str(manifest)


def who(folder: Path, folds: int = 2) -> tuple[str, list[str]]:
    """A cohort and split files for the predictions: each fold is trained on the others' patients."""
    names = [[f"P{fold}{i:02}" for i in range(20)] for fold in range(folds)]
    frames = []
    for fold, members in enumerate(names):
        rng = np.random.default_rng(fold)
        labels = np.where(rng.random(20) > 0.4, "b", "a")
        times, events = rng.exponential(100, 20), rng.integers(0, 2, 20).astype(float)
        frames.append(pd.DataFrame({"patient": members, "label": labels, "time_days": times, "event": events}))
    cohort = pd.concat(frames, ignore_index=True).assign(site="")
    cohort["slide_ids"] = [[f"{name}-1"] for name in cohort["patient"]]
    write_cohort(folder / "cohort.parquet", cohort, ["a", "b"])
    paths = [str(folder / f"splits_{fold}.csv") for fold in range(folds)]
    for fold, path in enumerate(paths):
        others = tuple(name for k, members in enumerate(names) if k != fold for name in members)
        write_fold(path, Fold(others, tuple(names[fold])))
    return str(folder / "cohort.parquet"), paths


def tables(folder: Path, *cells: dict[str, Any], titles: dict[str, str] | None = None) -> pd.DataFrame:
    """Everything from predictions to the main tables; returns results.csv."""
    metrics = []
    for number, where in enumerate(cells):
        metrics.append(str(folder / f"metrics{number}.tsv"))
        evaluate([predictions(folder, **where)], *who(folder), metrics[-1], SETTINGS)
    results = folder / "tables" / "results.csv"
    names = str(RESOURCES / "names.tsv")
    make_results(metrics, str(RESOURCES / "published_results.csv"), names, str(results), CONFIG)
    for task in ("subtyping", "survival"):
        stem = str(folder / "tables" / f"main_{task}")
        make_main_table(str(results), names, task, stem, ["majority", "linear"], titles or {}, "test")
    return read_numbers(results, NUMBERS)


def test_metrics_name_where_a_cell_comes_from(tmp_path):
    manifest = predictions(tmp_path)
    evaluate([manifest], *who(tmp_path), str(tmp_path / "metrics.tsv"), SETTINGS)
    cells = read_numbers(tmp_path / "metrics.tsv", NUMBERS)
    assert cells[["protocol", "cohort", "encoder", "method"]].drop_duplicates().to_numpy().tolist() == [
        ["honest", "brca", "phikon", "linear"]
    ]
    assert set(cells["metric"]) == {*SUBTYPING_METRICS, *SURVIVAL_METRICS}
    assert set(cells["predictions"]) == {str(Path(manifest).parent / task) for task in ("subtyping", "survival")}
    assert (cells.dropna(subset="mean")["folds"] == 2).all()
    curveless = cells[cells["metric"].isin(["ibs", "mean_brier", "d_calibration"])]
    assert curveless["mean"].isna().all()
    assert curveless["why_undefined"].str.contains("no survival function").all()
    assert (cells["n"] == 40).all()
    sure = cells[~cells["metric"].isin(DISTANCES)].dropna(subset="mean")
    assert len(sure) == 8
    assert ((sure["ci_low"] <= sure["mean"]) & (sure["mean"] <= sure["ci_high"])).all()
    assert cells.loc[cells["metric"].isin(DISTANCES), "ci_low"].isna().all()
    tau = cells.loc[cells["metric"] == "uno_c", "tau_days"].item().split()
    assert len(tau) == 2
    assert (cells.loc[cells["metric"] == "c_index", "tau_days"] == "").all()


def test_rows_of_encoders_that_saw_the_evaluated_collection_say_so_in_every_table(tmp_path):
    audit, metrics, results = (tmp_path / name for name in ("audit.json", "metrics.tsv", "results.csv"))
    record = {"claims_honest": True, "findings": [], "encoder_saw": {"phikon": "yes"}}
    audit.write_text(json.dumps(record))
    manifests = [predictions(tmp_path), predictions(tmp_path, method="majority")]
    evaluate(manifests, *who(tmp_path), str(metrics), SETTINGS | {"strict": True}, audit=audit)
    cells = read_numbers(metrics, NUMBERS)
    assert set(cells.loc[cells["encoder"] == "phikon", SAW]) == {"yes"}
    assert set(cells.loc[cells["encoder"] == "none", SAW]) == {""}
    names = str(RESOURCES / "names.tsv")
    make_results([str(metrics)], str(RESOURCES / "published_results.csv"), names, str(results), CONFIG)
    rows = read_numbers(results, NUMBERS)
    assert set(rows.loc[rows["encoder"] == "phikon", SAW]) == {"yes"}
    make_main_table(str(results), names, "subtyping", str(tmp_path / "main_subtyping"), ["linear"], {}, "test")
    page = (tmp_path / "main_subtyping.md").read_text()
    said = (
        "Trained on the collection that is evaluated, and so perhaps on these slides, the published columns as well: "
    )
    assert f"{said}encoder phikon." in page


def test_rows_say_which_part_of_split_files_they_are_of(tmp_path):
    cohort, paths = who(tmp_path)
    for path in paths:
        write_fold(path, replace(read_fold(path), choice=("X", "Y")))
    manifest = predictions(tmp_path, protocol="paper")
    evaluate([manifest], cohort, paths, str(tmp_path / "metrics.tsv"), SETTINGS)
    notes = set(read_numbers(tmp_path / "metrics.tsv", NUMBERS)["note"])
    assert all("; evaluated on the column test of the split files, whose val (2, 2 patients" in note for note in notes)


def test_an_adapted_cohort_is_held_against_its_targets_reference_and_stands_in_no_main_table(tmp_path):
    adapted, reference = predictions(tmp_path, cohort="brca--from--demo"), predictions(tmp_path, method="majority")
    metrics = tmp_path / "metrics.tsv"
    settings = SETTINGS | {"reference": "majority"}
    evaluate([adapted], *who(tmp_path), str(metrics), settings, beside=[reference])
    cells = read_numbers(metrics, NUMBERS)
    assert set(cells["cohort"]) == {"brca--from--demo"}
    assert set(cells["method"]) == {"linear"}
    accuracy = cells[cells["metric"] == "accuracy"].iloc[0]
    assert accuracy["reference"] == "majority"
    assert accuracy["difference"] == 0  # the same predictions under two names
    config = settings_compared(resolve(RUN | {"adaptation": {"demo": {"targets": ["brca"]}}}))
    results, names = str(tmp_path / "results.csv"), str(RESOURCES / "names.tsv")
    make_results([str(metrics)], str(RESOURCES / "published_results.csv"), names, results, config)
    make_main_table(results, names, "subtyping", str(tmp_path / "main_subtyping"), ["linear"], {}, "test")
    assert (tmp_path / "main_subtyping.csv").read_text().splitlines() == ["protocol,encoder,method"]


def test_folds_stand_in_their_order_also_beyond_ten(tmp_path):
    evaluate([predictions(tmp_path, folds=11)], *who(tmp_path, 11), str(tmp_path / "metrics.tsv"), SETTINGS)
    by_fold = read_text_sheet(tmp_path / "metrics.tsv").query("metric == 'auroc'")["by_fold"].iloc[0].split()
    alone = []
    for fold in range(11):
        share = np.random.default_rng(fold).random(20)
        alone.append(np.mean(share[share > 0.4][:, None] > share[share <= 0.4][None, :]))
    assert [float(value) for value in by_fold] == [1.0] * 11 == alone
    accuracies = read_text_sheet(tmp_path / "metrics.tsv").query("metric == 'accuracy'")["by_fold"].iloc[0].split()
    expected = [
        np.mean((share > 0.5) == (share > 0.4)) for share in (np.random.default_rng(f).random(20) for f in range(11))
    ]
    assert [float(value) for value in accuracies] == pytest.approx(expected, abs=1e-4)
    assert len(set(accuracies)) > 2


def test_results_join_protocols_and_cohorts_without_a_warning(tmp_path):
    # Under `paper` the notes are filled, under `honest` the column is empty: pandas warns when it guesses types.
    results = tables(tmp_path, {"protocol": "honest"}, {"protocol": "paper"}, {"cohort": "demo", "method": "majority"})
    assert list(results) == COLUMNS
    assert len(results) == 36
    assert set(results["comparable"]) == {"no"}
    assert results["delta"].isna().all()
    assert (results["why_not"] != "").all()
    notes = results.groupby("protocol")["note"].agg(set).to_dict()
    assert notes == {"honest": {""}, "paper": {"2 evaluation units lost with the last batch"}}
    assert not results.duplicated(["protocol", "cohort", "encoder", "setting", "task", "method", "metric"]).any()


def test_published_values_stand_beside_ours_where_there_are_some(tmp_path):
    results = tables(tmp_path, {"protocol": "paper"}, {"cohort": "demo", "method": "majority"})
    real = results[(results["cohort"] == "brca") & (results["metric"] == "accuracy")].iloc[0]
    assert real["published_mean"] > 0.8
    assert "features: made elsewhere (paper: made from slides)" in real["why_not"].split("; ")
    assert "patients evaluated: 40 to 42 (paper: 956)" in real["why_not"].split("; ")
    simulated = results[results["cohort"] == "demo"]
    assert simulated["published_mean"].isna().all()
    assert set(simulated["why_not"]) == {"no published value; simulated cohort"}


def test_main_tables_are_written_three_times_with_readable_names(tmp_path):
    tables(tmp_path, {}, {"cohort": "demo", "method": "majority"}, titles={"demo": "Our demo"})
    sheet = read_text_sheet(tmp_path / "tables" / "main_subtyping.csv")
    assert list(sheet)[3:] == [
        f"{cohort}, all, {metric}" for cohort in ("TCGA-BRCA", "Our demo") for metric in ("Accuracy", "Macro F1")
    ]
    assert sheet["method"].tolist() == ["Majority / Kaplan-Meier", "Linear (mean-pooled slides)"]
    markdown = (tmp_path / "tables" / "main_survival.md").read_text(encoding="utf-8")
    assert markdown.startswith("Survival (MIRROR, Table IV), run test: mean ± standard deviation over folds")
    assert "Macro F1" not in markdown
    caption = (tmp_path / "tables" / "main_subtyping.md").read_text(encoding="utf-8").splitlines()[0]
    assert caption.startswith("Subtyping (MIRROR, Table III), run test: ")
    assert f"Macro F1: {ABSENT_CLASSES}." in caption
    latex = (tmp_path / "tables" / "main_survival.tex").read_text(encoding="utf-8")
    assert r"\label{tab:main_survival}" in latex
    assert r"$\pm$" in latex


def test_an_ordinary_published_value_is_not_called_suspect(tmp_path):
    results = tables(tmp_path, {})
    row = results[(results["metric"] == "accuracy")].iloc[0]
    assert row["suspect"] == ""
    text = (tmp_path / "tables" / "main_subtyping.md").read_text(encoding="utf-8")
    assert "(published 0." in text
    assert ", suspect)" not in text


def test_a_file_that_the_manifest_names_must_be_there(tmp_path):
    manifest = Path(predictions(tmp_path))
    (manifest.parent / "survival" / "fold1.parquet").unlink()
    with pytest.raises(InputError, match=r"fold1\.parquet: gone, though .* names it"):
        evaluate([str(manifest)], *who(tmp_path), str(tmp_path / "metrics.tsv"), SETTINGS)


def audit_record(folder: Path, level: str, *, claims: bool) -> str:
    path = folder / "audit.json"
    path.write_text(json.dumps({"claims_honest": claims, "findings": [{"level": level, "kind": "k", "text": "t"}]}))
    return str(path)


@pytest.mark.parametrize(
    ("level", "claims", "strict", "rows"),
    [("leak", True, True, 0), ("leak", False, True, 12), ("leak", True, False, 12), ("warning", True, True, 12)],
)
def test_numbers_of_a_broken_claim_are_withheld(tmp_path, level, claims, strict, rows):
    record = audit_record(tmp_path, level, claims=claims)
    settings = SETTINGS | {"strict": strict}
    evaluate([predictions(tmp_path)], *who(tmp_path), str(tmp_path / "metrics.tsv"), settings, audit=record)
    assert len(read_text_sheet(tmp_path / "metrics.tsv")) == rows


def test_tables_without_a_row_are_still_tables(tmp_path):
    record = audit_record(tmp_path, "leak", claims=True)
    metrics, results = str(tmp_path / "metrics.tsv"), str(tmp_path / "results.csv")
    evaluate([predictions(tmp_path)], *who(tmp_path), metrics, SETTINGS | {"strict": True}, audit=record)
    names = str(RESOURCES / "names.tsv")
    make_results([metrics], str(RESOURCES / "published_results.csv"), names, results, CONFIG)
    assert list(read_text_sheet(results)) == COLUMNS
    make_main_table(results, names, "survival", str(tmp_path / "main_survival"), ["linear"], {}, "test")
    assert (tmp_path / "main_survival.md").exists()


def test_when_nothing_was_predicted_the_reasons_are_said(tmp_path):
    manifest = tmp_path / "predictions" / "a" / "b" / "c" / "d" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"written": {}, "skipped": {"survival/fold0.parquet": "no event at all"}}))
    with pytest.raises(InputError, match="nothing was predicted that could be evaluated: no event at all"):
        evaluate([str(manifest)], *who(tmp_path), str(tmp_path / "metrics.tsv"), SETTINGS)
    evaluate([str(manifest), predictions(tmp_path)], *who(tmp_path), str(tmp_path / "metrics.tsv"), SETTINGS)
    assert len(read_text_sheet(tmp_path / "metrics.tsv")) == 12


WITHOUT_TORCH = """
import json
import sys
from pathlib import Path

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ImportError(f"{name} is not to be had")

sys.meta_path.insert(0, NoTorch())
from mirrorflow.steps.results.evaluate import evaluate
from mirrorflow.steps.results.main_table import make_main_table
from mirrorflow.steps.results.make_results import make_results
from mirrorflow.steps.results.training_patients import training_counts
asked = json.loads(Path(sys.argv[1]).read_text())
for arguments in asked["evaluate"]:
    evaluate(*arguments)
make_results(*asked["make_results"])
for arguments in asked["make_main_table"]:
    make_main_table(*arguments)
"""


def test_tables_are_made_again_from_the_stored_files_without_torch(tmp_path):
    cells = {"protocol": "honest"}, {"protocol": "paper"}, {"cohort": "demo", "method": "majority"}
    tables(tmp_path, *cells)
    before = {path.name: path.read_bytes() for path in sorted((tmp_path / "tables").iterdir())}
    assert {"results.csv", "main_survival.tex", "main_subtyping.md"} <= set(before)
    manifests = sorted((tmp_path / "predictions").glob("*/*/*/*/manifest.json"))
    cohort, splits = str(tmp_path / "cohort.parquet"), [str(tmp_path / f"splits_{fold}.csv") for fold in range(2)]
    # The order of the run: honest, paper, then the demo.
    order = sorted(manifests, key=lambda path: ("demo" in path.parts, "paper" in path.parts))
    again, names = tmp_path / "again", str(RESOURCES / "names.tsv")
    metrics = [str(again / f"metrics{number}.tsv") for number in range(len(order))]
    results = str(again / "results.csv")
    asked = {
        "evaluate": [
            [[str(path)], cohort, splits, sheet, SETTINGS] for path, sheet in zip(order, metrics, strict=True)
        ],
        "make_results": [metrics, str(RESOURCES / "published_results.csv"), names, results, CONFIG],
        "make_main_table": [
            [results, names, task, str(again / f"main_{task}"), ["majority", "linear"], {}, "test"]
            for task in ("subtyping", "survival")
        ],
    }
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    command = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path / "asked.json")]
    done = subprocess.run(command, check=False, timeout=300, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, content in before.items():
        assert (again / name).read_bytes() == content, name


# Verdicts, from predictions to the table that is read.


def worse_predictions(folder: Path, left_out: int = 0) -> str:
    """Predictions of `majority` whose risks are turned round; the first patients of fold 0 may be left out."""
    manifest = Path(predictions(folder, method="majority", folds=5))
    for path in sorted(manifest.parent.glob("survival/*.parquet")):
        stored = read_predictions(path)
        rows = stored.rows.assign(risk=1 - stored.rows["risk"])
        rows = rows.iloc[left_out if path.stem == "fold0" else 0 :]
        write_predictions(path, rows, stored.notes)
    return str(manifest)


def test_the_primary_comparison_reaches_the_table_that_is_read(tmp_path):
    place = {"protocol": "honest", "cohort": "brca", "encoder": "none", "setting": "all"}
    settings = SETTINGS | {"bootstrap": 200, "reference": "linear"}
    settings["primary"] = {**place, "method": "majority", "metric": "c_index"}
    manifests = [predictions(tmp_path, folds=5), worse_predictions(tmp_path, left_out=3)]
    evaluate(manifests, *who(tmp_path, 5), str(tmp_path / "metrics.tsv"), settings)
    names, results = str(RESOURCES / "names.tsv"), str(tmp_path / "tables" / "results.csv")
    make_results([str(tmp_path / "metrics.tsv")], str(RESOURCES / "published_results.csv"), names, results, CONFIG)
    cells = read_numbers(results, NUMBERS)
    (row,) = cells[(cells["method"] == "majority") & (cells["metric"] == "c_index")].to_dict("records")
    assert row["comparison"] == "primary"
    assert row["p_holm"] == max(row["p_value"], row["p_t_test"])
    assert row["verdict_note"] == "on the 97 of 100 patients that both have"
    assert row["detectable"] == row["detectable_holm"] > 0
    pairs = cells[(cells["method"] == "majority") & (cells["metric"] == "c_index_pairs")]
    assert (pairs["comparison"] == "exploratory").all()
    make_main_table(results, names, "survival", str(tmp_path / "tables" / "main_survival"), ["linear"], {}, "test")
    caption = (tmp_path / "tables" / "main_survival.md").read_text(encoding="utf-8")
    assert "Primary, named before the run and not adjusted: majority against linear" in caption
    assert "All others are exploratory." in caption
    assert f"detectable with 80 % power: C-index {row['detectable']:.2f}" in caption
    assert f", primary: {row['verdict']}" in caption


def test_the_t_test_knows_the_folds_training_patients(tmp_path):
    cohort, paths = who(tmp_path, 5)
    fold = read_fold(Path(paths[0]))
    counts = training_counts(Path(cohort), [Path(path) for path in paths])
    assert counts["subtyping"][0] == len(fold.train) == 80
    assert counts["survival"][0] == 80
