"""The strongest leak tests: with split files fixed, evaluation patients change nothing that is fitted or chosen.

A whole chain on a small cohort (genes, pretraining, embeddings, probes and classical models), run as it is and with the
evaluation patients' labels and outcomes permuted, or their slides, RNA and outcomes altered.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from mirrorflow.cohort import to_units
from mirrorflow.config import PROTOCOL_PRESETS, resolve
from mirrorflow.jobs.cohorts import draw_support, make_inner_splits
from mirrorflow.jobs.embed import embed_fold
from mirrorflow.jobs.predict import Plan, predict_method
from mirrorflow.jobs.pretrain import pretrain_fold
from mirrorflow.jobs.representations import Embedded, PooledInputs
from mirrorflow.jobs.select_genes import select_genes
from mirrorflow.splits import Fold, selection_patients
from mirrorflow.store.expression import ExpressionWriter, write_sidecar
from mirrorflow.store.predictions import read_predictions
from mirrorflow.store.tables import read_fold, write_cohort, write_fold

DRIVERS = Path(__file__).parents[2] / "resources" / "drivers.tsv"
PATIENTS = [f"P{number:02}" for number in range(36)]
FOLD = Fold(tuple(PATIENTS[:24]), tuple(PATIENTS[24:]))
EVALUATED = np.isin(PATIENTS, FOLD.val)
PRETRAIN = {
    "width": 48, "tokens": 6, "prototypes": 10, "style_widths": [12, 8, 4], "attention": "exact",
    "epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "feature_scaling": "train", "precision": "float32",
}  # fmt: skip
CONFIG = resolve(
    {
        "run": "r",
        "cohorts": {
            "c": {
                "slides": {"sheet": "s"},
                "clinical": {"sheet": "p"},
                "expression": "e",
                "encoders": ["f"],
                "features": {"f": "f"},
            }
        },
        "expression": {"sources": {"e": {"matrix": "m"}}, "selection": {"census": False}},
        "probe": {"epochs": 8},
    }
)


@dataclass
class World:
    """Everything about the patients, before anything is fitted."""

    cohort: pd.DataFrame
    slides: np.ndarray
    """[patient, patch, feature]"""
    rna: np.ndarray
    """[gene, patient]"""


def world() -> World:
    rng = np.random.default_rng(4)
    label = np.arange(len(PATIENTS)) % 2
    cohort = pd.DataFrame(
        {
            "patient": PATIENTS,
            "label": np.array(["a", "b"])[label],
            "time_days": np.round(rng.exponential(500, len(PATIENTS))) + 1,
            "event": (rng.random(len(PATIENTS)) < 0.7).astype(float),
            "site": "s",
            "slide_ids": [[f"{name}-1"] for name in PATIENTS],
        }
    )
    slides = rng.normal(size=(len(PATIENTS), 8, 5)) + label[:, None, None]
    rna = rng.normal(size=(30, len(PATIENTS))) + label * (np.arange(30) < 8)[:, None]
    return World(cohort, slides, rna)


class Chain:
    """A run of one fold in a folder of its own."""

    def __init__(self, folder: Path, given: World, protocol: str = "honest", **keys: object) -> None:
        folder.mkdir()
        self.folder, self.given = folder, given
        self.protocol = PROTOCOL_PRESETS[protocol] | keys
        self.write()
        self.inner = self.part()
        for prefix, fold in {"": FOLD, **self.inner}.items():
            self.select(prefix, fold)
            self.pretrain(prefix, fold)
        for name in ("mirror", "concat-linear", "cox"):
            self.predict(name)

    def write(self) -> None:
        write_cohort(self.folder / "cohort.parquet", self.given.cohort, ["a", "b"])
        write_fold(self.folder / "splits_0.csv", FOLD)
        rows = []
        for name, patches in zip(PATIENTS, self.given.slides, strict=True):
            path = self.folder / f"{name}-1.h5"
            with h5py.File(path, "w") as file:
                file["features"] = patches.astype(np.float32)
            rows.append((f"{name}-1", name, str(path), 8, 5, "ok", ""))
        columns = ["slide_id", "patient", "path", "patches", "dim", "status", "reason"]
        pd.DataFrame(rows, columns=columns).to_csv(self.folder / "index.tsv", sep="\t", index=False)
        ids = [f"G{number}" for number in range(len(self.given.rna))]
        with ExpressionWriter(self.folder / "rna.parquet", PATIENTS) as writer:
            writer.add(ids, ids, self.given.rna.astype(np.float32))
            writer.finish({}, {})
        write_sidecar(self.folder / "rna.parquet")
        self.units = to_units(self.given.cohort, "patient")
        support = str(self.folder / "support.tsv")
        splits = [str(self.folder / "splits_0.csv")]
        draw_support(str(self.folder / "cohort.parquet"), splits, support, unit="patient", shots=[3], bins=4, seed=1)

    def part(self) -> dict[str, Fold]:
        """Inner folds of the training patients, by what their files begin with."""
        if self.protocol["epoch"] != "nested":
            return {}
        paths = [[str(self.folder / f"inner{number}-splits_0.csv")] for number in range(2)]
        make_inner_splits(str(self.folder / "cohort.parquet"), [str(self.folder / "splits_0.csv")], paths, seed=1)
        return {f"inner{number}-": read_fold(path) for number, (path,) in enumerate(paths)}

    def select(self, prefix: str, fold: Fold) -> None:
        labels = dict(zip(self.given.cohort["patient"], self.given.cohort["label"], strict=True))
        patients = selection_patients(self.given.cohort, fold, str(self.protocol["gene_selection"]), 1)
        select_genes(
            self.folder / "rna.parquet",
            patients,
            labels,
            self.folder / f"{prefix}fold0.tsv",
            {**CONFIG["expression"]["selection"], "tumour_types": [], "scaling": "train", "clip": None},
            fold=0,
            census=None,
            drivers=DRIVERS,
            seed=1,
            threads=1,
        )

    def pretrain(self, prefix: str, fold: Fold) -> None:
        files = self.folder / "index.tsv", self.folder / "rna.parquet", self.folder / f"{prefix}fold0.tsv"
        settings = {"rna_scaling": "train", "rna_clip": None}
        model = self.folder / f"{prefix}model"
        train = [name for name in PATIENTS if name in fold.train]
        pretrain_fold(self.units, *files, train, model, PRETRAIN, seed=1, fold=0, threads=1, device="cpu", **settings)
        frozen = {"mode": "frozen", "draws": 1}
        embed_fold(self.units, *files, model, self.embeddings(prefix), frozen, seed=1, threads=1, device="cpu")

    def embeddings(self, prefix: str) -> Path:
        return self.folder / f"{prefix}embeddings.safetensors"

    def predict(self, name: str) -> None:
        method = CONFIG["methods"][name]
        if name == "mirror":
            method = method | {"probe": CONFIG["probe"]}
            vectors, *inner = (Embedded({(1, 0): str(self.embeddings(prefix))}) for prefix in ("", *self.inner))
        else:
            inner = []
            vectors = PooledInputs(
                units=self.units,
                inputs=["slides", "rna"],
                pooling="mean",
                index=str(self.folder / "index.tsv"),
                expression=str(self.folder / "rna.parquet"),
                genes=[str(self.folder / "fold0.tsv")],
                rna_scaling="train",
                clip=None,
            )
        plan = Plan(
            cohort=str(self.folder / "cohort.parquet"),
            splits=[str(self.folder / "splits_0.csv")],
            support=str(self.folder / "support.tsv"),
            protocol=self.protocol,
            tasks=method["tasks"],
            shots=[3],
            seeds=[1],
            bins=4,
            method=method,
            inner_splits=[[str(self.folder / f"{prefix}splits_0.csv")] for prefix in self.inner],
        )
        folder = self.folder / name
        predict_method(plan, vectors, str(folder), str(folder / "manifest.json"), name, inner=inner)

    # What can be compared.

    def genes(self) -> str:
        return (self.folder / "fold0.tsv").read_text()

    def label_patients(self) -> list[str]:
        return json.loads((self.folder / "fold0.json").read_text())["label_patients"]

    def weights(self) -> dict[str, np.ndarray]:
        """The network's, the patch scaler's and the RNA scaler's arrays."""
        return load_file(self.folder / "model" / "model.safetensors")

    def files(self) -> list[Path]:
        return sorted(path.relative_to(self.folder) for path in self.folder.glob("*/*/fold0.parquet"))

    def values(self, path: Path) -> pd.DataFrame:
        rows = read_predictions(self.folder / path).rows.sort_values(["setting", "patient"])
        return rows.filter(regex="^(setting|patient|prob_|risk|surv_)").reset_index(drop=True)

    def chosen(self, path: Path) -> list[tuple[object, ...]]:
        """Bins and epoch of each setting, and the curve behind a nested choice."""
        notes = read_predictions(self.folder / path).notes["settings"]
        return [(note["setting"], note["bin_edges_days"], note["epoch"], note.get("epoch_choice")) for note in notes]


