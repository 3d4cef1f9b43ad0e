"""config/methods.yaml: what an entry gives, what a run may set, and a new method as one module and one entry."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from mirrorflow import models, probes
from mirrorflow.config import queries as configs
from mirrorflow.config.fields import keys_of, metadata_of
from mirrorflow.config.methods import METHODS, SUPERVISED_TRAINING, Method, names_digest
from mirrorflow.config.modules import part_of
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.config.reference_page import reference
from mirrorflow.config.resolve import resolve
from mirrorflow.config.resources import RESOURCES
from mirrorflow.config.schema import load_schema
from mirrorflow.errors import ConfigError, MirrorflowError
from mirrorflow.learners import registry as predictors
from mirrorflow.learners.inputs.vectors import NoInputs
from mirrorflow.learners.predict import Plan, predict_method
from mirrorflow.learners.registry import predictor_of
from mirrorflow.models.seam import Batch
from mirrorflow.models.supervised import Sizes, build_network
from mirrorflow.probes.task import Asked, Targets
from mirrorflow.steps.cohort.draw_support import draw_support
from mirrorflow.steps.cohort.make_splits import make_splits
from mirrorflow.store.predictions import read_predictions
from mirrorflow.store.tables import read_text_sheet, write_cohort
from mirrorflow.tables.results import published_key
from small_config import minimal

ROOT = Path(__file__).parents[2]
ENTRY: dict[str, Any] = {
    "title": "Toy", "source": "nobody", "kind": "classical", "inputs": ["slides"], "tasks": ["subtyping"],
}  # fmt: skip


def config(**entries: Any) -> dict[str, Any]:
    """A run of these methods."""
    return minimal(methods=entries)


def resolved(**entries: Any) -> dict[str, Any]:
    """The methods of such a run, as it resolves them."""
    return resolve(config(**entries))["methods"]


def refused(**entries: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        resolved(**entries)
    return str(caught.value)


def test_defaults_are_those_that_stored_predictions_were_made_with():
    """Frozen before the entries moved to methods.yaml: other values, or another order, would train all anew."""
    frozen = json.loads((Path(__file__).parent / "resolved_methods.json").read_text())
    asked: dict[str, Any] = dict.fromkeys(frozen) | {
        "survpath": {"gene_sets": "random"},
        **{name: {"gene_sets": "random"} for name in ("tta", "snn", "snntrans", "mmp")},
        "cox--rna": {"inputs": ["rna"], "components": 20},
        "abmil--small": {"network": {"width": 64}, "train": {"epochs": 3}},
    }
    found = resolve(config(**asked))
    section = list(found["pretrain"])
    for method in found["methods"].values():
        if "pretrain" in method:  # every setting, in the section's order; here those that are the method's own
            every = method.pop("pretrain")
            assert list(every) == [key for key in section if key in every]
            if own := {key: value for key, value in every.items() if value != found["pretrain"][key]}:
                method["pretrain"] = own
    assert json.dumps(found["methods"], sort_keys=True) == json.dumps(frozen, sort_keys=True)
    assert [list(method) for method in found["methods"].values()] == [list(method) for method in frozen.values()]
    new = {name: METHODS[name] for name in METHODS if name not in frozen}
    lines = [f"{json.dumps(name)}: {json.dumps({'family': one.family, **one.defaults})}" for name, one in new.items()]
    assert not new, "new methods: put these lines at the end of tests/unit/resolved_methods.json: " + ",\n".join(lines)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_its_module_its_source_and_an_origin_for_each_setting(name):
    method = METHODS[name]
    part = {"pretrained": "NETWORK", "network": "build", "classical": "fit"}[method.kind]
    found = part_of("probes" if method.kind == "classical" else "models", method.family, part)
    assert sys.modules[found.__module__].__doc__
    assert len(method.source) > 8
    own_parts = [of for part, of in method.parts.items() if part != "TRAIN" or method.kind != "network"]
    stated = [metadata_of(of, one.name) for of in own_parts for one in keys_of(of)]
    assert [one for one in stated if not one["about"]] == []
    assert [one for one in stated if not one["origin"]] == [] or name in ("mirror", "tangle")  # published values
    own = set(method.settings) - {"train", "network"} | set(method.settings.get("network", {}))
    assert len(stated) == len(own) or name in ("mirror", "tangle")  # whose settings are the section `pretrain`


def test_methods_are_named_by_their_entries_and_variants_by_the_table():
    names = read_text_sheet(RESOURCES / "names.tsv")
    assert not set(METHODS) & set(names.loc[names["kind"] == "method", "name"])
    assert published_key(names, "method", "title").items() >= {"cox": METHODS["cox"].title}.items()
    assert published_key(names, "method")["mirror--alignment"] == "mirror[alignment]"
    assert published_key(names, "method")["survpath"] == "survpath"


@pytest.mark.parametrize(
    ("name", "entry", "said"),
    [
        ("concat-linear", {"inputs": ["slides", "rna", "clinical"]}, "inputs: clinical: this method knows slides, rna"),
        ("mirror--slides", {"inputs": ["slides"]}, "inputs: [slides]: this method takes exactly [slides, rna]"),
        ("abmil", {"inputs": ["slides", "rna"]}, "inputs: [slides, rna]: this method takes exactly [slides]"),
        ("clinical", {"inputs": ["rna"]}, "inputs: [rna]: this method takes exactly [clinical]"),
        ("majority", {"inputs": ["rna"]}, "inputs: [rna]: no setting of majority; it has tasks, cohorts"),
        ("cox", {"tasks": ["subtyping", "survival"]}, "tasks: subtyping: this method knows survival"),
        ("linear", {"components": 9}, "components: 9: no setting of linear; it has inputs, tasks, cohorts, enc"),
        ("linear", {"columns": ["age"]}, "columns: [age]: no setting of linear"),
        ("linear", {"gene_sets": "random"}, "gene_sets: random: no setting of linear"),
        ("linear", {"train": {"epochs": 2}}, "train: {epochs: 2}: no setting of linear"),
        ("abmil", {"C": 1.0}, "C: 1.0: no setting of abmil"),
        ("abmil", {"selection": {"n_genes": 9}}, "selection: {n_genes: 9}: abmil sees no genes"),
        ("porpoise", {"gene_sets": "random"}, "gene_sets: random: no setting of porpoise"),
        ("cox--rna", {"inputs": ["rna"], "pooling": "mean"}, "pooling: mean: cox sees no slides here"),
        ("rna-linear", {"encoders": ["uni"]}, "encoders: [uni]: rna-linear sees no slides here"),
        ("clinical", {"encoders": ["uni"]}, "encoders: [uni]: clinical sees no slides here"),
        ("abmil", {"pretrain": {"width": 8}}, "pretrain: {width: 8}: abmil is not pretrained, only mirror, tangle are"),
    ],
)  # fmt: skip
def test_what_a_method_does_not_have_is_refused_by_name(name, entry, said):
    assert f"methods.{name}.{said}" in refused(**{name: entry})


def test_every_wrong_setting_is_named_at_once():
    message = refused(linear={"components": 9, "columns": ["age"], "inputs": ["clinical"]})
    assert [key for key in ("components", "columns", "inputs") if f"methods.linear.{key}: " not in message] == []


def test_what_a_method_can_do_is_allowed():
    found = resolved(
        **{
            "cox--slides": {"inputs": ["slides"], "pooling": "mean_std"},
            "cox--rna": {"inputs": ["rna"], "components": 20},
            "linear--both": {"inputs": ["rna", "slides"], "encoders": ["uni"], "selection": {"n_genes": 9}},
            "mirror--survival": {"tasks": ["survival"], "inputs": ["rna", "slides"], "pretrain": {"width": 48}},
        }
    )
    assert found["cox--slides"]["inputs"] == ["slides"]
    assert found["mirror--survival"]["tasks"] == ["survival"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "deep"}, "toy.kind: deep: allowed are pretrained, network, classical"),
        ({"inputs": ["smell"]}, "toy.inputs: smell: allowed are slides, rna, clinical"),
        ({"tasks": ["grading"]}, "toy.tasks: grading: allowed are subtyping, survival"),
        ({"kind": "pretrained"}, "a pretrained method sees slides and rna"),
        ({"kind": "network", "inputs": []}, "a network slides"),
        ({"inputs": ["rna", "clinical"]}, "clinical alone"),
        ({"colour": "red"}, "unknown key colour"),
        ({"source": None}, "source missing"),
        ({"inputs": "slides"}, "inputs: slides: write a list: [slides]"),
        ({"tasks": 3}, "tasks: 3: write a list: [3]"),
    ],
)
def test_an_entry_that_cannot_be_says_why(changes, said):
    entry = {key: value for key, value in (ENTRY | changes).items() if value is not None}
    with pytest.raises(ConfigError, match=r"methods\.yaml: toy") as caught:
        Method.of_entry("toy", entry)
    assert said in str(caught.value)


# A new method: one module, one entry.


def shown_in_docs(language: str, number: int = 0) -> str:
    """A code block of docs/adding_a_method.md."""
    return (ROOT / "docs" / "adding_a_method.md").read_text().split(f"```{language}\n")[number + 1].split("```")[0]


def test_the_classical_method_that_the_docs_show_is_one_module_and_one_entry(add_method):
    ((name, entry),) = yaml.safe_load(shown_in_docs("yaml", 2)).items()
    add_method(shown_in_docs("python", 1), yaml.safe_dump(entry), name)
    method = resolved(**{name: {"inputs": ["slides"], "shrinkage": 1}})[name]
    assert method["shrinkage"] == 1
    assert "methods.nearest.shrinkage: -1 is less than" in refused(**{name: {"shrinkage": -1}})
    classes = np.arange(30) % 2
    vectors = np.random.default_rng(0).normal(size=(30, 4)) + 5 * classes[:, None]
    fit, from_arrays = (part_of("probes", name, part) for part in ("fit", "from_arrays"))
    asked = Asked(n_classes=3)  # nobody is of the third
    model = fit(vectors, Targets(pd.DataFrame(index=range(30)), classes=classes), asked, method)
    found = model.predict(vectors, asked).probabilities
    assert found.shape == (30, 3)
    np.testing.assert_array_equal(found[:, :2].argmax(1), classes)
    np.testing.assert_array_equal(from_arrays(model.arrays()).predict(vectors, asked).probabilities, found)


MODULE = '''"""Toy: the training shares, sharpened (a method that this test made up)."""

from dataclasses import dataclass

import numpy as np

from mirrorflow.config.fields import Settings, number
from mirrorflow.probes.task import SubtypePrediction


@dataclass(frozen=True)
class ToySettings(Settings):
    """How sharp."""

    sharpness: float = number("exponent of the shares.", 2.0, minimum=1, origin="ours")


def fit(train, targets, asked, settings):
    shares = np.bincount(targets.classes, minlength=asked.n_classes) ** settings["sharpness"]
    return Toy(shares / shares.sum())


def from_arrays(arrays):
    return Toy(arrays["shares"])


class Toy:
    def __init__(self, shares):
        self.shares = shares

    def predict(self, vectors, asked):
        return SubtypePrediction(np.tile(self.shares, (len(vectors), 1)))

    def arrays(self):
        return {"shares": self.shares}


SETTINGS = ToySettings
'''
TOY = """
title: Toy of a test
source: nobody
kind: classical
inputs: []
tasks: [subtyping]
"""


@pytest.fixture
def add_method(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Add a method by its two texts: the entry, and the module in a folder that the package looks in, too."""

    def add(module: str, entry: str, name: str = "toy") -> None:
        method = Method.of_entry(name, yaml.safe_load(entry))
        package = probes if method.kind == "classical" else models
        folder = tmp_path / package.__name__
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(module)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        monkeypatch.setitem(METHODS, name, method)
        # Set first, so that what the test imports is forgotten after it.
        monkeypatch.setitem(sys.modules, f"{package.__name__}.{name}", package)
        del sys.modules[f"{package.__name__}.{name}"]

    return add


