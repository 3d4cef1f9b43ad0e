"""Keys with new names: the old ones count, with a warning."""

import logging

import pytest

from mirrorflow.config.aliases import with_new_names
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError
from small_config import minimal


def both_presets(**optimism: object) -> dict:
    protocols = {"honest": {"splits": "random"}, "paper": {"splits": "random"}}
    return minimal(protocols=protocols, evaluation={"optimism": optimism})


def test_an_old_key_counts_as_the_new_one_and_says_so(caplog):
    with caplog.at_level(logging.WARNING, logger="mirrorflow.config"):
        old = resolve(both_presets(habits=["epoch"]))
    assert "evaluation.optimism.habits has a new name: evaluation.optimism.changes" in caplog.text
    caplog.clear()
    assert old == resolve(both_presets(changes=["epoch"]))
    assert old["evaluation"]["optimism"]["changes"] == ["epoch"]
    assert "change--epoch" in old["protocols"]
    assert caplog.text == ""


def test_old_and_new_together_are_refused():
    with pytest.raises(
        ConfigError, match=r"optimism\.habits is the old name of evaluation\.optimism\.changes; .* both"
    ):
        resolve(both_presets(habits=["epoch"], changes=["epoch"]))


def test_a_star_stands_for_names_of_ones_own_and_the_order_of_keys_stays():
    raw = {"methods": {"a": {"x": 1, "old": 2, "y": 3}, "b": None}, "other": 1}
    found = with_new_names(raw, {"methods.*.old": "methods.*.new"})
    assert list(found["methods"]["a"].items()) == [("x", 1), ("new", 2), ("y", 3)]
    assert found["methods"]["b"] is None
    assert raw["methods"]["a"]["old"] == 2