def permuted(given: World) -> World:
    """Labels and outcomes of the evaluation patients permuted among them."""
    rng, rows = np.random.default_rng(9), np.flatnonzero(EVALUATED)
    cohort = given.cohort.copy()
    for columns in (["label"], ["time_days", "event"]):
        cohort.loc[rows, columns] = given.cohort.loc[rng.permutation(rows), columns].to_numpy()
    assert (cohort["label"] != given.cohort["label"]).sum() >= 4
    assert (cohort["time_days"] != given.cohort["time_days"]).sum() >= 4
    return World(cohort, given.slides, given.rna)


def altered(given: World) -> World:
    """Slides, RNA and outcomes of the evaluation patients replaced by others, far away."""
    rng = np.random.default_rng(10)
    slides, rna, cohort = given.slides.copy(), given.rna.copy(), given.cohort.copy()
    slides[EVALUATED] = rng.normal(30, 5, slides[EVALUATED].shape)
    rna[:, EVALUATED] = rng.normal(-20, 9, rna[:, EVALUATED].shape)
    cohort.loc[EVALUATED, "time_days"] = np.round(rng.exponential(9000, EVALUATED.sum())) + 1
    cohort.loc[EVALUATED, "event"] = 1 - cohort.loc[EVALUATED, "event"]
    return World(cohort, slides, rna)


