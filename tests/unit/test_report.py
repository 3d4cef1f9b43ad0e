"""The report: from a small run on disk to one page that is whole, safe, honest and always the same."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from mirrorflow.cohorts.patients import to_units
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.protocols import scope_of
from mirrorflow.config.resolve import resolve
from mirrorflow.report.blocks import Cell, Section, Table, Text, plain
from mirrorflow.report.genes import mean_jaccard, stability_text
from mirrorflow.report.head import has_random_weights, notices
from mirrorflow.report.main_tables import clearly_best
from mirrorflow.report.page import Page, build_page
from mirrorflow.report.protocols import protocols_section
from mirrorflow.report.retrieval import retrieval_section
from mirrorflow.report.running import cost_section
from mirrorflow.report.slides import failures_first, slides_to_show
from mirrorflow.runtime.files import write_text
from mirrorflow.steps.audit.audit import AuditFiles, AuditSettings, run_audit
from mirrorflow.steps.results.draw_figures import Inputs as FigureFiles
from mirrorflow.steps.results.draw_figures import LeftOut, draw_figures
from mirrorflow.steps.results.draw_figures import Params as FigureParams
from mirrorflow.steps.results.evaluate import evaluate
from mirrorflow.steps.results.job_costs import read_benchmarks
from mirrorflow.steps.results.main_table import make_main_table
from mirrorflow.steps.results.make_report import make_report
from mirrorflow.steps.results.make_results import make_results
from mirrorflow.steps.results.report_files import Inputs as ReportFiles
from mirrorflow.steps.results.report_inputs import PICTURE_BYTES, git_commit, read_ledgers
from mirrorflow.store.predictions import subtype_rows, survival_rows, write_predictions
from mirrorflow.store.tables import write_cohort, write_fold, write_sheet
from mirrorflow.tables.compared import settings_compared
from mirrorflow.training.retrieval import retrieval_report

EVIL = "<script>alert('slide')</script>"
CLASSES = ["luma", "lumb", "basal"]
FOLDS = 3
JPEG = b"\xff\xd8\xff\xe0 not much of a picture \xff\xd9"
ROOT = Path(__file__).parents[2]


def raw_config() -> dict[str, Any]:
    return {
        "run": "small",
        "cohorts": {
            "demo": {
                "title": "Demo & <i>friends</i>",
                "simulated": True,
                "slides": {"sheet": "slides.tsv"},
                "clinical": {"sheet": "patients.tsv"},
                "expression": "sim",
                "encoders": ["resnet50-random"],
                "splits": {"published": "splits"},
            }
        },
        "features": {"encoders": {"resnet50-random": {"model": "resnet50", "weights": "random"}}},
        "expression": {"sources": {"sim": {"matrix": "rna.tsv"}}},
        "protocols": {"honest": {"splits": "random"}, "paper": {}},
        "methods": {"majority": {}, "cox": {}, "mirror": {}},
        "splits": {"folds": FOLDS},
        "evaluation": {"shots": [3], "bootstrap": 20},
    }


class SmallRun:
    """A finished run on disk, every file written the way the chain writes it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, resolve(raw_config())
        self.results, self.store = folder / "results" / "small", folder / "store"
        self.rng = np.random.default_rng(1)
        self.frame = self.patients(36)
        self.cohort = self.results / "cohort" / "demo.parquet"
        write_cohort(self.cohort, self.frame, CLASSES)
        self.write_flow()
        self.audits, self.summaries, self.genes, self.models = [], [], [], []
        for name in self.config["protocols"]:
            self.write_protocol(name)
        self.ledger = self.write_ledger()
        self.write_benchmarks()
        self.tables()
        self.drawn = self.figures()

    def patients(self, count: int) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "patient": [f"TCGA-0{i % 4}-{i:04d}" for i in range(count)],
                "label": [CLASSES[i // 3 % 3] for i in range(count)],
                "time_days": self.rng.exponential(1200, count) + 20,
                "event": (self.rng.random(count) < 0.6).astype(float),
                "site": [f"0{i % 4}" for i in range(count)],
                "slide_ids": [[f"S{i}"] if i % 5 else [f"S{i}", f"S{i}b"] for i in range(count)],
            }
        )

    def write_flow(self) -> None:
        steps = {"step": ["patients in the sheet", "with slides"], "patients": [38, 36], "slides": [46, 44]}
        write_sheet(self.results / "cohort" / "demo.flow.tsv", pd.DataFrame(steps))
        dropped = [("slides", f"P{EVIL}", "", "no slide with features"), ("features", "P2", EVIL, f"failed: {EVIL}")]
        columns = ["step", "patient", "slide_id", "reason"]
        write_sheet(self.results / "cohort" / "demo.dropped.tsv", pd.DataFrame(dropped, columns=columns))

    def write_protocol(self, name: str) -> None:
        protocol = self.config["protocols"][name]
        scope = self.results / scope_of(protocol) / "demo"
        folds = self.write_folds(scope)
        genes = [self.write_genes(scope, k, leaky=name == "paper") for k in range(FOLDS)]
        manifests = [self.write_method(name, method, folds) for method in self.config["methods"]]
        self.write_models(scope)
        stem = str(self.results / "audit" / name / "demo")
        splits = [str(scope / "splits" / f"splits_{k}.csv") for k in range(FOLDS)]
        settings = AuditSettings(protocol, [3], name, scaled_upstream=False)
        run_audit(AuditFiles(self.cohort, splits, genes, manifests), settings, stem)
        self.audits.append(Path(f"{stem}.json"))
        self.genes += map(Path, genes)
        metrics = str(self.results / "metrics" / name / "demo.tsv")
        evaluate(manifests, self.cohort, splits, metrics, {"bootstrap": 20, "confidence": 0.95, "seed": 0})

    def write_folds(self, scope: Path) -> list[Fold]:
        all_units = self.frame["patient"].tolist()
        folds = []
        for k in range(FOLDS):
            val = all_units[k::FOLDS]
            folds.append(Fold(tuple(p for p in all_units if p not in val), tuple(val)))
            write_fold(scope / "splits" / f"splits_{k}.csv", folds[-1])
        summary = pd.DataFrame({"fold": range(FOLDS), "train": 24, "val": 12, "train_luma": 8, "val_events": 7})
        write_sheet(scope / "splits" / "summary.tsv", summary)
        self.summaries.append(scope / "splits" / "summary.tsv")
        return folds

    def write_genes(self, scope: Path, fold: int, *, leaky: bool) -> str:
        path = scope / "genes" / f"fold{fold}.tsv"
        ids = [f"ENST{i}" for i in range(fold, fold + 8)]
        write_sheet(path, pd.DataFrame({"id": ids, "gene": ids, "reason": ["rfe"] * 6 + ["census"] * 2, "rank": 1}))
        seen = self.frame["patient"].tolist() if leaky else []
        record = {
            "label_patients": seen,
            "outcome_patients": [],
            "genes": 8,
            "genes_by_reason": {"rfe": 6, "census": 2},
        }
        write_text(path.with_suffix(".json"), json.dumps(record))
        return str(path)

    def write_method(self, protocol: str, method: str, folds: list[Fold]) -> str:
        encoder = "none" if method == "majority" else "resnet50-random"
        folder = self.results / "predictions" / protocol / "demo" / encoder / method
        written = {}
        for task in self.config["methods"][method]["tasks"]:
            for k, fold in enumerate(folds):
                self.write_fold_predictions(folder / task / f"fold{k}.parquet", protocol, method, task, k, fold)
                written[f"{task}/fold{k}.parquet"] = "digest"
        write_text(folder / "manifest.json", json.dumps({"written": written, "skipped": {}}))
        return str(folder / "manifest.json")

    def write_fold_predictions(self, path: Path, protocol: str, method: str, task: str, k: int, fold: Fold) -> None:
        units = to_units(self.frame, self.config["protocols"][protocol]["unit"])
        units = units[units["patient"].isin(fold.val)].reset_index(drop=True)
        skill = 0.0 if method == "majority" else 1.0
        parts, notes = [], []
        for setting in ("all", "3-shot"):
            rows = self.rows(units, task, skill)
            rows.insert(0, "setting", setting)
            rows.insert(1, "seed", 42)
            rows.insert(2, "fold", k)
            parts.append(rows)
            notes.append({"setting": setting, "k_real": None, "lost_units": []})
        write_predictions(path, pd.concat(parts, ignore_index=True), {"classes": CLASSES, "settings": notes})

    def rows(self, units: pd.DataFrame, task: str, skill: float) -> pd.DataFrame:
        if task == "survival":
            noise = self.rng.normal(0, 400, len(units))
            return survival_rows(units, skill * (noise - units["time_days"].to_numpy(float)), None)
        truth = np.eye(3)[[CLASSES.index(label) for label in units["label"]]]
        return subtype_rows(units, 0.3 + skill * (truth + 2.0 * self.rng.random(truth.shape)), CLASSES)

    def write_models(self, scope: Path) -> None:
        for k in range(FOLDS):
            folder = scope / "models" / "resnet50-random" / "mirror" / "seed42" / f"fold{k}"
            epoch = np.arange(1.0, 6.0)
            terms = ("total", "alignment", "slide_retention", "rna_retention", "style", "cluster", "tau", "seconds")
            history = {name: (1 + i + k / 3) / epoch for i, name in enumerate(terms)}
            write_sheet(folder / "history.csv", pd.DataFrame({"epoch": epoch} | history))
            write_text(folder / "done.json", "{}")
            names = ["a", "b", "c", "c"]
            aligned = np.eye(4) + k
            write_text(folder / "retrieval.json", json.dumps(retrieval_report(aligned, aligned, names)))
            self.models.append(folder / "done.json")

    def write_ledger(self) -> Path:
        folder = self.store / "slides" / "demo" / "256px-20x"
        slides = [slide for slides in self.frame["slide_ids"] for slide in slides]
        columns = ["slide_id", "patient", "status", "reason", "mpp", "patches", "seconds"]
        rows = [(slide, "P", "ok", "", "0.252699999", "40", "1.5") for slide in slides]
        rows += [(f"evil{EVIL}", "P", "failed", f"not a slide: {EVIL}", "", "", "0.1")]
        rows += [("blank", "P", "no_tissue", "no tissue found", "0.5", "0", "0.3")]
        write_sheet(folder / "ledger.tsv", pd.DataFrame(rows, columns=columns))
        for slide in [*slides, "blank"]:
            (folder / "overlays").mkdir(parents=True, exist_ok=True)
            (folder / "overlays" / f"{slide}.jpg").write_bytes(JPEG)
        (folder / "contact_sheet.jpg").write_bytes(JPEG)
        return folder / "ledger.tsv"

    def write_benchmarks(self) -> None:
        line = pd.DataFrame({"s": [12.5], "max_rss": [300.0], "cpu_time": ["-"]})
        write_sheet(self.results / "benchmarks" / "patch_slides" / "demo" / "0.tsv", line)
        write_sheet(self.results / "benchmarks" / "make_results.tsv", line.assign(cpu_time=2.5))
        write_sheet(self.results / "benchmarks" / "make_report.tsv", line.assign(s=999.0))
        used = self.results / "logs" / "make_results.used.json"
        used.parent.mkdir(parents=True, exist_ok=True)
        used.write_text('{"seconds": 12.1, "cpu_seconds": 43.25, "peak_mb": 391.2}\n')

    def tables(self) -> None:
        self.table, names = self.results / "tables" / "results.csv", str(ROOT / "resources" / "names.tsv")
        metrics = [str(self.results / "metrics" / name / "demo.tsv") for name in self.config["protocols"]]
        published, settings = str(ROOT / "resources" / "published_results.csv"), settings_compared(self.config)
        make_results(metrics, published, names, self.table, settings)
        for task in ("subtyping", "survival"):
            stem = str(self.results / "tables" / f"main_{task}")
            make_main_table(self.table, names, task, stem, list(self.config["methods"]), {}, "small")

    def figures(self) -> list[Any]:
        self.figure_folder = self.results / "figures" / "demo"
        scope = scope_of(self.config["protocols"]["honest"])
        files = FigureFiles(
            results=self.table,
            cohort=self.cohort,
            manifests=sorted(self.results.glob("predictions/*/demo/*/*/manifest.json")),
            splits=sorted((self.results / scope / "demo" / "splits").glob("splits_*.csv")),
            flow=self.results / "cohort" / "demo.flow.tsv",
            models=self.models,
        )
        methods = list(self.config["methods"])
        params = FigureParams(
            cohort="demo",
            methods=methods,
            rna_clip=None,
            by_task={
                task: [name for name, entry in self.config["methods"].items() if task in entry["tasks"]]
                for task in ("subtyping", "survival")
            },
            curves_of="honest",
            bands={"resamples": 50, "seed": 0, "confidence": 0.95},
        )
        return draw_figures(files, ROOT / "resources" / "names.tsv", self.figure_folder, params)

    def report(self, name: str = "report.html") -> str:
        files = ReportFiles(
            results=self.table,
            main_tables=[self.results / "tables" / f"main_{task}.csv" for task in ("subtyping", "survival")],
            audits=self.audits,
            cohorts=[self.cohort],
            summaries=self.summaries,
            genes=self.genes,
            ledgers=[self.ledger],
            figures=[self.figure_folder],
            models=self.models,
        )
        destination, benchmarks = self.results / name, self.results / "benchmarks"
        make_report(files, destination, self.config, configfiles=["config/my config.yaml"], benchmarks=benchmarks)
        return destination.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    return SmallRun(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run: SmallRun) -> str:
    return run.report()


