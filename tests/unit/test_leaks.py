"""The strongest leak tests: with split files fixed, evaluation patients change nothing that is fitted or chosen.

A whole chain on a small cohort (genes, pretraining, embeddings, every method, with all data and k-shot), run as it is
and with the evaluation patients' labels and outcomes permuted, or with the slides, RNA, sheet and outcomes of some of
them altered: the others are then predicted as before, to the last bit.
"""

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from mirrorflow.cohorts.patients import to_units
from mirrorflow.cohorts.splits import Fold, selection_patients
from mirrorflow.config.methods import METHODS, NETWORKS
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.config.queries import few_shot_prefix
from mirrorflow.config.resolve import resolve
from mirrorflow.learners import network as supervised
from mirrorflow.learners.inputs.bagged import BaggedInputs
from mirrorflow.learners.inputs.clinical import ClinicalColumns
from mirrorflow.learners.inputs.own_fit import own_fit_of
from mirrorflow.learners.inputs.site import SiteCodes
from mirrorflow.learners.inputs.vectors import Embedded, NoInputs, PooledInputs, Representation
from mirrorflow.learners.predict import Plan, predict_method
from mirrorflow.learners.pretrained import Machine, PairedFiles, PretrainTask, pretrain_fold
from mirrorflow.probes import cox, linear, linear_head, site
from mirrorflow.steps.cohort.draw_support import draw_support
from mirrorflow.steps.cohort.make_inner_splits import make_inner_splits
from mirrorflow.steps.expression.select_genes import GeneFiles, select_genes
from mirrorflow.steps.training.embed import EmbedFiles, embed_fold
from mirrorflow.store.expression import ExpressionWriter, write_sidecar
from mirrorflow.store.predictions import read_predictions
from mirrorflow.store.tables import read_fold, read_text_sheet, write_cohort, write_fold

DRIVERS = Path(__file__).parents[2] / "resources" / "drivers.tsv"
PATIENTS = [f"P{number:02}" for number in range(36)]
FOLD = Fold(tuple(PATIENTS[:24]), tuple(PATIENTS[24:]))
EVALUATED = np.isin(PATIENTS, FOLD.val)
ALTERED = np.isin(PATIENTS, FOLD.val[::2])
"""The evaluation patients of whom :func:`altered` makes others."""
PRETRAIN = {
    "width": 48, "tokens": 6, "prototypes": 10, "style_widths": [12, 8, 4], "attention": "exact",
    "epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "feature_scaling": "train", "precision": "float32",
}  # fmt: skip
SMALL = {
    "width": 8,
    "attention_width": 4,
    "heads": 2,
    "layers": 1,
    "latents": 3,
    "fusion_width": 3,
    "landmarks": 4,
    "components": 3,
}
TRAIN = {"epochs": 2, "batch_size": 8, "tokens": 6, "learning_rate": 1e-3, "min_steps": 0, "precision": "float32"}


def small(name: str) -> dict[str, Any]:
    """What a run asks of a method, made small."""
    if name not in NETWORKS:
        return {}
    network = {key: value for key, value in SMALL.items() if key in METHODS[name].settings["network"]}
    sets = {"gene_sets": "random"} if "gene_sets" in METHODS[name].settings else {}
    return {"train": TRAIN, "network": network} | sets


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
        "expression": {
            "sources": {"e": {"matrix": "m"}},
            "selection": {"census": False, "n_genes": 9, "rfe": {"cv": 2}},
        },
        "pretrain": PRETRAIN,
        "probe": {"epochs": 8},
        "evaluation": {"shots": [3]},
        "methods": {name: small(name) for name in METHODS},
    }
)
EVERY_FAMILY = [name for name in METHODS if name not in ("majority", "linear", "rna-linear")]
"""Methods with vectors, one of a family at least."""
WITH_EPOCHS = ["mirror", "porpoise"]
"""A probe and a network, for the nested choice."""


@dataclass
class CohortData:
    """Everything about the patients, before anything is fitted."""

    cohort: pd.DataFrame
    slides: np.ndarray
    """[patient, patch, feature]"""
    rna: np.ndarray
    """[gene, patient]"""


def cohort_data() -> CohortData:
    rng = np.random.default_rng(4)
    label = np.arange(len(PATIENTS)) % 2
    cohort = pd.DataFrame(
        {
            "patient": PATIENTS,
            "label": np.array(["a", "b"])[label],
            "time_days": np.round(rng.exponential(500, len(PATIENTS))) + 1,
            "event": (rng.random(len(PATIENTS)) < 0.7).astype(float),
            "age": [str(40 + 7 * one + int(rng.integers(9))) for one in label],
            "stage": rng.choice(["I", "II"], len(PATIENTS)),
            "site": rng.choice(["s", "t"], len(PATIENTS)),
            "slide_ids": [[f"{name}-1"] for name in PATIENTS],
        }
    )
    slides = rng.normal(size=(len(PATIENTS), 8, 5)) + label[:, None, None]
    rna = rng.normal(size=(30, len(PATIENTS))) + label * (np.arange(30) < 8)[:, None]
    return CohortData(cohort, slides, rna)