@pytest.fixture(scope="module", params=["last", "nested"])
def honest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return Chain(tmp_path_factory.mktemp("leaks") / "one", world(), epoch=request.param)


def test_permuted_evaluation_labels_change_no_gene_weight_probability_risk_or_survival(honest, tmp_path):
    other = Chain(tmp_path / "two", permuted(world()), epoch=honest.protocol["epoch"])
    assert other.genes() == honest.genes()
    weights = other.weights()
    for name, array in honest.weights().items():
        np.testing.assert_array_equal(array, weights[name], err_msg=name)
    assert len(honest.files()) == 5  # two tasks of mirror and concat-linear, one of cox
    for path in honest.files():
        pd.testing.assert_frame_equal(honest.values(path), other.values(path), check_exact=True)


def test_altered_evaluation_slides_rna_and_outcomes_change_nothing_that_is_fitted(honest, tmp_path):
    other = Chain(tmp_path / "two", altered(world()), epoch=honest.protocol["epoch"])
    assert other.genes() == honest.genes()
    weights = other.weights()
    scalers = [name for name in weights if "scal" in name]
    assert scalers
    for name, array in honest.weights().items():
        np.testing.assert_array_equal(array, weights[name], err_msg=name)
    for path in honest.files():
        assert other.chosen(path) == honest.chosen(path)
        assert not other.values(path).equals(honest.values(path))  # the patients themselves are others


def test_the_published_habits_do_let_evaluation_labels_in(tmp_path):
    habits = {"gene_selection": "cohort", "epoch": "best_on_evaluation"}
    one = Chain(tmp_path / "one", world(), **habits)
    two = Chain(tmp_path / "two", permuted(world()), **habits)
    assert set(one.label_patients()) & set(FOLD.val)
    same = [one.values(path).equals(two.values(path)) for path in one.files() if path.parts[0] == "mirror"]
    assert not all(same)


def test_a_nested_choice_is_made_of_inner_folds_alone(tmp_path):
    chain = Chain(tmp_path / "one", world(), epoch="nested")
    genes = {prefix: (chain.folder / f"{prefix}fold0.tsv").read_text() for prefix in ("", *chain.inner)}
    assert len(set(genes.values())) == 3
    for prefix, fold in chain.inner.items():
        record = json.loads((chain.folder / f"{prefix}fold0.json").read_text())
        assert set(record["label_patients"]) <= set(fold.train)
        assert set(record["value_patients"]) <= set(fold.train)
    (everybody, few) = read_predictions(chain.folder / "mirror/subtyping/fold0.parquet").notes["settings"]
    assert len(everybody["epoch_choice"]["mean"]) == few["epoch"] == CONFIG["probe"]["epochs"]
