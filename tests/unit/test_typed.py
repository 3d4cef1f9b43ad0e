"""What Snakemake hands a job, read as a step's dataclasses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from snakemake.iocontainers import Namedlist

from mirrorflow.runtime.typed import RuleMismatchError, convert, read_fields


@dataclass(frozen=True)
class Speed:
    """Nested settings."""

    batch_size: int
    workers: int = 1


@dataclass(frozen=True)
class Declared:
    """A step's fields."""

    sheet: Path
    matrix: Path | None
    folds: list[Path]
    fold: int
    settings: Mapping[str, Any]
    speed: Speed
    clip: float | None = None


GIVEN = {
    "sheet": "a/slides.tsv",
    "matrix": [],
    "folds": ["a.csv", "b.csv"],
    "settings": {"method": "rfe"},
    "speed": {"batch_size": 16},
    "version": 3,
}


def read(**changes: Any) -> Declared:
    given = {name: value for name, value in {**GIVEN, **changes}.items() if value is not Ellipsis}
    return read_fields(
        Declared, Namedlist(fromdict=given), "rule r, input", wildcards=Namedlist(fromdict={"fold": "2"})
    )


def test_fields_get_their_types_and_what_the_step_does_not_declare_is_left():
    files = [Path("a.csv"), Path("b.csv")]
    assert read() == Declared(Path("a/slides.tsv"), None, files, 2, {"method": "rfe"}, Speed(16))


def test_a_rules_own_param_goes_before_the_wildcard_of_its_name():
    assert read(fold=7).fold == 7


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sheet": ...}, "rule r, input sheet: the step declares it, the rule does not give it"),
        ({"sheet": []}, r"rule r, input sheet: '\[\]' \(list\) instead of str"),
        ({"sheet": ["a", "b"]}, "rule r, input sheet: .* instead of str"),
        ({"matrix": ["a", "b"]}, "rule r, input matrix: .* instead of Path"),
        ({"folds": {"a": 1}}, "rule r, input folds: .* instead of a list of Path"),
        ({"folds": ["a", 1]}, r"rule r, input folds, item 1: '1' \(int\) instead of str"),
        ({"fold": True}, r"rule r, input fold: 'True' \(bool\) instead of a number"),
        ({"fold": "1"}, r"rule r, input fold: '1' \(str\) instead of int"),
        ({"settings": 1}, "rule r, input settings: .* instead of Mapping"),
        (
            {"speed": {"batch_size": 1, "wokers": 2}},
            "rule r, input speed: unknown wokers; Speed has batch_size, workers",
        ),
        ({"speed": {}}, "rule r, input speed: batch_size: the step declares it"),
        ({"clip": "3"}, r"rule r, input clip: '3' \(str\) instead of float"),
    ],
)
def test_what_does_not_fit_names_rule_and_field(changes: dict[str, Any], said: str):
    with pytest.raises(RuleMismatchError, match=said):
        read(**changes)


def test_a_wildcard_that_is_no_number_is_refused():
    with pytest.raises(RuleMismatchError, match="rule r, params fold: 'x'"):
        read_fields(Declared, Namedlist(fromdict=GIVEN), "rule r, params", wildcards=Namedlist(fromdict={"fold": "x"}))


def test_single_files_lists_and_missing_ones():
    assert convert("a", list[Path], "") == [Path("a")]
    assert convert([], list[Path], "") == []
    assert convert([["a"], ["b"]], list[list[Path]], "") == [[Path("a")], [Path("b")]]
    assert convert(("a", "b"), tuple[str, ...], "") == ("a", "b")
    assert convert([1, 2], Sequence[int], "") == [1, 2]
    assert convert(3, float | None, "") == 3.0
    assert convert(None, str | None, "") is None
    assert convert("x", Any, "") == "x"