class Chain:
    """A run of one fold in a folder of its own."""

    def __init__(self, folder: Path, given: CohortData, methods: Sequence[str], **keys: object) -> None:
        folder.mkdir()
        self.folder, self.given, self.methods = folder, given, methods
        self.protocol = PROTOCOL_PRESETS["honest"] | keys
        self.few_shot = few_shot_prefix({**CONFIG, "protocols": {"honest": self.protocol}}, "honest")
        self.fitted: dict[str, list[np.ndarray]] = {}
        """Coefficients, weights, scalers and baselines of each method, in the order in which they were fitted."""
        self.write()
        self.inner = self.part()
        self.folds = {"": FOLD, self.few_shot: FOLD, **self.inner}
        for prefix, fold in self.folds.items():
            self.select(prefix, fold)
            for name in self.pretrained:
                self.pretrain(name, prefix, fold)
        for name in methods:
            with noted_fits() as fits:
                self.predict(name)
            self.fitted[name] = [array for fit in fits for array in arrays_of(fit)]

    @property
    def pretrained(self) -> list[str]:
        return [name for name in self.methods if METHODS[name].kind == "pretrained"]

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
        (self.folder / "expression/rna").mkdir(parents=True, exist_ok=True)
        with ExpressionWriter(self.folder / "expression/rna/demo.parquet", PATIENTS) as writer:
            writer.add(ids, ids, self.given.rna.astype(np.float32))
            writer.finish({}, {})
        write_sidecar(self.folder / "expression/rna/demo.parquet")
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
        scaling = {"tumour_types": [], "scaling": self.protocol["rna_scaling"], "clip": None}
        label_free = {"method": "variance"} if prefix and prefix == self.few_shot else {}
        select_genes(
            GeneFiles(self.folder / "expression/rna/demo.parquet", census=None, drivers=DRIVERS),
            patients,
            labels,
            self.folder / f"{prefix}fold0.tsv",
            CONFIG["expression"]["selection"] | label_free | scaling,
            fold=0,
            seed=1,
            threads=1,
        )

    def pretrain(self, name: str, prefix: str, fold: Fold) -> None:
        files = (
            self.folder / "index.tsv",
            self.folder / "expression/rna/demo.parquet",
            self.folder / f"{prefix}fold0.tsv",
        )
        model = self.folder / f"{prefix}{name}-model"
        train = [patient for patient in PATIENTS if patient in fold.train]
        own, where = CONFIG["methods"][name]["pretrain"], {"seed": 1, "threads": 1, "device": "cpu"}
        scaling, frozen = self.protocol["rna_scaling"], {"mode": "frozen", "draws": 1}
        task = PretrainTask(self.units, PairedFiles(*files), train, own, 1, 0, scaling, None, family=name)
        pretrain_fold(task, model, Machine(1, "cpu"))
        embed_fold(self.units, EmbedFiles(*files, model), self.embeddings(name, prefix), frozen, **where)

    def embeddings(self, name: str, prefix: str) -> Path:
        return self.folder / f"{prefix}{name}.safetensors"

    def genes_of(self, prefix: str) -> list[str]:
        return [str(self.folder / f"{prefix}fold0.tsv")]

    def inputs(self, name: str, prefix: str) -> Representation:
        """What a method sees with the genes of a prefix, as the rules' scripts make it."""
        method = CONFIG["methods"][name]
        rna = {
            "units": self.units,
            "inputs": method["inputs"],
            "index": str(self.folder / "index.tsv"),
            "expression": str(self.folder / "expression/rna/demo.parquet"),
            "genes": self.genes_of(prefix),
            "rna_scaling": self.protocol["rna_scaling"],
            "clip": None,
        }
        if name in self.pretrained:
            return Embedded({(1, 0): str(self.embeddings(name, prefix))})
        if name in NETWORKS:
            of_train = {key: method["train"][key] for key in ("feature_scaling", "cache_gb")}
            fit = own_fit_of(name, method["network"])
            return BaggedInputs(**rna, **of_train, gene_sets=method.get("gene_sets"), fit=fit)
        if method["inputs"] == ["clinical"]:
            return ClinicalColumns(self.units, method["columns"])
        if method["inputs"] == ["site"]:
            return SiteCodes(self.units)
        return PooledInputs(**rna, pooling=method["pooling"]) if method["inputs"] else NoInputs()

    def predict(self, name: str) -> None:
        method = CONFIG["methods"][name]
        if name in self.pretrained:
            method = {"family": name, "tasks": method["tasks"], "probe": CONFIG["probe"]}
        plan = Plan(
            cohort=str(self.folder / "cohort.parquet"),
            splits=[str(self.folder / "splits_0.csv")],
            support=str(self.folder / "support.tsv"),
            protocol=self.protocol,
            tasks=method["tasks"],
            shots=CONFIG["evaluation"]["shots"],
            seeds=[1],
            bins=4,
            method=method,
            inner_splits=[[str(self.folder / f"{prefix}splits_0.csv")] for prefix in self.inner],
        )
        folder = self.folder / name
        vectors, few_shot, *inner = (self.inputs(name, prefix) for prefix in ("", self.few_shot, *self.inner))
        manifest = str(folder / "manifest.json")
        predict_method(plan, vectors, str(folder), manifest, name, few_shot=few_shot, inner=inner)
        assert json.loads(Path(manifest).read_text())["skipped"] == {}

    # What can be compared.

    def genes(self) -> dict[str, str]:
        """Gene manifests, those of k-shot settings and inner folds among them."""
        return {prefix: Path(*self.genes_of(prefix)).read_text() for prefix in self.folds}

    def support(self) -> list[str]:
        """Rows of the support sets whose survival bins are the fold's."""
        rows = read_text_sheet(self.folder / "support.tsv")
        return rows[rows["survival_bins"] == "fold"].to_csv().splitlines()

    def label_patients(self) -> list[str]:
        return json.loads((self.folder / "fold0.json").read_text())["label_patients"]

    def weights(self) -> dict[str, np.ndarray]:
        """The pretrained networks', the patch scalers' and the RNA scalers' arrays, and everything fitted on top."""
        models = {
            f"{prefix}{name} {key}": array
            for prefix in self.folds
            for name in self.pretrained
            for key, array in load_file(self.folder / f"{prefix}{name}-model" / "model.safetensors").items()
        }
        return models | {
            f"{name} {number}": array for name, arrays in self.fitted.items() for number, array in enumerate(arrays)
        }

    def files(self) -> list[Path]:
        return sorted(path.relative_to(self.folder) for path in self.folder.glob("*/*/fold0.parquet"))

    def values(self, path: Path, patients: Sequence[str] = FOLD.val) -> pd.DataFrame:
        rows = read_predictions(self.folder / path).rows.sort_values(["setting", "patient"])
        rows = rows[rows["patient"].isin(patients)]
        return rows.filter(regex="^(setting|patient|prob_|risk|surv_)").reset_index(drop=True)

    def chosen(self, path: Path) -> list[tuple[object, ...]]:
        """Bins and epoch of each setting, and the curve behind a nested choice."""
        notes = read_predictions(self.folder / path).notes["settings"]
        return [(note["setting"], note["bin_edges_days"], note["epoch"], note.get("epoch_choice")) for note in notes]


