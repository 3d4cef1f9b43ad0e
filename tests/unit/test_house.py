"""The house keeps its order: short files and functions, a step and a script a rule, no circles of imports."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "workflow" / "mirrorflow"
RULES = ROOT / "workflow" / "rules"
SCRIPTS = ROOT / "workflow" / "scripts"
FILE_LINES, FUNCTION_LINES, RULE_LINES = 300, 60, 120
AT_ROOT = {"__init__.py", "cli.py", "errors.py", "units.py"}

# What is too long still, each with its issue; the lists only ever get shorter.
LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()

RULE = re.compile(r"^(?:    )*rule (\w+):", re.MULTILINE)
SCRIPT = re.compile(r'"\.\./scripts/(?:\w+/)?(\w+)\.py"')


def modules() -> Iterator[tuple[str, str]]:
    """Place in the package and text of every module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8")


def lines(text: str) -> int:
    return len(text.splitlines())


def test_no_module_is_longer_than_300_lines():
    assert {name for name, text in modules() if lines(text) > FILE_LINES} <= LONG_FILES


def test_no_function_is_longer_than_60_lines():
    long = {
        f"{name}: {node.name}"
        for name, text in modules()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES
    }
    assert long <= LONG_FUNCTIONS


def test_no_rule_file_is_longer_than_120_lines():
    assert {path.name for path in RULES.glob("*.smk") if lines(path.read_text()) > RULE_LINES} == set()


def test_the_packages_root_holds_the_command_line_errors_and_units_alone():
    assert {path.name for path in PACKAGE.glob("*.py")} == AT_ROOT


def test_every_rule_has_a_script_and_a_step_of_its_name_and_nothing_else_is_there():
    text = "\n".join(path.read_text(encoding="utf-8") for path in RULES.glob("*.smk"))
    rules, named = set(RULE.findall(text)), SCRIPT.findall(text)
    scripts = {path.stem for path in SCRIPTS.rglob("*.py")}
    assert len(named) == len(set(named))
    assert rules == set(named) == scripts
    for rule in sorted(rules):
        assert len(list((PACKAGE / "steps").glob(f"*/{rule}.py"))) == 1, rule


@pytest.mark.parametrize(("b_imports_a", "broken"), [("", False), ("from mirrorflow.part import a\n", True)])
def test_make_lint_fails_on_a_circle_of_imports(tmp_path: Path, b_imports_a: str, broken: bool):  # noqa: FBT001
    """The project's own contract on a package of two modules, one of which imports the other, or both."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (contract,) = [contract for contract in settings["contracts"] if contract["type"] == "acyclic_siblings"]
    part = tmp_path / "mirrorflow" / "part"
    part.mkdir(parents=True)
    for name, code in {
        "../__init__": "",
        "__init__": "",
        "a": "from mirrorflow.part import b\n",
        "b": b_imports_a,
    }.items():
        (part / f"{name}.py").write_text(code)
    (tmp_path / ".importlinter").write_text(
        "[importlinter]\nroot_package = mirrorflow\n[importlinter:contract:1]\nname = circles\n"
        "type = acyclic_siblings\nancestors =\n" + "".join(f"  {name}\n" for name in contract["ancestors"])
    )
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ("circles BROKEN" in done.stdout, done.returncode != 0) == (broken, broken), done.stdout + done.stderr
