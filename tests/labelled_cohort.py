"""A labelled cohort on disk: bags whose mean tells the class, expression, clinical columns."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from made_once import made_once
from mirrorflow.cohorts.patients import to_units
from mirrorflow.config.methods import METHODS
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.learners.inputs.bagged import BaggedInputs
from mirrorflow.learners.predict import Plan, predict_method
from mirrorflow.steps.cohort.draw_support import draw_support
from mirrorflow.steps.cohort.make_splits import make_splits
from mirrorflow.store.expression import ExpressionWriter, write_sidecar
from mirrorflow.store.tables import write_cohort, write_sheet

CLASSES = ["a", "b", "c"]
WIDTH = 5
"""Of a patch."""
TRAIN = {"epochs": 2, "batch_size": 8, "tokens": 4, "learning_rate": 5e-3, "min_steps": 0, "precision": "float32"}
SMALL = {"width": 16, "attention_width": 8, "heads": 2, "layers": 1, "latents": 3, "fusion_width": 4, "landmarks": 4}


def people(count: int = 30) -> pd.DataFrame:
    """Three classes; survival that goes with the class; two slides for every third patient."""
    rng = np.random.default_rng(0)
    number = np.arange(count)
    return pd.DataFrame(
        {
            "patient": [f"P{i:02}" for i in number],
            "label": np.array(CLASSES)[number % 3],
            "time_days": rng.exponential(1000 * np.exp(-2.0 * (number % 3))),
            "event": (rng.random(count) < 0.8).astype(float),
            "site": [f"s{i % 6}" for i in number],
            "age": [str(40 + 15 * (i % 3)) for i in number],
            "slide_ids": [[f"P{i:02}-1", f"P{i:02}-2"][: 1 + (i % 3 == 0)] for i in number],
        }
    )


class Store:
    """A cohort, its features and its expression on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.frame = folder, people()
        rng = np.random.default_rng(1)
        rows = []
        for patient, slides in zip(self.frame["patient"], self.frame["slide_ids"], strict=True):
            for slide in slides:
                bag = rng.normal(size=(int(rng.integers(1, 7)), WIDTH)).astype(np.float32)
                bag[:, int(patient[1:]) % 3] += 3
                with h5py.File(folder / f"{slide}.h5", "w") as file:
                    file["features"] = bag
                rows.append({"slide_id": slide, "patient": patient, "path": str(folder / f"{slide}.h5")})
        write_sheet(folder / "index.tsv", pd.DataFrame(rows))
        symbols = ["G1", "G2", "G2", "G3"]
        with ExpressionWriter(folder / "rna.parquet", self.frame["patient"].tolist()) as writer:
            writer.add([f"t{i}" for i in range(4)], symbols, rng.normal(size=(4, 30)).astype(np.float32))
            writer.finish({}, {})
        write_sidecar(folder / "rna.parquet")
        for fold in range(2):
            write_sheet(
                folder / f"genes{fold}.tsv", pd.DataFrame({"id": ["t3", "t0", "t1"], "gene": ["G3", "G1", "G2"]})
            )
        (folder / "sets.csv").write_text("ONE,TWO,NONE\nG2,G3,X1\nG9,G2,\n")
        write_cohort(folder / "cohort.parquet", self.frame, CLASSES)

    def inputs(self, unit: str = "patient", **changes: Any) -> BaggedInputs:
        settings = {
            "units": to_units(self.frame, unit),
            "inputs": ["slides", "rna"],
            "index": str(self.folder / "index.tsv"),
            "expression": str(self.folder / "rna.parquet"),
            "genes": [str(self.folder / f"genes{fold}.tsv") for fold in range(2)],
            "rna_scaling": "train",
            "clip": None,
            "feature_scaling": "train",
            "cache_gb": 1.0,
        }
        return BaggedInputs(**(settings | changes))

    def plan(self, family: str, **changes: Any) -> Plan:
        splits = [str(self.folder / f"splits_{fold}.csv") for fold in range(2)]
        cohort, support = str(self.folder / "cohort.parquet"), str(self.folder / "support.tsv")
        report = str(self.folder / "report.tsv")
        made_once(make_splits, [cohort], [*splits, report], cohort, splits, report, kind="random", folder=None, seed=1)
        drawn = {"unit": "patient", "shots": [3], "bins": 4, "seed": 1}
        made_once(draw_support, [cohort, *splits], [support], cohort, splits, support, **drawn)
        method = {"family": family, **METHODS[family].defaults}
        if "train" in method:
            network = {key: SMALL.get(key, value) for key, value in method["network"].items()}
            method |= {"train": method["train"] | TRAIN, "network": network}
        plan = Plan(
            cohort=cohort,
            splits=splits,
            support=support,
            protocol=PROTOCOL_PRESETS["honest"] | {"splits": "random"},
            tasks=["subtyping", "survival"],
            shots=[3],
            seeds=[42],
            bins=4,
            method=method,
        )
        return replace(plan, **changes)

    def predict(self, plan: Plan, inputs: Any, name: str = "predictions") -> Path:
        folder = self.folder / name
        predict_method(plan, inputs, str(folder), str(folder / "manifest.json"), "test")
        return folder
