"""Equal numbers of a config are one number: 0 and 0.0 for a share, 5 and 5.0 for a count."""

import json
from typing import Any

import pandas as pd
import pytest

from mirrorflow.config.number_form import with_one_form
from mirrorflow.config.resolve import resolve
from mirrorflow.config.schema import load_schema
from mirrorflow.store.digest import same_settings
from mirrorflow.store.genes import COLUMNS, is_finished, write_genes
from small_config import minimal

AS_WHOLE = {
    "pretrain": {"weight_decay": 0, "alignment_weight": 1},
    "slides": {
        "segmentation": {"threshold": 96, "closing_um": 40},
        "presets": {"p": {"size_px": 256, "mpp": 1, "min_tissue": 0}},
    },
    "features": {"encoders": {"uni2": {"patching": "p", "model": "resnet50", "weights": "random", "mean": [0, 1, 0]}}},
    "expression": {"clip": 6, "sources": {"own": {"matrix": "rna.tsv"}}, "selection": {"rfe": {"step": 1}}},
    "methods": {
        "linear": {"C": 1},
        "abmil": {"train": {"weight_decay": 0, "clip_norm": 1}, "network": {"dropout": 0}},
        "mirror": {"pretrain": {"weight_decay": 0}, "selection": {"rfe": {"C": 1}}},
    },
}


def written(value: Any, form: type) -> Any:
    """The same config with every number of one form."""
    if isinstance(value, dict):
        return {key: written(one, form) for key, one in value.items()}
    if isinstance(value, list):
        return [written(one, form) for one in value]
    return form(value) if isinstance(value, int) else value


def test_a_number_written_without_a_point_is_the_number_with_one():
    whole, pointed = (resolve(minimal(**written(AS_WHOLE, form))) for form in (int, float))
    assert json.dumps(whole) == json.dumps(pointed)
    assert json.dumps(whole["pretrain"]["weight_decay"]) == "0.0"
    assert json.dumps(whole["slides"]["segmentation"]["threshold"]) == "96.0"
    assert json.dumps(whole["methods"]["abmil"]["train"]["clip_norm"]) == "1.0"
    assert json.dumps(whole["methods"]["mirror"]["pretrain"]["weight_decay"]) == "0.0"
    assert json.dumps(whole["expression"]["clip"]) == "6.0"


def test_defaults_have_the_form_of_what_is_written():
    default = minimal(methods={"mirror": {}, "abmil": {}})
    named = default | {"pretrain": {"weight_decay": 0}, "compute": {"cache_gb": 4}, "probe": {"weight_decay": 0.0}}
    assert json.dumps(resolve(named)) == json.dumps(resolve(default))


def test_a_count_written_with_a_point_is_the_count():
    config = resolve(minimal(pretrain={"epochs": 7.0}, splits={"folds": 4.0}))
    assert json.dumps([config["pretrain"]["epochs"], config["splits"]["folds"]]) == "[7, 4]"


@pytest.mark.parametrize(
    ("schema", "value", "form"),
    [
        ({"type": "number"}, 3, "3.0"),
        ({"type": "number"}, -0.0, "0.0"),
        ({"type": ["number", "null"]}, None, "null"),
        ({"type": ["integer", "null"]}, 3.0, "3"),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, 3, "3"),
        ({"anyOf": [{"$ref": "#/$defs/positive"}, {"type": "null"}]}, 3, "3.0"),
        ({"enum": [1, 2.5, "auto"]}, 1.0, "1"),
        ({"type": "boolean"}, True, "true"),
        ({"type": "string"}, "3", '"3"'),
        ({}, 3, "3"),
    ],
)
def test_the_form_is_that_of_the_schema(schema, value, form):
    assert json.dumps(with_one_form(schema, value, load_schema()["$defs"])) == form


def test_what_was_made_before_numbers_had_one_form_is_kept(tmp_path):
    assert same_settings('{"a":{"b":0,"c":[1,2]}}', {"a": {"b": 0.0, "c": (1, 2.0)}})
    assert not same_settings('{"a":{"b":0}}', {"a": {"b": 0.5}})
    manifest = tmp_path / "fold0.tsv"
    write_genes(manifest, pd.DataFrame(columns=list(COLUMNS)), {"rfe": {"step": 1}}, {})
    assert is_finished(manifest, {"rfe": {"step": 1.0}})
    assert not is_finished(manifest, {"rfe": {"step": 2.0}})