@contextmanager
def noted_fits() -> Iterator[list[Any]]:
    """What is fitted meanwhile: linear heads, networks, logistic regressions, hazards, Cox models, rates of sites."""
    fits: list[Any] = []

    def noting(fit: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fit)
        def noted(*args: Any, **settings: Any) -> Any:
            found = fit(*args, **settings)
            fits.append(getattr(found, "network", found))  # of a head's training the head
            return found

        return noted

    places = [(linear_head, "_training"), (supervised, "build_network")]
    places += [(linear, "fit_logistic"), (linear, "fit_hazards"), (cox, "fit_cox"), (site, "fit")]
    with pytest.MonkeyPatch.context() as patch:
        for module, name in places:
            patch.setattr(module, name, noting(getattr(module, name)))
        yield fits


def arrays_of(fitted: Any) -> list[np.ndarray]:
    """Every array in a fitted model; of a network its weights and buffers as they are after training."""
    if isinstance(fitted, torch.nn.Module):
        return [array.detach().cpu().numpy().copy() for array in fitted.state_dict().values()]
    if isinstance(fitted, np.ndarray):
        return [fitted]
    inside = getattr(fitted, "__dict__", {})
    return [array for key in sorted(inside) for array in arrays_of(inside[key])]


def permuted(given: CohortData) -> CohortData:
    """Labels and outcomes of the evaluation patients permuted among them."""
    rng, rows = np.random.default_rng(9), np.flatnonzero(EVALUATED)
    cohort = given.cohort.copy()
    for columns in (["label"], ["time_days", "event"]):
        cohort.loc[rows, columns] = given.cohort.loc[rng.permutation(rows), columns].to_numpy()
    assert (cohort["label"] != given.cohort["label"]).sum() >= 4
    assert (cohort["time_days"] != given.cohort["time_days"]).sum() >= 4
    return CohortData(cohort, given.slides, given.rna)


