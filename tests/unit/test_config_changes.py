"""Another valid value for every key of the config."""

import pytest

from config_changes import OTHER_VALUES, all_changes
from mirrorflow.config.protocols import PROTOCOL_PRESETS
from mirrorflow.config.reference_page import reference
from mirrorflow.config.resolve import resolve
from mirrorflow.config.schema import load_schema
from mirrorflow.errors import ConfigError
from rerun_example import example_config


def test_every_key_of_the_reference_is_changed() -> None:
    changed = {change.key for change in all_changes(load_schema(), resolve(example_config()))}
    documented = {line.split("`")[1] for line in reference().splitlines() if line.startswith("| `")}
    leaves = {key for key in documented if not any(other.startswith(f"{key}.") for other in documented)}
    # a section that overrides another is changed as a whole
    parts = {key for key in leaves for whole in changed if key.startswith(f"{whole}.")}
    assert leaves - parts - set(PROTOCOL_PRESETS["honest"]) <= changed


def test_every_key_has_a_place_where_its_other_value_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is the same for every config, the schema and the check of the families, is made once."""
    raw, schema = example_config(), load_schema()
    resolved = resolve(raw)
    monkeypatch.setattr("mirrorflow.config.resolve.load_schema", lambda: schema)
    monkeypatch.setattr("mirrorflow.config.resolve.check_families", lambda: None)
    good: dict[str, bool] = {}
    for change in all_changes(schema, resolved):
        try:
            differs = resolve(change.apply(raw)) != resolved
        except ConfigError:
            differs = False
        good[change.key] = good.get(change.key, False) or differs
    assert [key for key, found in good.items() if not found] == []
    assert schema == load_schema(), "resolving leaves the schema as it is"


def test_other_values_are_of_keys_that_exist() -> None:
    known = {change.key for change in all_changes(load_schema(), resolve(example_config()))}
    assert set(OTHER_VALUES) <= known
