"""Rule files are sentences: no logic, none long."""

import re

import pytest

from mirrorflow.config.resources import ROOT

FILES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
LOGIC = re.compile(r"\b(lambda|def|class)\b|^\s*(if|for|while|try)\b", re.MULTILINE)


def code_of(text: str) -> str:
    """A rule file without its docstring and comments."""
    return re.sub(r"#.*", "", re.sub(r'^""".*?"""', "", text, flags=re.DOTALL))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_rule_file_holds_no_logic_and_is_short(path):
    text = path.read_text()
    assert LOGIC.findall(code_of(text)) == []
    assert len(text.splitlines()) <= 120


def test_the_entry_point_holds_no_function():
    assert not re.search(r"\b(lambda|def)\b", code_of((ROOT / "Snakefile").read_text()))
