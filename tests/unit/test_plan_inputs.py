"""What rules ask for, without Snakemake: a config, wildcards, paths."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from mirrorflow.config.resolve import resolve
from mirrorflow.plan.cohorts import CohortInputs, SplitInputs
from mirrorflow.plan.figures import FigureInputs
from mirrorflow.plan.genes import GeneInputs
from mirrorflow.plan.models import ModelInputs, PairInputs
from mirrorflow.plan.paths import EmbeddingsRecord, GeneManifest, ModelRecord, PredictionsManifest, SplitFile
from mirrorflow.plan.predictions import AuditInputs, PredictionInputs
from mirrorflow.plan.results import ReportInputs, TableInputs
from mirrorflow.plan.run import Run
from mirrorflow.plan.slides import SlideInputs
from mirrorflow.plan.targets import all_targets
from mirrorflow.plan.wildcards import any_of, growing, has
from rerun_example import EXAMPLE, write_example

HONEST = "patient-site_preserved-fold-train"
PAPER = "slide-published-cohort-none-best"
PAIR = "elsewhere--from--planted"


@pytest.fixture(autouse=True)
def example_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_example(tmp_path)
    monkeypatch.chdir(tmp_path)


def run_of(**changes: Any) -> Run:
    return Run(resolve({**yaml.safe_load(EXAMPLE), **changes}))


def ask(**wildcards: str) -> Any:
    return SimpleNamespace(**wildcards)


def with_own_genes() -> Run:
    return run_of(methods={"linear": {}, "mirror": {}, "mirror--own": {"selection": {"method": "variance"}}})


def test_names_are_told_apart():
    run = run_of()
    assert (run.pretrained, run.supervised, run.baselines) == (
        ["mirror", "tangle"],
        ["survpath", "tta"],
        ["site", "linear", "cox", "clinical"],
    )
    assert run.every_cohort == ["own", "elsewhere", "listed", "planted", PAIR]
    assert run.single_changes == ["change--epoch"]
    assert HONEST in run.scopes
    assert PAPER in run.scopes
    assert run.home_of(PAIR) == "elsewhere"
    assert run.cohort(PAIR) is run.config["cohorts"]["elsewhere"]
    assert (PROTOCOL_PAIR := ("honest", PAIR)) in run.evaluated()
    assert run.evaluated().index(PROTOCOL_PAIR) > run.evaluated().index(("paper", "planted"))


def test_genes_of_a_fold_and_of_every_fold_of_a_job():
    genes, splits = GeneInputs(run_of()), SplitInputs(run_of())
    where = {"scope": HONEST, "cohort": "own", "method": "mirror", "genes": "inner1-"}
    one = GeneManifest.parse(str(genes.fitted(ask(**where, fold="1"))))
    assert (one.fold, one.genes, one.variant) == (1, "inner1-", "")
    assert [GeneManifest.parse(path).fold for path in genes.fitted(ask(**where))] == [0, 1]
    assert [SplitFile.parse(path).inner_fold for path in splits.fitted(ask(**where))] == [1, 1]
    few_shot = ask(**(where | {"genes": "few-shot-"}), fold="0")
    assert SplitFile.parse(str(splits.fitted(few_shot))).inner == ""


def test_a_methods_own_genes_lie_in_a_folder_of_its_name():
    genes = GeneInputs(with_own_genes())
    where = {"protocol": "paper", "cohort": "own", "encoder": "resnet50"}
    own = genes.of_protocol(ask(**where, method="mirror--own"))
    assert {GeneManifest.parse(path).method for path in own} == {"mirror--own"}
    assert {GeneManifest.parse(path).method for path in genes.of_protocol(ask(**where, method="mirror"))} == {""}
    assert {GeneManifest.parse(path).method for path in genes.own(ask(**where))} == {"mirror--own"}


def test_one_choice_on_the_whole_cohort_is_made_once():
    genes = GeneInputs(run_of())
    where = {"cohort": "own", "variant": "", "genes": ""}
    assert genes.first(ask(scope=PAPER, fold="0", **where)) == []
    assert GeneManifest.parse(str(genes.first(ask(scope=PAPER, fold="1", **where)))).fold == 0
    assert genes.first(ask(scope=HONEST, fold="1", **where)) == []


def test_genes_of_k_shot_settings_are_chosen_without_labels():
    genes = GeneInputs(run_of())
    settings = genes.selection_settings(ask(scope=HONEST, cohort="own", variant="", genes="few-shot-"))
    assert settings["method"] == "variance"
    assert "rfe" not in settings
    assert genes.chosen_on(ask(scope=PAPER, genes="few-shot-")) == "fold"
    assert genes.chosen_on(ask(scope=PAPER, genes="")) == "cohort"


def test_a_nested_epoch_asks_for_every_inner_fold():
    run = run_of()
    models, splits = ModelInputs(run), SplitInputs(run)
    where = ask(protocol="honest", cohort="own", encoder="resnet50", method="mirror")
    assert {SplitFile.parse(path).inner_fold for path in splits.inner_of_protocol(where)} == {0, 1}
    assert {EmbeddingsRecord.parse(path).inner_fold for path in models.inner_embeddings(where)} == {0, 1}
    where.protocol = "paper"
    assert splits.inner_of_protocol(where) == models.inner_embeddings(where) == []
    assert {EmbeddingsRecord.parse(path).mode for path in models.embeddings(where)} == {"resampled_dropout"}
    assert {EmbeddingsRecord.parse(path).mode for path in models.frozen(where)} == {"frozen"}


def test_one_job_a_fold_or_one_for_all():
    alone, shared = ModelInputs(run_of()), ModelInputs(run_of(compute={"gpu_share": 2}))
    assert (alone.records(), alone.fold_of_job) == (alone.run.at(ModelRecord), "{fold}")
    assert (len(shared.records()), shared.fold_of_job) == (2, "all")
    assert alone.folds(ask(fold="1")) == [1]
    assert shared.folds(ask()) == [0, 1]


def test_a_pair_takes_the_sources_models_and_the_targets_folds():
    run = run_of()
    models, splits = ModelInputs(run), SplitInputs(run)
    pairs = PairInputs(run, models)
    where = ask(protocol="honest", cohort=PAIR, encoder="resnet50", method="mirror")
    assert {ModelRecord.parse(path).cohort for path in pairs.source_models(where)} == {"planted"}
    assert {SplitFile.parse(path).cohort for path in splits.of_protocol(where)} == {"elsewhere"}
    assert {SplitFile.parse(path).cohort for path in pairs.of_source_splits(where)} == {"planted"}
    assert pairs.of_source_cohort(where) == "results/example/cohort/planted.parquet"
    own = ask(protocol="honest", cohort="own")
    assert pairs.of_source_cohort(own) == pairs.of_source_splits(own) == pairs.of_source_models(own) == []
    assert {ModelRecord.parse(path).seed for path in pairs.source_models(where)} == set(run.config["seeds"])
    of_seed = ask(scope=HONEST, cohort=PAIR, encoder="resnet50", method="mirror", seed="7")
    assert {ModelRecord.parse(path).seed for path in pairs.source_models(of_seed)} == {7}


def test_the_auditor_reads_of_a_pair_what_it_has():
    run = run_of()
    models, splits, genes = ModelInputs(run), SplitInputs(run), GeneInputs(run)
    audit = AuditInputs(run, splits, genes, models, PredictionInputs(run))
    pair, own = ask(protocol="honest", cohort=PAIR), ask(protocol="honest", cohort="own")
    for asked in (audit.support, audit.pretrained, audit.few_shot_genes, audit.inner_splits, audit.inner_genes):
        assert asked(pair) == []
        assert asked(own) != []
    assert audit.summary(pair).startswith(f"results/example/{HONEST}/elsewhere/")
    assert audit.expression(pair) == "store/expression/first/elsewhere.parquet.json"


def test_methods_ask_for_what_they_see():
    predictions, genes = PredictionInputs(run_of()), GeneInputs(run_of())
    where = {"protocol": "honest", "cohort": "own", "encoder": "none"}
    assert predictions.index(ask(**where, method="cox")) != [] or genes.seen(ask(**where, method="cox")) != []
    assert predictions.index(ask(**where, method="clinical")) == genes.seen(ask(**where, method="clinical")) == []
    assert predictions.gene_sets(ask(method="survpath")) == "sets.csv"
    assert genes.seen(ask(**where, method="survpath")) == []  # those of its sets, from the whole matrix
    assert "cohorts" not in predictions.settings(ask(method="survpath"))
    assert predictions.shots(ask(protocol="honest", cohort=PAIR)) == []
    assert predictions.shots(ask(protocol="change--epoch", cohort="own")) == []


def test_slides_that_are_not_kept_make_room():
    slides = SlideInputs(run_of(slides={"shards": 4}))
    assert slides.files(ask(cohort="own", shard="1")) == []
    assert slides.files(ask(cohort="listed", shard="1")) == "store/gdc/listed/shards/1.tsv"
    assert slides.room(ask(cohort="listed", shard="0")) == []
    made = slides.made(ask(cohort="listed", shard="2"))
    assert made == [
        "store/slides/listed/256px-20x/shards/2.tsv",
        "store/features/listed/256px-20x/resnet50/shards/2.tsv",
    ]
    assert slides.made_folders(ask(cohort="listed"))["patches"] == ["store/slides/listed/256px-20x"]


def test_features_made_elsewhere_have_no_shards():
    slides = SlideInputs(run_of())
    assert slides.shard_statuses(ask(cohort="elsewhere", encoder="phikon")) == []
    assert slides.feature_folder(ask(cohort="elsewhere", encoder="phikon")) == "elsewhere/second"
    assert slides.feature_folder(ask(cohort="planted", encoder="phikon")).startswith("store/features/planted/")
    assert not any("elsewhere" in path for path in slides.ledgers())


def test_a_named_encoder_counts_as_the_table_builds_it():
    encoders = {name: {"model": name, "weights": "hub"} for name in ("resnet50", "phikon")}
    own = run_of(features={"encoders": encoders | {"phikon": {"model": "uni", "weights": "hub"}}})
    record = SlideInputs(own).feature_record("planted", "phikon")
    assert record["settings"]["recipe"]["network"] == "vit_large_patch16_224"
    assert "recipe" not in SlideInputs(own).feature_record("planted", "resnet50")["settings"]


def test_a_sheet_of_ones_own_counts_by_its_rows():
    slides = SlideInputs(run_of(slides={"shards": 2}))
    first, second = (slides.rows(ask(cohort="own", shard=shard)) for shard in "01")
    assert first != second
    assert slides.rows(ask(cohort="own")) not in (None, first)
    assert slides.rows(ask(cohort="listed")) is None
    assert CohortInputs(slides.run).patients_of_matrix(ask(cohort="listed")) is None


def test_split_files_are_read_where_the_protocol_says_so():
    splits = SplitInputs(run_of())
    assert splits.files(ask(scope=PAPER, cohort="own")) == ["folds/splits_0.csv", "folds/splits_1.csv"]
    assert splits.files(ask(scope=HONEST, cohort="own")) == []
    assert len(splits.inner()) == 4
    assert splits.inner_settings()["per_class"] == (
        2 if run_of().config["expression"]["selection"]["method"] == "rfe" else 0
    )


def test_our_institutions_are_no_input_but_a_digest():
    changed = yaml.safe_load(EXAMPLE)["cohorts"]
    changed["own"]["institutions"] = "tcga"
    cohorts = CohortInputs(run_of(cohorts=changed))
    assert cohorts.institutions(ask(cohort="own")) == []
    assert len(cohorts.settings(ask(cohort="own"))["table"]) == 16
    assert cohorts.site_kind(ask(cohort="own")) == "institutions"
    assert "table" not in cohorts.settings(ask(cohort="planted"))


def test_figures_and_report():
    run = run_of()
    cohorts, genes, models = CohortInputs(run), GeneInputs(run), ModelInputs(run)
    figures, report = FigureInputs(run, cohorts, genes, models), ReportInputs(run, genes, models)
    drawn = {PredictionsManifest.parse(path).method for path in figures.manifests(ask(cohort="own"))}
    assert {"mirror", "tangle", "cox", "survpath", "clinical"} <= drawn
    assert drawn == set(run.methods), "each predicts a class or a risk"
    surviving = [name for name in run.methods if "survival" in run.config["methods"][name]["tasks"]]
    assert figures.by_task["survival"] == surviving
    assert figures.curves_of(ask(cohort="own")) == run.whole_protocols[0]
    of_splits = [SplitFile.parse(path) for path in figures.splits(ask(cohort="own"))]
    assert {place.scope for place in of_splits} == {HONEST}
    assert [place.fold for place in of_splits] == run.folds
    pair = ask(cohort=PAIR)
    assert figures.flow(pair) == figures.history(pair) == figures.expression(pair) == figures.gene_manifests(pair) == []
    assert {PredictionsManifest.parse(path).cohort for path in figures.manifests(pair)} == {PAIR}
    assert {SplitFile.parse(path).cohort for path in figures.splits(pair)} == {run.home_of(PAIR)}
    assert figures.bands == {"resamples": 500, "seed": 0, "confidence": 0.95}
    assert len(report.figures()) == len(run.every_cohort)
    assert len(report.beside_cohorts()) == 2 * len(run.cohorts)


def test_rule_all_asks_for_tables_audits_and_deletions():
    run = run_of(slides={"shards": 2})
    targets = all_targets(run, SlideInputs(run), TableInputs(run))
    assert len(set(targets)) == len(targets)
    assert {"results/example/report.html", "results/example/tables/main_survival.md"} <= set(targets)
    for ending in ("csv", "md", "tex"):  # a deleted one is made again
        assert {f"results/example/tables/main_{task}.{ending}" for task in ("subtyping", "survival")} <= set(targets)
    assert {f"results/example/audit/honest/{PAIR}.{ending}" for ending in ("passed", "json", "md")} <= set(targets)
    assert [path for path in targets if "dropped" in path] == [
        f"store/gdc/listed/dropped/{shard}.tsv" for shard in (0, 1)
    ]


def test_an_optimism_table_is_made_of_the_base_and_each_change():
    tables = TableInputs(run_of())
    protocols = {PredictionsManifest.parse(path).protocol for path in tables.optimism_manifests()}
    assert protocols == {"honest", "change--epoch", "paper"}
    assert tables.single_changes() == {"epoch": "change--epoch", "all together": "paper"}
    without = TableInputs(run_of(evaluation={}))
    assert without.optimism_manifests() == []


def test_wildcards():
    assert any_of([]) == "no-such-name"
    assert any_of(["a.b", "c"]) == r"a\.b|c"
    assert has(ask(fold="1"), "fold")
    assert not has(ask(), "fold")
    assert growing(10)(ask(), attempt=3) == 30