def test_a_method_is_one_module_and_one_entry(add_method, tmp_path):
    before = names_digest()
    add_method(MODULE, TOY)
    method = resolved(toy={"sharpness": 3.0})["toy"]
    assert method == {"family": "toy", "inputs": [], "tasks": ["subtyping"], "sharpness": 3.0}
    assert "methods.toy.sharpness: 0 is less than the minimum of 1" in refused(toy={"sharpness": 0})
    assert "methods.linear.sharpness: 3.0: no setting of linear" in refused(linear={"sharpness": 3.0})
    assert "| `methods.<name>.sharpness` |  | toy: exponent of the shares. |" in reference()
    assert published_key(read_text_sheet(RESOURCES / "names.tsv"), "method", "title")["toy"] == "Toy of a test"
    assert names_digest() != before

    count = 24
    label = np.array(["a", "b", "b"])[np.arange(count) % 3]
    cohort = pd.DataFrame(
        {
            "patient": [f"P{number:02}" for number in range(count)],
            "label": label,
            "time_days": 1.0,
            "event": 1.0,
            "site": "s",
            "slide_ids": [[f"S{number}"] for number in range(count)],
        }
    )
    write_cohort(tmp_path / "cohort.parquet", cohort, ["a", "b"])
    splits = [str(tmp_path / f"splits_{fold}.csv") for fold in range(2)]
    make_splits(str(tmp_path / "cohort.parquet"), splits, str(tmp_path / "s.tsv"), kind="random", folder=None, seed=1)
    support = str(tmp_path / "support.tsv")
    draw_support(str(tmp_path / "cohort.parquet"), splits, support, unit="patient", shots=[2], bins=4, seed=1)
    plan = Plan(
        cohort=str(tmp_path / "cohort.parquet"),
        splits=splits,
        support=support,
        protocol=PROTOCOL_PRESETS["honest"] | {"splits": "random"},
        tasks=method["tasks"],
        shots=[2],
        seeds=[1],
        bins=4,
        method=method,
    )
    predict_method(plan, NoInputs(), str(tmp_path / "p"), str(tmp_path / "p" / "manifest.json"), "toy")
    rows = read_predictions(tmp_path / "p" / "subtyping" / "fold0.parquet").rows
    np.testing.assert_allclose(rows.loc[rows["setting"] == "all", "prob_b"], 8 / 9, atol=0.1)
    np.testing.assert_allclose(rows.loc[rows["setting"] == "2-shot", "prob_b"], 0.5)


