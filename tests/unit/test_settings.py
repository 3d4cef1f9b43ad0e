"""One source of settings: each default is stated once, and everything else follows from the dataclasses."""

import ast
import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

import mirrorflow
from mirrorflow.config.bounds import fits, problem_of
from mirrorflow.config.fields import (
    UNSET,
    Section,
    Settings,
    default_of,
    defaults_of,
    has_default,
    keys_of,
    metadata_of,
    property_of,
    schema_of,
)
from mirrorflow.config.methods import METHODS
from mirrorflow.config.resolve import resolve
from mirrorflow.config.schema import fill_defaults, load_schema
from mirrorflow.config.settings import Config
from mirrorflow.config.training_settings import PretrainSettings, Train
from mirrorflow.errors import ConfigError
from mirrorflow.probes.linear_head import HeadSettings
from mirrorflow.slides.encoder_settings import EncoderSettings
from mirrorflow.training.embedding import EmbedSettings
from mirrorflow.training.settings import AdaptationSettings, ComputeSettings, SupervisedSettings
from small_config import minimal


def all_sections(of: type[Section]) -> Iterator[type[Section]]:
    """A section and those inside it, each as often as it is used."""
    yield of
    for one in keys_of(of):
        schema = metadata_of(of, one.name)["schema"]
        for inner in ("section", "entries"):
            if inner in schema:
                yield from all_sections(schema[inner])


PACKAGE = Path(mirrorflow.__file__).parent
FAMILIES = {method.family: method for method in METHODS.values()}
SECTIONS = {*all_sections(Config), Train, PretrainSettings}
SECTIONS |= {part for method in METHODS.values() for part in method.parts.values()}
OF_JOBS = (AdaptationSettings, ComputeSettings, EmbedSettings, EncoderSettings, HeadSettings, SupervisedSettings)


def test_the_schema_is_one():
    Draft202012Validator.check_schema(load_schema())


@pytest.mark.parametrize("section", sorted(SECTIONS, key=lambda one: one.__qualname__), ids=lambda one: one.__name__)
def test_every_setting_is_described_and_its_default_fits_its_bounds(section):
    for one in keys_of(section):
        stated, schema = metadata_of(section, one.name), property_of(section, one.name)
        assert schema.get("description") or "$ref" in schema, one.name
        if "section" in stated["schema"] or "entries" in stated["schema"] or not has_default(one):
            continue
        if (default := default_of(one)) is not UNSET:
            assert problem_of(default, schema) == "", one.name


def plain_defaults(path: Path) -> list[str]:
    """Fields and keywords of a module that have a name of a setting and a value of their own."""
    names = {one.name for section in SECTIONS for one in keys_of(section)} - EVERYDAY
    tree, found = ast.parse(path.read_text(encoding="utf-8")), []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            pairs = [(one.arg, value) for one, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)]
            positional = node.args.args[len(node.args.args) - len(node.args.defaults) :]
            pairs += [(one.arg, value) for one, value in zip(positional, node.args.defaults, strict=True)]
        elif isinstance(node, ast.ClassDef):
            own = [one for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
            pairs = [(one.target.id, one.value) for one in own]  # type: ignore[union-attr]
        else:
            continue
        found += [f"{path.stem}.{node.name}.{name}" for name, value in pairs if name in names and is_number(value)]
    return found


EVERYDAY = {
    "seed", "seeds", "workers", "columns", "name", "tasks", "path", "label", "title", "inputs", "features", "slides",
    "splits", "cohorts", "protocols", "methods", "encoders", "size", "threshold", "mpp", "steps", "layers", "draws",
    "weights", "keep", "limit", "train", "network", "step",
}  # fmt: skip
"""Names that mean other things elsewhere."""


def is_number(value: ast.expr | None) -> bool:
    """Whether a value is a number other than 0, which means that something is off."""
    constant = value.value if isinstance(value, ast.Constant) else None
    return isinstance(constant, int | float) and not isinstance(constant, bool) and constant != 0


def test_no_consumer_states_a_default_of_its_own():
    """Dataclasses and signatures of training, networks and probes: the values come from the config's dataclasses."""
    found = [
        one
        for package in ("training", "models", "probes", "learners", "slides", "expression")
        for path in sorted((PACKAGE / package).rglob("*.py"))
        for one in plain_defaults(path)
    ]
    assert found == ALLOWED


ALLOWED = ["phikon.phikon_network.width", "phikon.phikon_network.heads"]
"""Phikon's architecture, which its weights fix."""


def test_what_a_job_adds_to_a_section_has_the_sections_defaults():
    config = resolve(minimal())
    assert (
        dataclasses.asdict(HeadSettings()).items()
        >= {
            key: config["probe"][key] for key in ("epochs", "batch_size", "learning_rate", "weight_decay", "drop_last")
        }.items()
    )
    assert dataclasses.asdict(SupervisedSettings()).items() >= defaults_of(Train).items()
    assert (
        dataclasses.asdict(PretrainSettings()).items()
        >= {
            key: value for key, value in config["pretrain"].items() if key in PretrainSettings.__dataclass_fields__
        }.items()
    )
    assert dataclasses.asdict(ComputeSettings()).items() <= config["compute"].items()


def values_that_do_not_fit(schema: dict[str, Any]) -> list[Any]:
    return [-1e9, "no such word", [], None, True, 0]


@pytest.mark.parametrize(
    "section", [PretrainSettings, Train, HeadSettings, ComputeSettings], ids=lambda one: one.__name__
)
def test_an_object_refuses_what_the_schema_refuses(section):
    """The check of objects and JSON schema agree on values of every kind."""
    for one in keys_of(section):
        schema = {**property_of(section, one.name), "$defs": load_schema()["$defs"]}
        for value in values_that_do_not_fit(schema):
            fits = Draft202012Validator(schema).is_valid(value)
            assert (problem_of(value, schema) == "") == fits, (one.name, value)


def test_an_unknown_key_is_named_with_the_closest():
    with pytest.raises(ConfigError, match="train: unknown key 'epoch'; did you mean 'epochs'"):
        Train.of({"epoch": 3})


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (
            {"methods": {"mirror": {"pretrain": {"width": 60}}}},
            "methods.mirror (pretrain): width 60 is not divisible by",
        ),
        ({"pretrain": {"rna_heads": 7}}, "methods.mirror (pretrain): width 768 is not divisible by rna_heads 7"),
        ({"methods": {"ilra-mil": {"network": {"heads": 3}}}}, "methods.ilra-mil.network: width 256 is not divisible"),
        ({"methods": {"transmil": {"network": {"heads": 7}}}}, "methods.transmil.network: width 512 is not divisible"),
        (
            {"methods": {"snntrans": {"network": {"heads": 7}, "gene_sets": "random"}}},
            "methods.snntrans.network: width 256 is not divisible",
        ),
        (
            {"methods": {"abmil": {"preset": "repository", "train": {"survival": "cox"}}}},
            "methods.abmil.train: survival is cox and batch_size 1: Cox's partial likelihood compares the units",
        ),
        (
            {"methods": {"tta": {"gene_sets": "random", "train": {"batch_size": 1}}}},
            "methods.tta.train: survival is cox and batch_size 1",
        ),
        ({"slides": {"presets": {"a": {"size_px": 8, "overlap_px": 8}}}}, "slides.presets.a: patch.overlap_px is 8"),
        ({"pretrain": {"slide_mask_ratio": 0}}, "pretrain.slide_mask_ratio"),
        ({"compute": {"compile": True, "micro_batch": 4}}, "compute: compile and micro_batch are both set"),
    ],
)
def test_what_cannot_go_together_is_refused_at_the_start(raw, said):
    with pytest.raises(ConfigError) as caught:
        resolve(minimal(**raw))
    assert said in str(caught.value)


