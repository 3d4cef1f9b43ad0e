"""A run of many cohorts and methods as its report sees it: simulated tables, figures copied from a few drawn ones."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mirrorflow.config.protocols import scope_of
from mirrorflow.config.resolve import resolve
from mirrorflow.config.resources import RESOURCES
from mirrorflow.figures.style import to_svg
from mirrorflow.runtime.files import write_text
from mirrorflow.steps.results.main_table import make_main_table
from mirrorflow.steps.results.report_files import Inputs
from mirrorflow.store.images import write_jpeg
from mirrorflow.store.predictions import subtype_rows, write_predictions
from mirrorflow.store.tables import write_cohort, write_sheet
from mirrorflow.tables.results import COLUMNS

COHORTS = ("brca", "nsclc", "rcc", "coadread")
METHODS = (
    *("concat-linear", "majority", "linear", "rna-linear", "cox", "clinical"),
    *("mirror", "tangle", "abmil", "clam", "survpath", "snn"),
)
PATHWAYS = ("survpath", "snn")
CLASSES = ["one", "two", "three"]
FOLDS, ENCODER = 5, "uni"
METRICS = {
    "subtyping": ("accuracy", "f1_macro", "balanced_accuracy", "auroc_macro", "ece"),
    "survival": ("c_index", "c_index_pairs", "uno_c", "mean_t_auc", "ibs"),
}
KINDS = {"classification": 110_000, "over_time": 70_000, "survival": 58_000}
"""Figures of each method, and the bytes that the demo's drawings have."""