def test_an_entry_without_its_module_or_its_setting_described_says_what_to_write(add_method, monkeypatch):
    add_method("", TOY)
    with pytest.raises(ConfigError, match=r"mirrorflow/probes/toy\.py has no `fit`; docs/adding_a_method\.md"):
        part_of("probes", "toy", "fit")
    with pytest.raises(ConfigError, match=r"mirrorflow/models/toy\.py is not there"):
        part_of("models", "toy", "build")
    assert "toy: mirrorflow/probes/toy.py has no `SETTINGS`" in refused(toy={})
    add_method(MODULE.replace('number("exponent of the shares.", 2.0, minimum=1, origin="ours")', "2.0"), TOY)
    assert "ToySettings.sharpness: no bounds and no description; make it a setting" in refused(toy={})
    monkeypatch.setitem(METHODS, "tiy", Method.of_entry("tiy", ENTRY))
    assert "tiy: mirrorflow/probes/tiy.py is not there, though config/methods.yaml has an entry" in refused(toy={})


def test_a_familys_module_without_an_entry_is_refused_at_start(add_method, monkeypatch):
    add_method(MODULE, TOY)
    monkeypatch.delitem(METHODS, "toy")
    message = refused(linear={})
    assert "mirrorflow/probes/toy.py: a family (it has SETTINGS) without an entry in methods.yaml" in message