class Reader(HTMLParser):
    """Collects what a browser would see: tags with attributes, text by element, and whether tags nest."""

    VOID = frozenset({"meta", "img", "input", "br", "link"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and data.strip():
            self.texts.setdefault(self.stack[-1], []).append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_page_is_whole(page: str) -> None:
    reader = Reader(page)
    assert reader.stack == []
    assert page.lstrip().startswith("<!DOCTYPE html>")
    addresses = {str(attributes["href"]) for attributes in reader.all("a")}
    anchors = {one for one in addresses if one.startswith("#") and one != "#content"}
    ids = {f"#{attributes['id']}" for attributes in reader.all("section")}
    assert anchors == ids
    assert {"#tables", "#protocols", "#audits", "#cohorts", "#folds", "#slides", "#genes", "#training"} <= ids
    assert {"#survival", "#forest", "#results", "#reproduce", "#cost"} <= ids
    assert {"#glance", "#ranks", "#expression", "#retrieval", "#classification", "#over-time"} <= ids
    chapters = re.findall(r'<section id="([a-z]+)" class="chapter"', page)
    assert chapters == ["summary", "seen", "curves", "signatures", "numbers", "people", "rules", "provenance"]
    every_id = [attributes["id"] for _, attributes in reader.tags if attributes.get("id")]
    assert len(every_id) == len(set(every_id))


def test_page_loads_nothing(page: str) -> None:
    reader = Reader(page)
    assert not reader.all("link")
    assert not [attributes for attributes in reader.all("script") if attributes]
    assert all((attributes["src"] or "").startswith("data:image/") for attributes in reader.all("img"))
    assert "url(" not in page
    assert "@import" not in page
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", page))
    assert addresses == set()


def test_markup_in_names_is_text(page: str) -> None:
    assert EVIL not in page
    assert "&lt;script&gt;alert(" in page
    reader = Reader(page)
    assert len(reader.all("script")) == 1
    assert "Demo &amp; &lt;i&gt;friends&lt;/i&gt;" in page


def test_every_table_and_figure_has_a_caption_with_its_rule(page: str) -> None:
    captions = re.findall(r"<figure class=\"table\">\s*<figcaption>(.*?)</figcaption>", page, re.DOTALL)
    assert len(captions) == page.count("<table")
    assert [text for text in captions if "ule" not in text] == []
    assert [text for text in captions if "protocol" not in text.lower()] == []
    drawn = page.count('src="data:image/svg+xml')
    assert drawn > 0
    assert page.count("Rule draw_figures.</figcaption>") == drawn
    reader = Reader(page)
    assert all(attributes.get("alt") for attributes in reader.all("img"))


def test_head_says_that_nothing_is_a_finding(page: str) -> None:
    head = page[: page.index("<main")]
    assert "Simulated data (cohort demo) and random weights (encoder resnet50-random): nothing here is a" in head
    assert "comparable = no" in head
    assert "Protocol paper lets evaluation data" in head


def test_main_tables_show_the_cells_of_the_csv(run: SmallRun, page: str) -> None:
    results = pd.read_csv(run.table)
    cell = results.query("method == 'cox' and protocol == 'honest' and setting == 'all' and metric == 'c_index'")
    text = f"{cell['mean'].iloc[0]:.3f} ± {cell['sd'].iloc[0]:.3f}"
    interval = f"[{cell['ci_low'].iloc[0]:.3f}, {cell['ci_high'].iloc[0]:.3f}]"
    assert text in page
    assert interval in page
    assert "Ridge Cox (slides + RNA)" in page


def test_failing_slides_come_first_with_their_reason(page: str) -> None:
    slides = page[page.index('<section id="slides"') : page.index('<section id="rules"')]
    first = slides.index("not a slide: &lt;script&gt;")
    assert first < slides.index("no tissue found") < slides.index(">S1<")
    assert "no picture of this slide" in slides


def test_genes_and_audits_are_counted(page: str) -> None:
    # folds share 7, 7 and 6 of 8 genes: 7/9, 7/9 and 6/10
    assert f"mean Jaccard index: {(7 / 9 + 7 / 9 + 6 / 10) / 3:.2f}" in page
    assert "reason rfe" in page
    assert "6 of 8 genes were chosen with the subtype labels of 36 patients, 12 evaluation patients among them" in page
    assert "Labels that chose the genes of setting all, by fold: 36, 36, 36." in page
    assert "No outcome was used to choose genes." in page
    assert '<span class="badge leak">leak</span>' in page


def test_retrieval_stands_beside_chance(page: str) -> None:
    start = page.index("Was alignment learned?</h3>")
    text = re.sub(r"<[^>]+>", " ", page[start : page.index("</section>", start)])
    assert "gallery is every unit left out" in text
    # Two of four units share a patient: chance (1 + 1 + 2 + 2) / 16.
    assert "0.375" in text


def test_models_without_newer_values_leave_their_cells_empty() -> None:
    row = {"cohort": "a", "encoder": "b", "method": "mirror", "scope": "c", "gallery": 9.0, "modality_gap": 2.0}
    table = retrieval_section(pd.DataFrame([row])).blocks[0]
    assert [cell.text for cell in table.rows[0]][-2:] == ["2", ""]


def test_reproduce_and_cost(page: str) -> None:
    assert "snakemake --cores 8 --resources gpu=1 --configfile &#39;config/my config.yaml&#39;" in page
    config = re.search(r"<pre tabindex=\"0\">(run: small.*?)</pre>", page, re.DOTALL)
    assert config is not None
    assert yaml.safe_load(config[1].replace("&amp;", "&"))["probe"]["epochs"] == 100
    cost = page[page.index('<section id="cost"') :]
    assert "patch_slides" in cost
    assert "12.5" in cost
    assert "999" not in cost


def test_two_pages_are_equal(run: SmallRun, page: str) -> None:
    assert run.report("again.html") == page


def test_figures_of_a_cohort(run: SmallRun) -> None:
    names = {entry.name for entry in run.drawn if not isinstance(entry, LeftOut)}
    assert {"cohort_flow", "forest_subtyping", "forest_survival"} <= names
    assert {"survival_honest_resnet50-random_cox", "survival_paper_resnet50-random_mirror"} <= names
    assert len([name for name in names if name.startswith("training_")]) == 2
    pictures = [name for name in names if not name.startswith(("classification", "over_time"))]
    assert all((Path(run.figure_folder) / f"{name}.svg").exists() for name in names)
    assert all((Path(run.figure_folder) / f"{name}.png").exists() for name in pictures)
    assert {name.split("_")[1] for name in names - set(pictures)} | {"time"} == {"honest", "time"}


def test_figure_without_two_groups_is_left_out_with_the_reason(run: SmallRun, page: str) -> None:
    left_out = [entry for entry in run.drawn if isinstance(entry, LeftOut)]
    assert {entry.name for entry in left_out} == {"survival_honest_none_majority", "survival_paper_none_majority"}
    assert "majority gives all units the same risk" in page


def test_risk_groups_of_slides_count_patients(run: SmallRun) -> None:
    caption = next(entry.caption for entry in run.drawn if entry.name == "survival_paper_resnet50-random_cox")
    assert "n = 36 patients" in caption
    assert "protocol paper" in caption


def test_a_finished_figure_is_the_same_again(run: SmallRun) -> None:
    path = Path(run.figure_folder) / "forest_survival.svg"
    before = path.read_bytes()
    run.figures()
    assert path.read_bytes() == before


def test_thumbnails_stay_within_the_budget(run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mirrorflow.steps.results.report_inputs.PICTURE_BYTES", 3 * len(JPEG))
    ledger = read_ledgers([run.ledger])[0]
    assert len(ledger.overlays) == 3
    assert "blank" in ledger.overlays
    assert PICTURE_BYTES < 6_000_000


def test_notices_are_silent_on_real_data_and_honest_protocols() -> None:
    raw = raw_config()
    raw["cohorts"]["demo"] |= {"simulated": False, "encoders": ["phikon"], "features": {"phikon": "features"}}
    config = resolve(raw)
    assert notices(config, [{"protocol": "honest", "leaks": 0}]) == []
    assert len(notices(config, [{"protocol": "paper", "leaks": 2}])) == 1
    (stopped,) = notices(config, [{"protocol": "honest", "leaks": 1, "claims_honest": True}])
    assert "its numbers are withheld" in stopped


@pytest.mark.parametrize(("name", "random"), [("resnet50-random", True), ("randomised", False), ("phikon", False)])
def test_random_weights_by_name_of_foreign_features(name: str, random: bool) -> None:  # noqa: FBT001
    assert has_random_weights({"features": {"encoders": {}}}, name) is random


def test_random_weights_by_settings() -> None:
    assert has_random_weights({"features": {"encoders": {"mine": {"weights": "random"}}}}, "mine")


@pytest.mark.parametrize(
    ("column", "best"),
    [
        (["0.900 ± 0.010 [0.850, 0.950]", "0.700 ± 0.010 [0.600, 0.800]"], 0),
        (["0.900 ± 0.010 [0.790, 0.950]", "0.700 ± 0.010 [0.600, 0.800]"], None),
        (["", "0.700 ± 0.010 [0.600, 0.800]", "0.9 [0.850, 0.950] (published 0.8 ± 0.1)"], 2),
        (["0.900 ± 0.010", "0.700 ± 0.010 [0.600, 0.800]"], None),
        (["undefined", "0.700 [0.600, 0.800]"], None),
        (["0.700 [0.600, 0.800]"], None),
        (["0.900 [0.850, 0.950], n = 17", "0.700 [0.600, 0.800], n = 9 (trained on 3)"], None),
        (["0.900 ± 0.010 [0.850, 0.950], n = 10 (trained on 9)", "0.700 [0.600, 0.800], n = 10"], None),
    ],
)
def test_best_is_marked_only_when_intervals_say_so(column: list[str], best: int | None) -> None:
    assert clearly_best(column) == best


def test_protocols_put_what_differs_first() -> None:
    protocols = {"a": {"unit": "patient", "epoch": "last"}, "b": {"unit": "patient", "epoch": "best"}}
    table = protocols_section(protocols, {"epoch": "Which epoch."}, {"a": "same", "b": "same"}).blocks[0]
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == [Cell("epoch", strong=True), Cell("unit"), Cell("model scope")]
    assert table.rows[0][-1] == Cell("Which epoch.")


def test_slides_shown_are_all_failing_and_some_spread_others() -> None:
    rows = pd.DataFrame({"slide_id": [f"s{i:03d}" for i in range(101)], "status": ["ok"] * 100 + ["failed"]})
    shown = slides_to_show(rows, shown_ok=3)
    assert shown == ["s100", "s000", "s050", "s099"]
    rows["status"] = "failed"
    assert len(slides_to_show(rows, shown_ok=3)) == 101


def test_failures_come_first() -> None:
    rows = pd.DataFrame({"slide_id": ["a", "b", "c", "d"], "status": ["ok", "no_tissue", "failed", "ok"]})
    assert failures_first(rows)["slide_id"].tolist() == ["c", "b", "a", "d"]


def test_jaccard_by_hand() -> None:
    assert mean_jaccard([["a", "b"], ["b", "c"]]) == pytest.approx(1 / 3)
    assert np.isnan(mean_jaccard([["a"]]))
    said = stability_text([["a", "b"], ["b", "c"], ["b"]])
    assert "index: 0.44; of the 3 genes" in said
    assert "1 are kept by all 3 folds and 2 by one alone" in said
    assert "unknown" in stability_text([["a"]])


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (float("nan"), ""), (True, "yes"), (0.123456, "0.1235"), (3, "3"), ("x", "x")]
)
def test_plain_values(value: object, text: str) -> None:
    assert plain(value) == text


def test_page_of_nothing_but_a_paragraph() -> None:
    html = build_page(Page("t", "s", [], [Section("a", "A", (Text("x < y & z"),))]))
    assert "x &lt; y &amp; z" in html


def test_folder_without_git_has_no_commit(tmp_path: Path) -> None:
    assert git_commit(str(tmp_path)) == ""


def test_benchmarks_are_grouped_by_rule(run: SmallRun) -> None:
    found = read_benchmarks(run.results / "benchmarks")
    assert {rule: len(frames) for rule, frames in found.items()} == {"make_results": 1, "patch_slides": 1}


def test_cost_is_what_a_job_measured_itself_and_empty_where_it_did_not(run: SmallRun) -> None:
    found = read_benchmarks(run.results / "benchmarks")
    assert found["make_results"][0][["s", "cpu_time", "max_rss"]].values.tolist() == [[12.5, 43.25, 391.2]]
    assert found["patch_slides"][0][["cpu_time", "max_rss"]].isna().all(axis=None)
    (table, *_) = cost_section(found, []).blocks
    rows = [[cell.text for cell in row] for row in table.rows]
    assert rows == [
        ["make_results", "1", "12.5", "12.5", "43.2", "391"],
        ["patch_slides", "1", "12.5", "12.5", "", ""],
    ]


def measured(record: Path, seconds: float, **more: bool) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"seconds": seconds, "cpu_seconds": 2 * seconds, "peak_mb": 300.0, **more}))