class SimulatedRun:
    """A run's folder; ``files`` are what the report reads."""

    def __init__(self, folder: Path, cohorts: int = 4, methods: int = 12, patients: int = 300) -> None:
        self.rng, self.patients = np.random.default_rng(0), patients
        self.cohorts, self.methods = COHORTS[:cohorts], METHODS[:methods]
        self.config = resolve(self._raw())
        self.results, self.store = folder / "results" / "many", folder / "store"
        self.drawing = folder / "drawings"
        self.files = Inputs(
            results=self.results / "tables" / "results.csv",
            **{name: [] for name in ("main_tables", "audits", "cohorts", "summaries", "genes", "ledgers", "models")},
            figures=[],
        )
        self._tables()
        for cohort in self.cohorts:
            self._cohort(cohort)

    def _raw(self) -> dict[str, Any]:
        expression = {"sources": {"xena": {"matrix": "rna.tsv"}}}
        entry = {
            "simulated": True,
            "slides": {"sheet": "slides.tsv"},
            "clinical": {"sheet": "patients.tsv"},
            "expression": "xena",
            "encoders": [ENCODER],
            "features": {ENCODER: "features"},
        }
        return {
            "run": "many",
            "cohorts": {name: dict(entry) for name in self.cohorts},
            "expression": expression,
            "protocols": {"honest": {"splits": "random"}, "paper": {"splits": "random"}},
            "methods": {name: {"gene_sets": "random"} if name in PATHWAYS else {} for name in self.methods},
            "splits": {"folds": FOLDS},
            "evaluation": {"shots": [10], "reference": "concat-linear"},
        }

    # tables

    def _tables(self) -> None:
        rows = [
            self._row(protocol, cohort, method, setting, task, metric)
            for protocol in self.config["protocols"]
            for cohort in self.cohorts
            for method in self.methods
            for setting in ("all", "10-shot")
            for task, metrics in METRICS.items()
            for metric in metrics
        ]
        write_sheet(self.files.results, pd.DataFrame(rows, columns=COLUMNS))
        for task in METRICS:
            stem = self.results / "tables" / f"main_{task}"
            titles = {name: f"TCGA-{name.upper()}" for name in self.cohorts}
            make_main_table(self.files.results, RESOURCES / "names.tsv", task, stem, self.methods, titles, "many")
            self.files.main_tables.append(stem.with_suffix(".csv"))

    def _row(self, protocol: str, cohort: str, method: str, setting: str, task: str, metric: str) -> dict[str, Any]:
        mean = 0.55 + 0.4 * self.rng.random()
        place = {"protocol": protocol, "cohort": cohort, "encoder": ENCODER, "setting": setting, "task": task}
        value = {"mean": mean, "sd": 0.03, "ci_low": mean - 0.05, "ci_high": min(1.0, mean + 0.05)}
        row = {**place, "method": method, "metric": metric, **value, "n": self.patients, "folds": FOLDS}
        row |= {"comparable": "no", "why_not": "no published value; simulated cohort", "seeds": 1, "patients": row["n"]}
        if method == METHODS[0]:
            return row | {"verdict": "reference"}
        verdict = self.rng.choice(["better", "worse", "not distinguishable"], p=[0.1, 0.3, 0.6])
        difference = {"difference": mean - 0.8, "difference_low": mean - 0.9, "difference_high": mean - 0.7}
        compared = {"reference": f"{METHODS[0]} ({ENCODER})", "p_holm": 0.04, "verdict": verdict}
        unstable = "fewer than 10 evaluation events (fold 0: 7)" if task == "survival" else ""
        return row | difference | compared | {"comparison": "exploratory", "unstable": unstable}

    # a cohort

    def _cohort(self, name: str) -> None:
        frame = self._frame(name)
        path = self.results / "cohort" / f"{name}.parquet"
        write_cohort(path, frame, CLASSES)
        steps = {"step": ["patients in the sheet", "with slides"], "patients": [320, len(frame)], "slides": [350, 330]}
        write_sheet(path.with_suffix(".flow.tsv"), pd.DataFrame(steps))
        dropped = pd.DataFrame([("slides", "P", "", "no slide")], columns=["step", "patient", "slide_id", "reason"])
        write_sheet(path.with_suffix(".dropped.tsv"), dropped)
        self.files.cohorts.append(path)
        self._ledger(name, frame)
        self._figures(name, frame)
        self._explained(name)
        for protocol in self.config["protocols"]:
            self._protocol(protocol, name, frame)

    def _frame(self, cohort: str) -> pd.DataFrame:
        count = self.patients
        return pd.DataFrame(
            {
                "patient": [f"TCGA-{cohort[:2].upper()}-{i:04d}" for i in range(count)],
                "label": [CLASSES[i % 3] for i in range(count)],
                "time_days": self.rng.exponential(1200, count) + 20,
                "event": (self.rng.random(count) < 0.4).astype(float),
                "site": [f"0{i % 9}" for i in range(count)],
                "slide_ids": [[f"{cohort}-{i:04d}"] for i in range(count)],
            }
        )

    def _ledger(self, cohort: str, frame: pd.DataFrame) -> None:
        folder = self.store / "slides" / cohort / "256px-20x"
        rows = [
            (slides[0], patient, "ok", "", "0.2527", "4000")
            for slides, patient in zip(frame["slide_ids"], frame["patient"], strict=True)
        ]
        columns = ["slide_id", "patient", "status", "reason", "mpp", "patches"]
        write_sheet(folder / "ledger.tsv", pd.DataFrame(rows, columns=columns))
        (folder / "overlays").mkdir(exist_ok=True)
        one = folder / "one.jpg"
        smooth = np.kron(self.rng.integers(150, 255, (20, 30, 3)), np.ones((10, 10, 1))).astype(np.uint8)
        write_jpeg(one, smooth)
        for slides in frame["slide_ids"]:
            shutil.copyfile(one, folder / "overlays" / f"{slides[0]}.jpg")
        self.files.ledgers.append(folder / "ledger.tsv")

    def _protocol(self, protocol: str, cohort: str, frame: pd.DataFrame) -> None:
        scope = self.results / scope_of(self.config["protocols"][protocol]) / cohort
        summary = scope / "splits" / "summary.tsv"
        write_sheet(summary, pd.DataFrame({"fold": range(FOLDS), "train": 240, "val": 60, "val_events": 24}))
        for fold in range(FOLDS):
            genes = scope / "genes" / f"fold{fold}.tsv"
            ids = [f"GENE{i}" for i in range(fold, fold + 500)]
            write_sheet(genes, pd.DataFrame({"id": ids, "reason": "rfe"}))
            write_text(genes.with_suffix(".json"), json.dumps({"label_patients": frame["patient"].tolist()[:240]}))
            self.files.genes.append(genes)
        self.files.summaries.append(summary)
        self._audit(protocol, cohort)
        for method in self.methods:
            self._predictions(protocol, cohort, method, frame)

    def _audit(self, protocol: str, cohort: str) -> None:
        leak = {"kind": "genes", "level": "leak", "fold": 0, "text": "genes saw evaluation labels", "examples": ["P"]}
        warned = {"kind": "few_events", "level": "warning", "fold": 1, "text": "val has 7 events", "examples": []}
        found = [warned] if protocol == "honest" else [leak, warned]
        record = {"protocol": protocol, "cohort": cohort, "findings": found, "leaks": len(found) - 1}
        record |= {"claims_honest": protocol == "honest", "remarks": ["No outcome was used."], "keys": {}, "seen": []}
        path = self.results / "audit" / protocol / f"{cohort}.json"
        write_text(path, json.dumps(record))
        self.files.audits.append(path)

    def _predictions(self, protocol: str, cohort: str, method: str, frame: pd.DataFrame) -> None:
        folder = self.results / "predictions" / protocol / cohort / ENCODER / method
        written = {}
        for fold in range(FOLDS if protocol == "honest" else 0):
            units = frame.iloc[fold::FOLDS].assign(slide_id="").reset_index(drop=True)
            rows = subtype_rows(units, self.rng.dirichlet([1, 1, 1], len(units)), CLASSES)
            rows.insert(0, "setting", "all")
            rows.insert(1, "seed", 42)
            rows.insert(2, "fold", fold)
            name = f"subtyping/fold{fold}.parquet"
            write_predictions(folder / name, rows, {"classes": CLASSES})
            written[name] = "digest"
        write_text(folder / "manifest.json", json.dumps({"written": written, "skipped": {}}))
        self.files.predictions.append(folder / "manifest.json")

    # figures

    def _drawn(self, kind: str, size: int) -> Path:
        """A drawing of about ``size`` bytes: a line of as many points as that takes."""
        path = self.drawing / f"{kind}.svg"
        if not path.exists():
            figure = Figure(figsize=(6, 5), layout="constrained")
            axes = figure.subplots()
            axes.plot(self.rng.normal(size=size // 24), linewidth=0.5)
            axes.set(xlabel="Recall", ylabel="Precision", title=kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(to_svg(figure))
        return path

    def _figures(self, cohort: str, frame: pd.DataFrame) -> None:
        folder, figures = self.results / "figures" / cohort, []
        folder.mkdir(parents=True)
        named = {f"{kind}_{task}": (kind, 90_000) for kind in ("forest", "ranks") for task in METRICS}
        named["unheard"] = ("unheard_of", 5_000)
        for protocol in self.config["protocols"]:
            for method in self.methods:
                named |= {f"{kind}_{protocol}_{ENCODER}_{method}": (kind, size) for kind, size in KINDS.items()}
                groups = frame[["patient", "time_days", "event"]].assign(fold=0, group="high")
                write_sheet(folder / f"survival_{protocol}_{ENCODER}_{method}.csv", groups)
        for name, (kind, size) in named.items():
            shutil.copyfile(self._drawn(kind, size), folder / f"{name}.svg")
            shown = {"survival": "survival_curves"}.get(kind, kind)
            figures.append({"name": name, "kind": shown, "title": name, "alt": f"Simulated {kind}", "caption": CAPTION})
        self._record(folder, cohort, figures)

    def _explained(self, cohort: str) -> None:
        for method in ("abmil", "mirror"):
            folder, figures = self.results / "explained" / "honest" / cohort / ENCODER / method, []
            folder.mkdir(parents=True)
            for patient in (f"{task}_{number}" for task in METRICS for number in (1, 2)):
                for part, size in (("map", 140_000), ("patches", 320_000), ("deletion", 38_000)):
                    shutil.copyfile(self._drawn(part, size), folder / f"{patient}_{part}.svg")
                    title = f"{method} · {patient.split('_')[0]} · {patient} · {part}"
                    one = {"name": f"{patient}_{part}", "kind": "explained", "title": title}
                    figures.append(one | {"alt": f"Simulated {part}", "caption": CAPTION})
            self._record(folder, cohort, figures)

    def _record(self, folder: Path, cohort: str, figures: list[dict[str, str]]) -> None:
        record = {"cohort": cohort, "figures": figures, "left_out": []}
        write_text(folder / "figures.json", json.dumps(record))
        self.files.figures.append(folder)


CAPTION = "Simulated: a stand-in of the size of the demo's, protocol honest, n = 300. " * 6 + "Rule draw_figures."