def test_settings_that_would_import_torch_are_refused(add_method):
    add_method("import torch\n" + MODULE.replace("minimum=1,", "minimum=torch.tensor(1),"), TOY)
    assert "toy.py: name 'torch' is not defined: settings may use what mirrorflow.config" in refused(toy={})


def test_a_preset_stands_between_the_defaults_and_what_the_run_names(add_method):
    entry = yaml.safe_load(TOY) | {"presets": {"released": {"sharpness": 5.0}}}
    add_method(MODULE, yaml.safe_dump(entry))
    assert resolved(toy={})["toy"]["sharpness"] == 2.0
    assert resolved(toy={"preset": "released"})["toy"]["sharpness"] == 5.0
    assert resolved(toy={"preset": "released", "sharpness": 3.0})["toy"]["sharpness"] == 3.0
    said = refused(toy={"preset": "relased"})
    assert "methods.toy.preset: 'relased' is not one of 'before-1.0', " in said
    assert "'released'" in said
    assert "methods.linear.preset: released: no setting of linear" in refused(linear={"preset": "released"})
    assert "methods.toy.preset: before-1.0: toy has released" in refused(toy={"preset": "before-1.0"})
    entry["presets"]["released"]["sharpnes"] = 1.0
    add_method(MODULE, yaml.safe_dump(entry))
    assert "methods.yaml: toy.presets.released.sharpnes: 1.0: no setting of toy" in refused(toy={})