def test_batches_of_one_are_fine_where_no_survival_is_trained_on_them_by_cox():
    alone = {"preset": "repository"}
    resolve(minimal(methods={"abmil": alone}))
    resolve(minimal(methods={"abmil": {**alone, "train": {"survival": "cox"}, "tasks": ["subtyping"]}}))


def test_the_settings_of_every_family_are_read_without_importing_torch():
    code = (
        "import sys; from mirrorflow.config.schema import fill_defaults, load_schema; load_schema(); "
        "print([name for name in ('torch', 'numpy', 'pandas', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_read_of_a_familys_module_is_what_the_module_has():
    for family, method in FAMILIES.items():
        module = __import__(
            f"mirrorflow.{'probes' if method.kind == 'classical' else 'models'}.{family.replace('-', '_')}",
            fromlist=["SETTINGS"],
        )
        for part, read in method.parts.items():
            assert schema_of(read) == schema_of(getattr(module, part)), family
            assert issubclass(read, Settings)


def mutants(value: Any) -> Iterator[Any]:
    """The value with one thing changed: a key gone, one too many, another value, at every depth."""
    yield from (None, -1, 0, 1, 2.5, True, "", "No Name", "name", [], [1, 1], {}, {"x": 1}, "5")
    if isinstance(value, dict):
        yield {**value, "unknown": 1}
        yield {**value, 7: {}}
        for key in value:
            yield {name: one for name, one in value.items() if name != key}
            for changed in mutants(value[key]):
                yield {**value, key: changed}
    if isinstance(value, list):
        yield [*value, *value]
        for place, one in enumerate(value):
            for changed in mutants(one):
                yield [*value[:place], changed, *value[place + 1 :]]


@pytest.mark.parametrize("name", ["config/config.yaml", "config/tcga.yaml", "config/features.yaml"])
def test_what_is_found_right_without_jsonschema_is_right_by_jsonschema(name):
    schema, raw = load_schema(), yaml.safe_load((PACKAGE.parents[1] / name).read_text())
    judge, agreed = Draft202012Validator(schema), []
    whole = fill_defaults(schema, raw)
    for config in [raw, whole, *islice(mutants(raw), 0, None, 7), *islice(mutants(whole), 0, None, 5)]:
        right = fits(config, schema, schema["$defs"])
        assert not right or judge.is_valid(config), config
        agreed.append(right)
    assert agreed[0]
    assert 20 < sum(agreed) < len(agreed) - 20


def test_a_right_config_is_read_without_jsonschema():
    code = (
        "import sys, yaml; from mirrorflow.config.resolve import resolve; "
        "resolve(yaml.safe_load(open('config/config.yaml'))); print('jsonschema' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parents[1]
    )
    assert done.stdout.strip() == "False"
