"""The whole chain on the tiny cohort: what it leaves and what a change re-runs."""

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from runner import (
    CONFIGS,
    ROOT,
    SECRETS,
    changed_config,
    compare_runs,
    copy_run,
    planned,
    planned_from,
    run,
    started,
    succeed,
)

pytestmark = pytest.mark.workflow
TINY = CONFIGS / "tiny.yaml"
SHARED = ROOT.parent / "shared"

AFTER_PROBE = {"audit", "evaluate", "make_results", "make_tables", "draw_figures", "make_report"}
"""Rules that follow a probe; require_honesty only where the audit's content changed."""


def test_contract_holds(tiny: Path) -> None:
    script = SHARED / "check_contract.py"
    if not script.exists():
        pytest.skip("../shared/check_contract.py is not here")
    said = subprocess.run(
        [sys.executable, str(script), "results/tiny"], cwd=tiny, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout


def test_every_job_says_what_it_used(tiny: Path) -> None:
    results = tiny / "results" / "tiny"
    benchmarks = sorted((results / "benchmarks").rglob("*.tsv"))
    assert len(benchmarks) > 15
    for path in benchmarks:
        record = results / "logs" / path.relative_to(results / "benchmarks").with_suffix(".used.json")
        assert json.loads(record.read_text())["seconds"] < pd.read_csv(path, sep="\t")["s"][0] + 1
    records = sorted((results / "logs").rglob("*.used.json"))
    assert len(records) > 70, "of each job, and of each case of a job"
    for used in map(json.loads, (path.read_text() for path in records)):
        assert used["cpu_seconds"] > 0
        assert 30 < used["peak_mb"] < 4000


def test_the_run_has_few_jobs(tiny: Path, tmp_path: Path) -> None:
    assert planned(tmp_path / "run", TINY).total() <= 25
    assert planned(tmp_path / "run", changed_config(tmp_path, TINY, **{"compute.jobs": "many"})).total() > 65


@pytest.mark.slow
def test_each_case_in_a_job_of_its_own_gives_the_same(tiny: Path, tmp_path: Path) -> None:
    """Behind the same features, as far as the tables."""
    folder = copy_run(tiny, tmp_path / "many")
    shutil.rmtree(folder / "results")
    said = succeed(folder, changed_config(tmp_path, TINY, **{"compute.jobs": "many"}), "make_tables")
    assert planned_from(said)["pretrain_mirror"] > 10
    compare_runs(tiny / "results/tiny", folder / "results/tiny")


def test_nothing_re_runs(tiny: Path) -> None:
    assert planned(tiny, TINY) == {}


def test_waiting_jobs_are_looked_at_when_one_ends_and_not_each_second(tiny: Path, tmp_path: Path) -> None:
    folder = copy_run(tiny, tmp_path / "copy")
    shutil.rmtree(folder / "store/slides")
    config = changed_config(tmp_path, TINY, **{"compute.jobs": "many"})
    done = run(folder, config, "store/slides/tiny/256px-20x/ledger.tsv", "--verbose", cores=1)
    assert done.returncode == 0, done.stdout[-6000:]
    jobs = planned_from(done.stdout)
    assert jobs["patch_slides"] == 2
    assert done.stdout.count("Resources before job selection") == sum(jobs.values())


def test_ledger_names_the_corrupt_and_the_empty_slide(tiny: Path) -> None:
    ledger = pd.read_csv(tiny / "store/slides/tiny/256px-20x/ledger.tsv", sep="\t", keep_default_na=False)
    counts = ledger["status"].value_counts()
    assert counts["failed"] == 1
    assert counts["no_tissue"] == 1
    assert (ledger.loc[ledger["status"] != "ok", "reason"] != "").all()
    sheet = pd.read_csv(tiny / "store/simulated/tiny/slides.tsv", sep="\t")
    assert set(ledger["slide_id"]) == set(sheet["slide_id"])


def test_everyone_dropped_is_named(tiny: Path) -> None:
    dropped = pd.read_csv(tiny / "results/tiny/cohort/tiny.dropped.tsv", sep="\t")
    cohort = pd.read_parquet(tiny / "results/tiny/cohort/tiny.parquet")
    gone = set(dropped.loc[dropped["step"].isin(["slides", "expression"]), "patient"])
    assert gone
    assert not gone & set(cohort["patient"])
    assert dropped["reason"].notna().all()


def test_honest_folds_share_nothing(tiny: Path) -> None:
    audit = json.loads((tiny / "results/tiny/audit/honest/tiny.json").read_text())
    assert audit["leaks"] == 0
    assert not {"sites_in_both", "patients_in_both"} & {finding["kind"] for finding in audit["findings"]}


def test_paper_protocol_is_caught(tiny: Path) -> None:
    audit = json.loads((tiny / "results/tiny/audit/paper/tiny.json").read_text())
    kinds = {finding["kind"] for finding in audit["findings"] if finding["level"] == "leak"}
    assert {"pretraining_epoch", "epoch", "gene_labels", "survival_bins"} <= kinds


def test_k_shot_genes_of_the_honest_protocol_saw_no_label(tiny: Path) -> None:
    results = pd.read_csv(tiny / "results/tiny/tables/results.csv")
    with_rna = results[results["method"].isin(["mirror", "rna-linear", "concat-linear", "cox"])]
    labels = with_rna.groupby(["protocol", "setting"])["gene_labels"].agg(["min", "max"])
    assert labels.loc[("honest", "2-shot"), "max"] == 0
    assert labels.loc[("honest", "all"), "min"] > 0
    assert labels.loc[("paper", "2-shot"), "min"] > 4  # as published: more than the support set has
    assert results.loc[results["method"].isin(["linear", "majority"]), "gene_labels"].isna().all()
    (manifest, *_) = sorted(tiny.glob("results/tiny/patient-*/tiny/genes/few-shot-fold*.tsv"))
    assert set(pd.read_csv(manifest, sep="\t")["reason"]) <= {"variance", "census", "both"}


def test_the_site_alone_stands_in_the_tables_of_folds_that_may_mix_sites(tiny: Path) -> None:
    results = pd.read_csv(tiny / "results/tiny/tables/results.csv")
    site = results[results["method"] == "site"]
    assert set(site["protocol"]) == {"paper"}
    assert set(site["task"]) == {"subtyping", "survival"}
    assert site.loc[site["metric"] == "c_index", "mean"].notna().all()
    assert "Site alone" in (tiny / "results/tiny/tables/main_survival.md").read_text()
    saw = results.fillna("").groupby("encoder")["encoder_saw_evaluation_slides"].unique()
    assert saw["resnet50-random"].tolist() == ["no"]
    assert saw["none"].tolist() == [""]


def test_prototypes_of_tta_are_drawn_of_patients_that_its_fold_did_not_train_on(tiny: Path) -> None:
    results = tiny / "results/tiny"
    folder = results / "prototypes/honest/tiny/resnet50-random/tta"
    record = json.loads((folder / "figures.json").read_text())
    assert record["left_out"] == []
    drawn = {figure["name"]: figure for figure in record["figures"]}
    assert set(drawn) == {
        "prototypes", "tokens", "pathways", "slide_high", "slide_low", "single_softmax", "single_plan",
    }  # fmt: skip
    (splits,) = results.glob("patient-site_preserved-*/tiny/splits/splits_0.csv")
    fold = pd.read_csv(splits, dtype=str)
    for half in ("high", "low"):
        caption = drawn[f"slide_{half}"]["caption"]
        assert "the model of fold 0, seed 42, on evaluation patients of that fold alone" in caption
        assert any(f" of {patient}, nearest to the median risk" in caption for patient in fold["val"].dropna())
        assert not any(f" of {patient}, nearest" in caption for patient in fold["train"].dropna())
        (slide,) = re.findall(r"Slide (\S+) of", caption)
        patches = pd.read_parquet(folder / f"slide_{half}.parquet")
        ledger = pd.read_csv(tiny / "store/slides/tiny/256px-20x/ledger.tsv", sep="\t").set_index("slide_id")
        assert len(patches) == ledger.loc[slide, "patches"]
    assert (folder / "slide_high.svg").read_bytes().count(b"<image") >= 5  # the thumbnail and two maps by two shares
    assert "Prototypes of TTA" in (results / "report.html").read_text()


def test_every_method_with_risks_has_curves(tiny: Path) -> None:
    record = json.loads((tiny / "results/tiny/figures/tiny/figures.json").read_text())
    drawn = {figure["name"]: figure for figure in record["figures"] if figure["kind"] == "survival_curves"}
    left_out = {one["name"] for one in record["left_out"] if one["kind"] == "survival_curves"}
    assert {"survival_honest_resnet50-random_tta", "survival_honest_none_clinical"} <= set(drawn)
    assert left_out == {f"survival_{protocol}_none_majority" for protocol in ("honest", "paper")}
    assert not any("log-rank" in figure["alt"] + figure["caption"] for figure in drawn.values())
    groups = pd.read_csv(tiny / "results/tiny/figures/tiny/survival_honest_resnet50-random_tta.csv")
    assert set(groups["group"]) == {"high", "low"}
    for _, fold in groups.groupby("fold"):
        assert abs((fold["group"] == "high").sum() - len(fold) / 2) <= 1


def test_curves_are_drawn_of_every_method(tiny: Path) -> None:
    folder = tiny / "results/tiny/figures/tiny"
    record = json.loads((folder / "figures.json").read_text())
    predicted = {
        (path.parent.name, path.parent.parent.name.split("/")[-1], path.parents[3].name, task)
        for path in (tiny / "results/tiny/predictions").glob("honest/tiny/*/*/manifest.json")
        for task in {name.split("/")[0] for name in json.loads(path.read_text())["written"]}
    }
    names = {"subtyping": "classification", "survival": "over_time"}
    wanted = {f"{names[task]}_{protocol}_{encoder}_{method}" for method, encoder, protocol, task in predicted}
    seen = {one["name"] for one in [*record["figures"], *record["left_out"]] if one["kind"] in names.values()}
    assert seen == wanted
    assert {one["name"] for one in record["left_out"] if one["kind"] == "classification"} == set()
    counts = pd.read_csv(folder / "classification_honest_resnet50-random_abmil.csv")
    assert set(counts["curve"]) == {"roc", "precision", "confusion", "reliability"}
    assert counts.loc[counts["curve"] != "confusion", "mean"].between(0, 1).all()


def test_selected_genes_are_drawn_by_subtype(tiny: Path) -> None:
    figures = json.loads((tiny / "results/tiny/figures/tiny/figures.json").read_text())
    drawn = [figure for figure in figures["figures"] if figure["kind"] == "genes"]
    assert len(drawn) == 2  # one a model scope
    assert all("census genes" in figure["caption"] for figure in drawn)


def test_results_say_they_cannot_be_compared(tiny: Path) -> None:
    results = pd.read_csv(tiny / "results/tiny/tables/results.csv")
    assert (results["comparable"] == "no").all()
    assert results["delta"].isna().all()
    assert results["why_not"].str.contains("simulated cohort").all()


@pytest.mark.parametrize(
    ("key", "value", "expected", "untouched"),
    [
        (
            "probe.learning_rate",
            0.01,
            {"probe_mirror"},
            {"pretrain_mirror", "embed", "fit_baseline", "select_genes", "extract_features", "patch_slides"},
        ),
        (
            "pretrain.epochs",
            5,
            {"pretrain_mirror", "embed", "probe_mirror"},
            {"select_genes", "fit_baseline", "extract_features", "patch_slides", "make_splits"},
        ),
        ("evaluation.bootstrap", 60, {"evaluate"}, {"probe_mirror", "fit_baseline", "audit", "pretrain_mirror"}),
        (
            "methods.linear.C",
            1.0,
            {"fit_baseline"},
            {"probe_mirror", "pretrain_mirror", "select_genes", "train_supervised"},
        ),
        ("methods.abmil.train.epochs", 3, {"train_supervised"}, {"probe_mirror", "fit_baseline", "select_genes"}),
        (
            "expression.selection.rfe.C",
            0.5,
            {"select_genes", "pretrain_mirror", "fit_baseline", "train_supervised"},
            {"extract_features", "patch_slides", "make_splits", "convert_expression"},
        ),
    ],
)
def test_a_change_re_runs_what_depends_on_it(
    tiny: Path, tmp_path: Path, key: str, value: object, expected: set[str], untouched: set[str]
) -> None:
    config = changed_config(tmp_path, TINY, **{key: value})
    jobs = planned(tiny, config)
    assert expected <= set(jobs)
    assert not untouched & set(jobs)


def test_report_is_self_contained(tiny: Path) -> None:
    page = (tiny / "results/tiny/report.html").read_text()
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?:", page)
    assert "simulated" in page.lower()


def test_no_file_of_a_run_names_a_secret(tiny: Path) -> None:
    """Logs, report, records and Snakemake's own notes: secrets stay in the environment."""
    sentinels = [value.encode() for value in SECRETS.values()]
    files = [path for path in tiny.rglob("*") if path.is_file()]
    assert len(files) > 100
    assert [path for path in files if any(sentinel in path.read_bytes() for sentinel in sentinels)] == []


def test_tables_can_be_made_again_from_predictions_alone(tiny: Path, tmp_path: Path) -> None:
    copy = copy_run(tiny, tmp_path / "copy")
    shutil.rmtree(copy / "results/tiny/tables")
    shutil.rmtree(copy / "results/tiny/metrics")
    before = (tiny / "results/tiny/tables/results.csv").read_text()
    jobs = planned_from(succeed(copy, TINY, "results/tiny/tables/results.csv"))
    assert jobs == {"evaluate": 1, "make_results": 1}  # nothing is pretrained, fitted or predicted
    assert (copy / "results/tiny/tables/results.csv").read_text() == before


def test_an_optimism_table_asks_for_a_protocol_a_single_change(tmp_path: Path) -> None:
    config = changed_config(tmp_path, TINY, **{"evaluation.optimism": {"changes": ["epoch", "gene_selection"]}})
    jobs = started(tmp_path, TINY, config)
    assert jobs["make_optimism"] == 1
    assert jobs["audit"] == jobs["evaluate"] == 2
    assert jobs["select_genes"] == 2  # one new model scope, two folds; single-setting changes have no k-shot settings
    assert jobs["make_splits"] == 1


@pytest.fixture(scope="module")
def on_request(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counter[str]]:
    """Results with the tables that are made on request alone, and the jobs that it took."""
    folder = copy_run(tiny, tmp_path_factory.mktemp("on-request") / "tiny")
    jobs = planned_from(succeed(folder, TINY, "make_sensitivity", "make_training_folds"))
    return folder / "results/tiny", jobs


def test_sensitivity_on_request(on_request: tuple[Path, Counter[str]]) -> None:
    results, jobs = on_request
    assert jobs["probe_sensitivity"] == 4  # two methods, two protocols
    table = pd.read_csv(results / "tables/sensitivity.csv")
    assert set(table["method"]) == {"mirror", "tangle"}
    assert set(table["protocol"]) == {"honest", "paper"}
    assert (table["mean"] > 0).all()
    assert set(table["comparable"]) == {"no"}
    units = pd.read_csv(next((results / "sensitivity/honest").rglob("mirror.tsv")), sep="\t")
    assert units["fold"].nunique() == 2
    assert units["unit"].is_unique, "site-preserved folds evaluate every unit once"


def test_training_folds_on_request(on_request: tuple[Path, Counter[str]]) -> None:
    folder, jobs = on_request
    asked = {"probe_sensitivity", "make_sensitivity", "score_training_folds", "make_training_folds"}
    assert set(jobs) == asked, "nothing of the run itself is done again"
    assert (jobs["score_training_folds"], jobs["make_training_folds"]) == (4, 1)  # two methods, two protocols
    table = pd.read_csv(folder / "tables/training_folds.csv")
    where = ["protocol", "cohort", "encoder", "method", "metric"]
    parts = {part: rows.set_index(where)["mean"] for part, rows in table.groupby("part")}
    assert set(parts) == {"training", "evaluation"}
    results = pd.read_csv(folder / "tables/results.csv").query("setting == 'all' and task == 'survival'")
    of_the_run = results.set_index(where)["mean"].loc[parts["evaluation"].index]
    pd.testing.assert_series_equal(parts["evaluation"], of_the_run, rtol=1e-9)
    assert len(of_the_run) == len(parts["training"]) == 2 * 2 * 3
    assert parts["training"].notna().all()
    text = (folder / "tables/training_folds.md").read_text()
    assert text.startswith("NO EVALUATION")


OTHER = {"preset": "honest", "survival_bins": "cohort", "claims_honest": False}
"""A protocol on the model scope of `honest`."""


def test_a_nested_epoch_asks_for_inner_folds_of_its_own_and_nothing_else_does(tmp_path: Path) -> None:
    settings = {"splits.inner_folds": 2, "protocols.other": OTHER}
    jobs = started(tmp_path, TINY, changed_config(tmp_path, TINY, **settings))
    assert not {"make_inner_splits", "pretrain_mirror", "select_genes"} & set(jobs)
    nested = settings | {"protocols.other": OTHER | {"epoch": "nested"}}
    jobs = started(tmp_path, TINY, changed_config(tmp_path, TINY, **nested))
    assert jobs["make_inner_splits"] == 1
    assert jobs["select_genes"] == 4  # two folds, two inner folds
    assert jobs["pretrain_mirror"] == 2 * 4  # mirror and tangle; none for the k-shot settings
    assert jobs["embed"] == 2 * 2
    assert (jobs["probe_mirror"], jobs["train_supervised"], jobs["audit"]) == (2, 5, 1)
    assert not {"make_splits", "draw_support", "extract_features"} & set(jobs)


def test_inner_folds_of_a_seed_share_a_gpu_as_the_folds_do(tmp_path: Path) -> None:
    settings = {"splits.inner_folds": 2, "compute.gpu_share": 2, "compute.jobs": "many"}
    last, nested = (
        planned(tmp_path, changed_config(tmp_path, TINY, **settings, **{"protocols.other": OTHER | {"epoch": epoch}}))
        for epoch in ("last", "nested")
    )
    assert nested["pretrain_mirror"] - last["pretrain_mirror"] == 2 * 2  # an inner fold of both folds is one job


def test_a_method_with_genes_of_its_own_has_them_chosen_apart(tmp_path: Path) -> None:
    own = {"selection": {"method": "variance", "n_genes": 20}}
    jobs = started(tmp_path, TINY, changed_config(tmp_path, TINY, **{"methods.mirror--genes-few": own}))
    assert (
        jobs["select_genes"] == jobs["pretrain_mirror"] == 4
    )  # two model scopes, two folds; k-shot settings share them
    assert jobs["embed"] == jobs["probe_mirror"] == 2
    assert not {"fit_baseline", "train_supervised", "make_splits", "draw_support"} & set(jobs)
    somewhere = {"selection": own["selection"], "encoders": ["resnet50-random"], "cohorts": ["tiny"]}
    jobs = started(tmp_path, TINY, changed_config(tmp_path, TINY, **{"methods.concat-linear--genes-few": somewhere}))
    assert (jobs["select_genes"], jobs["fit_baseline"], jobs["pretrain_mirror"]) == (4, 2, 0)


@pytest.mark.slow
def test_every_method_with_patches_is_explained_on_request(tiny: Path, tmp_path: Path) -> None:
    """The target `explained` alone: pretrained heads, networks with RNA, plans, a network without weights."""
    folder = copy_run(tiny, tmp_path / "copy")
    genes = {"patients": 2, "samples": 1, "nulls": 1}
    config = changed_config(tmp_path, TINY, explain={"most": 1, "genes": genes})
    succeed(folder, config, "explained")
    results = folder / "results/tiny"
    for method in ("mirror", "tangle", "survpath", "tta", "mmp"):
        record = json.loads((results / f"attributions/honest/tiny/resnet50-random/{method}/figures.json").read_text())
        assert not record["left_out"], method
    gap = pd.read_csv(results / "tables/modality_gap.csv", dtype={"fold": str}).fillna({"fold": ""})
    assert set(gap["fold"]) == {"", "0", "1"}
    assert gap.loc[gap["measure"] == "less than TANGLE's", "method"].unique().tolist() == ["mirror"]
    for method in ("mirror", "tangle", "abmil", "survpath", "tta", "mmp"):
        found = folder / "results/tiny/explained/honest/tiny/resnet50-random" / method
        record = json.loads((found / "figures.json").read_text())
        assert not record["left_out"], method
        assert len(record["figures"]) >= 3, method