def test_a_preset_of_a_network_changes_single_keys(add_method):
    entry = yaml.safe_load(NETWORK_ENTRY) | {"presets": {"wide": {"network": {"rank": 9}, "train": {"tokens": 5}}}}
    add_method(NETWORK, yaml.safe_dump(entry))
    method = resolved(toy={"preset": "wide", "train": {"epochs": 7}})["toy"]
    assert method["network"] == {"rank": 9}
    assert method["train"] == SUPERVISED_TRAINING | {"epochs": 7, "tokens": 5}


PRETRAINED = '''"""Toy that is pretrained."""

from dataclasses import dataclass

from mirrorflow.config.fields import number
from mirrorflow.config.training_settings import PairedShape


@dataclass(frozen=True)
class ToySettings(PairedShape):
    """How warm."""

    warmth: float = number("x", 2.0)


SETTINGS, NETWORK = ToySettings, None
'''


def test_a_pretrained_familys_own_settings_are_its_own(add_method, monkeypatch):
    add_method(PRETRAINED, yaml.safe_dump(ENTRY | {"kind": "pretrained", "inputs": ["slides", "rna"]}))
    monkeypatch.setattr(configs, "_owners_of_keys", configs._owners_of_keys.__wrapped__)  # what it remembers is older
    assert load_schema()["$defs"]["pretrain"]["properties"]["warmth"]["x-family"] == "toy"
    assert resolve(config(mirror={}))["methods"]["mirror"]["pretrain"].keys().isdisjoint({"warmth"})
    assert resolve(config(mirror={}))["pretrain"]["warmth"] == 2.0


def test_two_families_with_other_defaults_of_one_key_are_refused(add_method):
    changed = PRETRAINED.replace('warmth: float = number("x", 2.0)', "width: int = 512")
    add_method(changed, yaml.safe_dump(ENTRY | {"kind": "pretrained", "inputs": ["slides", "rna"]}))
    assert "toy: width: mirror states it, too, with another default" in refused(mirror={})


NETWORK = '''"""Toy: the mean patch, in two steps (a network that this test made up)."""

from dataclasses import dataclass

from torch import nn

from mirrorflow.config.fields import Settings, count
from mirrorflow.config.training_settings import Train
from mirrorflow.models.layers import masked_mean
from mirrorflow.models.seam import Output
from mirrorflow.models.seam import Batch
from mirrorflow.models.supervised import SupervisedNetwork


@dataclass(frozen=True)
class ToySettings(Settings):
    """Sizes."""

    rank: int = count("width between the steps.", 4)


@dataclass(frozen=True)
class ToyTrain(Train):
    """Shorter than usual."""

    epochs: int = 3


class Toy(SupervisedNetwork):
    def __init__(self, sizes, rank):
        super().__init__(sizes, rank)
        self.steps = nn.Sequential(nn.Linear(sizes.patch_dim, rank), nn.Linear(rank, sizes.outputs))

    def output(self, batch):
        return Output(self.steps(masked_mean(batch.patches, batch.mask)))


def build(sizes, *, rank):
    return Toy(sizes, rank)


SETTINGS, TRAIN = ToySettings, ToyTrain
'''
NETWORK_ENTRY = """
title: Toy network of a test
source: nobody
kind: network
inputs: [slides]
tasks: [subtyping]
"""