def altered(given: CohortData) -> CohortData:
    """Slides, RNA, sheet and outcomes of every other evaluation patient replaced by others, far away."""
    rng = np.random.default_rng(10)
    slides, rna, cohort = given.slides.copy(), given.rna.copy(), given.cohort.copy()
    slides[ALTERED] = rng.normal(30, 5, slides[ALTERED].shape)
    rna[:, ALTERED] = rng.normal(-20, 9, rna[:, ALTERED].shape)
    cohort.loc[ALTERED, "time_days"] = np.round(rng.exponential(9000, ALTERED.sum())) + 1
    cohort.loc[ALTERED, "event"] = 1 - cohort.loc[ALTERED, "event"]
    cohort.loc[ALTERED, ["age", "stage", "site"]] = ["99", "IV", "u"]
    return CohortData(cohort, slides, rna)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Every family under the preset."""
    return Chain(tmp_path_factory.mktemp("leaks") / "one", cohort_data(), EVERY_FAMILY)


def again(honest: Chain, folder: Path, given: CohortData) -> Chain:
    """The same run on other data."""
    return Chain(folder / "two", given, honest.methods, epoch=honest.protocol["epoch"])


def assert_same_fits(one: Chain, other: Chain) -> None:
    """Genes, support sets, weights, scalers and coefficients are the same to the last bit."""
    assert other.genes() == one.genes()
    assert other.support() == one.support()
    weights, others = one.weights(), other.weights()
    assert weights.keys() == others.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)


def test_everything_that_is_fitted_is_looked_at(honest):
    assert honest.few_shot == "few-shot-"
    assert honest.genes()[""] != honest.genes()["few-shot-"]
    tasks = sum(len(METHODS[name].tasks) for name in honest.methods)
    assert len(honest.files()) == tasks
    # a fit a task and setting at least: with all data, and k-shot
    assert {name for name, arrays in honest.fitted.items() if len(arrays) < 4} == set()
    assert [name for name in honest.weights() if "scal" in name]


def test_permuted_evaluation_labels_change_no_gene_weight_probability_risk_or_survival(honest, tmp_path):
    other = again(honest, tmp_path, permuted(cohort_data()))
    assert_same_fits(honest, other)
    for path in honest.files():
        pd.testing.assert_frame_equal(honest.values(path), other.values(path), check_exact=True)


def assert_altered_patients_alone_differ(one: Chain, other: Chain) -> None:
    """Bins, epochs and all that is fitted are the same, and so is what is said of the patients left as they were."""
    assert_same_fits(one, other)
    strangers = set(np.array(PATIENTS)[ALTERED])
    kept = [name for name in FOLD.val if name not in strangers]
    for path in one.files():
        assert other.chosen(path) == one.chosen(path)
        assert not other.values(path).equals(one.values(path))
        pd.testing.assert_frame_equal(one.values(path, kept), other.values(path, kept), check_exact=True)


def test_altered_evaluation_slides_rna_and_outcomes_change_nothing_that_is_fitted(honest, tmp_path):
    assert_altered_patients_alone_differ(honest, again(honest, tmp_path, altered(cohort_data())))


def test_nor_does_either_under_a_nested_choice_which_is_made_of_inner_folds_alone(tmp_path):
    nested = Chain(tmp_path / "one", cohort_data(), WITH_EPOCHS, epoch="nested")
    assert_altered_patients_alone_differ(nested, again(nested, tmp_path, altered(permuted(cohort_data()))))
    genes = {prefix: text for prefix, text in nested.genes().items() if prefix != nested.few_shot}
    assert len(set(genes.values())) == 3
    for prefix, fold in nested.inner.items():
        record = json.loads((nested.folder / f"{prefix}fold0.json").read_text())
        assert set(record["label_patients"]) <= set(fold.train)
        assert set(record["value_patients"]) <= set(fold.train)
    (all_units, few) = read_predictions(nested.folder / "mirror/subtyping/fold0.parquet").notes["settings"]
    assert len(all_units["epoch_choice"]["mean"]) == few["epoch"] == CONFIG["probe"]["epochs"]


def test_the_published_single_changes_do_let_evaluation_labels_in(tmp_path):
    single_changes = {"gene_selection": "cohort", "epoch": "best_on_evaluation", "few_shot_genes": "all"}
    one = Chain(tmp_path / "one", cohort_data(), ["mirror"], **single_changes)
    two = Chain(tmp_path / "two", permuted(cohort_data()), ["mirror"], **single_changes)
    assert set(one.label_patients()) & set(FOLD.val)
    assert not all(one.values(path).equals(two.values(path)) for path in one.files())
