"""Keys of a YAML config: numbers are their text, what YAML takes for something else is refused, none stands twice."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from mirrorflow.cohorts.patients import name_classes
from mirrorflow.commands.check import read_config
from mirrorflow.config.resolve import resolve
from mirrorflow.config.yaml_keys import check_files, with_text_keys
from mirrorflow.errors import ConfigError
from mirrorflow.plan.session import resolved
from small_config import minimal


def with_cohort(**changes: Any) -> dict[str, Any]:
    raw = minimal()
    raw["cohorts"]["a"] |= changes
    return raw


def test_numbers_are_read_as_their_text() -> None:
    config = resolve(with_cohort(classes={0: "low", 1: "high", 2.5: "odd"}, site="none"))
    assert config["cohorts"]["a"]["classes"] == {"0": "low", "1": "high", "2.5": "odd"}
    labels = pd.DataFrame({"patient": ["A", "B"], "label": ["0", "1"]})
    assert name_classes(labels, config["cohorts"]["a"]["classes"], "none")["label"].tolist() == ["low", "high"]


@pytest.mark.parametrize(
    ("section", "entry"),
    [
        ("cohorts", minimal()["cohorts"]["a"]),
        ("protocols", {"preset": "honest"}),
        ("simulate", {}),
        ("downloads", {"url": "https://hub.example/x"}),
        ("expression.sources", {"matrix": "rna.tsv"}),
        ("slides.presets", {"size_px": 512, "mpp": 0.5}),
        ("cohorts.a.features", "folder"),
        ("cohorts.a.splits", "folder"),
        ("cohorts.a.clinical.columns", "age"),
    ],
)
def test_in_every_map_of_names(section: str, entry: Any) -> None:
    def with_key(*, key: Any) -> dict[str, Any]:
        raw = minimal()
        place = raw
        for name in section.split("."):
            place = place.setdefault(name, {})
        place[key] = entry
        return raw

    found = with_text_keys(with_key(key=7))
    for name in section.split("."):
        found = found[name]
    assert found["7"] == entry
    assert "7" not in str(resolve_problem(with_key(key=7)))
    assert f"{section}: YAML reads one of its keys as False" in resolve_problem(with_key(key=False))


def resolve_problem(raw: dict[str, Any]) -> str:
    try:
        resolve(raw)
    except ConfigError as error:
        return str(error)
    return ""


def test_a_key_that_stands_as_number_and_as_text_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cohorts\.a\.classes: the key '0' stands there twice"):
        resolve(with_cohort(classes={0: "low", "0": "high"}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n  No: x\n", 'line 2: a: YAML reads the key No as true or false: quote it, "No":'),
        ("a: {off: x}\n", "line 1: a: YAML reads the key off as true or false: quote it"),
        ("~: x\n", "line 1: (top level): YAML reads the key ~ as nothing (null): quote it"),
        ("2024-01-01: x\n", "line 1: (top level): YAML reads the key 2024-01-01 as a date: quote it"),
        ("a:\n- {010: x}\n", 'line 2: a: YAML reads the key 010 as the number 8: quote it, "010":'),
        ("1_0: x\n", "YAML reads the key 1_0 as the number 10"),
        ("1.50: x\n", "YAML reads the key 1.50 as the number 1.5"),
        ("a: 1\nb: 2\na: 3\n", "line 3: (top level): the key 'a' stands in line 1, too, and YAML drops one; keep one"),
        ("m: {x: 1,\n  x: 2}\n", "line 2: m: the key 'x' stands in line 1, too"),
    ],
)
def test_keys_of_a_file_are_named_with_their_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        check_files([path])
    assert f"{path}, {said}" in str(caught.value) or said in str(caught.value)


def test_files_without_such_keys_pass(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text('a: {0: x, 1.5: y, "No": z, n: v}\nb: &b {x: 1}\nc: {<<: *b, x: 2}\n')
    (tmp_path / "none.yaml").write_text("{")
    check_files([tmp_path / "c.yaml", tmp_path / "none.yaml", tmp_path / "absent.yaml"])
    check_files(sorted((Path(__file__).parents[2] / "config").glob("*.yaml")))


def test_check_and_run_look_at_the_files(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(minimal()) + "run: twice\n")
    with pytest.raises(ConfigError, match="the key 'run' stands in line"):
        read_config([path])
    with pytest.raises(Exception, match="the key 'run' stands in line"):
        resolved(minimal(), [path])


def test_a_label_that_yaml_reads_as_a_number_is_explained() -> None:
    assert "(YAML takes it for a number" in resolve_problem(with_cohort(classes={"0": 1}))


def test_classes_that_no_label_has_are_refused() -> None:
    """A run of such classes ended well and had no subtyping."""
    labels = pd.DataFrame({"patient": ["A", "B", "C"], "label": ["low", "", "high"]})
    with pytest.raises(
        ConfigError, match=r"classes: none of '0', '1' is a label of the sheet, which has 'high', 'low'"
    ):
        name_classes(labels.copy(), {"0": "low", "1": "high"}, "none")
    unlabelled = labels.assign(label="")
    assert name_classes(unlabelled, {"0": "low"}, "none")["label"].tolist() == ["", "", ""]