def test_the_network_that_the_docs_show_is_one_module_and_one_entry(add_method):
    ((name, entry),) = yaml.safe_load(shown_in_docs("yaml")).items()
    assert name == "mean-mlp"
    add_method(shown_in_docs("python"), yaml.safe_dump(entry))
    ((_, asked),) = yaml.safe_load(shown_in_docs("yaml", 1))["methods"].items()
    assert resolved(toy=asked)["toy"]["network"] == {"width": 32}
    method = resolved(toy={"network": {"width": 2}})["toy"]
    network = build_network("toy", Sizes(patch_dim=5, gene_count=0, outputs=3), method["network"], seed=1)
    patches, mask = torch.ones(2, 4, 5), torch.ones(2, 4, dtype=torch.bool)
    assert network(Batch(patches, mask, torch.zeros(2, 0))).logits.shape == (2, 3)


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("def build(", "def biuld(", "toy.py has no `build`, though the entry says kind: network"),
        ("*, rank", "*, depth", "`build` takes no rank, which SETTINGS states"),
        ("*, rank", "*, rank, depth", "`build` wants depth, which SETTINGS does not state"),
        ('count("width between the steps.", 4)', 'number("x", 4, max=9)', "unknown max; bounds are minimum, maximum"),
        ('count("width between the steps.", 4)', 'count("x", 4, minimum=2)', "unexpected keyword argument 'minimum'"),
    ],
)
def test_a_module_that_does_not_fit_its_entry_is_refused_at_start(add_method, right, wrong, said):
    module = NETWORK.replace("import Settings, count", "import Settings, count, number")
    add_method(module.replace(right, wrong), NETWORK_ENTRY)
    message = refused(majority={})
    assert "toy.py" in message
    assert said in message


def test_a_build_that_takes_what_settings_state_and_more_is_fine(add_method):
    add_method(NETWORK.replace("*, rank", "*, rank, depth=2"), NETWORK_ENTRY)
    assert resolved(toy={})["toy"]["network"] == {"rank": 4}
    add_method(NETWORK.replace("*, rank", "**settings"), NETWORK_ENTRY)
    assert resolved(toy={})["toy"]["network"] == {"rank": 4}


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("return Output(self.steps", "return (self.steps", "Toy.output returns a Tensor; return Output(logits)"),
        ("nn.Linear(rank, sizes.outputs)", "nn.Linear(rank, 1)", "logits have shape (2, 1), [unit, output] is (2, 3)"),
    ],
)
def test_an_output_that_is_none_is_named(add_method, right, wrong, said):
    add_method(NETWORK.replace(right, wrong), NETWORK_ENTRY)
    network = build_network("toy", Sizes(patch_dim=5, gene_count=0, outputs=3), {"rank": 2}, seed=1)
    with pytest.raises(MirrorflowError) as caught:
        network(Batch(torch.ones(2, 4, 5), torch.ones(2, 4, dtype=torch.bool), torch.zeros(2, 0)))
    assert said in str(caught.value)
    assert "mirrorflow.models.toy" in str(caught.value)


def test_a_network_is_one_module_and_one_entry(add_method):
    add_method(NETWORK, NETWORK_ENTRY)
    method = resolved(toy={"network": {"rank": 2}})["toy"]
    assert method["train"] == SUPERVISED_TRAINING | {"epochs": 3}
    assert "methods.toy.network.rank: 0 is less than" in refused(toy={"network": {"rank": 0}})
    network = build_network("toy", Sizes(patch_dim=5, gene_count=0, outputs=3), method["network"], seed=1)
    patches, mask = torch.ones(2, 4, 5), torch.ones(2, 4, dtype=torch.bool)
    assert network(Batch(patches, mask, torch.zeros(2, 0))).logits.shape == (2, 3)
    assert predictor_of(method) is predictors._supervised