def test_a_job_that_served_many_cases_is_a_row_a_case(tmp_path: Path) -> None:
    """The forecast multiplies a row by the cases of a full run: a job of thirteen must not count as a long one."""
    benchmarks, logs = tmp_path / "benchmarks", tmp_path / "logs"
    line = pd.DataFrame({"s": [12.5], "max_rss": [300.0], "cpu_time": ["-"]})
    write_sheet(benchmarks / "fit_baseline.tsv", line)
    measured(logs / "fit_baseline.used.json", 12.0)
    for number, name in enumerate(("linear", "cox"), start=1):
        measured(logs / f"fit_baseline/honest/demo/none/{name}.used.json", number, case=True)
    write_sheet(benchmarks / "fit_baseline/honest/demo/none/cox.tsv", line)  # of an earlier run, a job each
    rows = pd.concat(read_benchmarks(benchmarks)["fit_baseline"])
    assert sorted(rows[["s", "cpu_time", "max_rss"]].values.tolist()) == [[1.0, 2.0, 300.0], [2.0, 4.0, 300.0]]
    measured(logs / "fit_baseline/honest/demo/none/cox.used.json", 5.0)  # made again by a job of its own
    rows = pd.concat(read_benchmarks(benchmarks)["fit_baseline"])
    assert sorted(rows["cpu_time"]) == [2.0, 10.0]
    measured(logs / "fit_baseline/honest/demo/none/cox.used.json", 40.0)  # and found by another, which took 12.5 s
    assert max(pd.concat(read_benchmarks(benchmarks)["fit_baseline"])["s"]) == 40.0


def test_cost_of_a_rule_of_which_some_jobs_measured_themselves_counts_them() -> None:
    job = pd.DataFrame({"s": [40.0], "cpu_time": [39.5], "max_rss": [391.0]})
    (table, *_) = cost_section({"embed": [job, job.assign(cpu_time=math.nan, max_rss=math.nan)]}, []).blocks
    assert [cell.text for cell in table.rows[0]][4:] == ["39.5 (1 of 2 jobs)", "391 (1 of 2 jobs)"]
