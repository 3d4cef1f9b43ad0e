"""What is checked for a user (docs/what_is_checked.md), read from the checks themselves.

Every message that stops a job, every warning of a log and every finding of the auditor is written in the code as a text
with places for names and values. This tool collects those texts, by the room and the module that says them.
"""

import ast
import functools
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mirrorflow.tables.render import as_cell

PACKAGE = Path(__file__).parents[1] / "workflow" / "mirrorflow"
ROOT_ERROR = "MirrorflowError"
FEWEST_WORDS = 3
"""A text with fewer words of its own only hands on what another check says."""

HEAD = """# What is checked for you

Written from the code by `make reference`; a test holds the two equal. Words in *italics* stand for your files, names
and values. Three commands look before a run: `mirrorflow check` reads the config and its sheets, `mirrorflow preflight`
opens every file that a run will open, `mirrorflow audit` looks at splits and predictions of anyone's. A run checks the
same again where it reads. Bounds of settings stand in the [config reference](config_reference.md).

- **stops**: the job ends with this message alone.
- **is a problem**: it is listed with others, all at once, and then stops the job or the command.
- **says**: the log has it, and the run goes on.
- **leak**, **warning**: the auditor's findings, see [Protocols and the auditor](protocols_and_auditor.md).
"""

SECTIONS = {
    "The config": ("config",),
    "Sheets and clinical tables": (
        "config/cells", "config/names_in_case", "cohorts", "store/tables", "store/text_files", "store/slide_sheet",
        "store/ledger", "steps/cohort", "commands/check",
    ),
    "Folds": ("cohorts/folds", "cohorts/splits", "steps/cohort/make_splits", "steps/cohort/make_inner_splits"),
    "Slides": ("slides", "steps/slides", "store/patches", "store/images"),
    "Features": (
        "store/features", "store/h5", "store/rows", "store/bags", "store/content", "steps/slides/index_features",
        "steps/slides/extract_features", "steps/slides/feature_plan", "steps/slides/encode_slides", "store/weights",
        "slides/encoders", "slides/encoder_settings", "slides/timm_network", "slides/weights_fit", "slides/phikon",
    ),
    "Expression and genes": ("expression", "steps/expression", "store/expression", "store/genes", "store/gene_lists"),
    "Downloads": (
        "store/download", "store/partial_file", "store/web", "store/gdc", "steps/cohort/download_dataset",
        "steps/slides/download_slides", "steps/slides/gdc_files", "steps/slides/query_gdc", "config/datasets",
    ),
    "Models and predictions": (
        "learners", "models", "probes", "training", "store", "steps/training", "evaluation", "metrics", "tables",
        "figures", "report", "steps/results",
    ),
    "The auditor": ("audit", "steps/audit", "commands/audit_files"),
    "The run itself": ("runtime", "plan", "commands", "demo", "bench", "units", "cli"),
}  # fmt: skip
"""Heading -> rooms and modules; the longest that fits a module counts."""

PROBLEMS = ("problems", "findings")
"""Lists that are shown, or raised, whole."""

PROBLEM_ROOMS = ("config", "commands", "store", "slides")
"""Where texts that are yielded are problems, and no lines of a page."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, order=True)
class Check:
    """A text that the module says, and what follows from it."""

    module: str
    follows: str
    text: str


def page() -> str:
    """The page as Markdown."""
    found = checks()
    parts = [HEAD]
    for heading in SECTIONS:
        rows = [check for check in found if section_of(check.module) == heading]
        parts += [f"## {heading}\n", "| what is said | what follows | by |\n| --- | --- | --- |"]
        parts[-1] += "".join(f"\n| {one.text} | {one.follows} | `{one.module}` |" for one in rows) + "\n"
    return "\n".join(parts)


@functools.cache
def checks() -> tuple[Check, ...]:
    """Every text of the package, each once, by module."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    errors = error_names(trees.values())
    found = {
        Check(path.relative_to(PACKAGE).with_suffix("").as_posix(), follows, text)
        for path, tree in trees.items()
        for follows, text in _said(tree, errors)
        if follows != "is a problem" or _is_problem(path.relative_to(PACKAGE), text)
        if len(re.findall(r"[A-Za-z]{2,}", re.sub(r"\*[^*]*\*", "", text))) >= FEWEST_WORDS
    }
    return tuple(sorted(found))


def _is_problem(module: Path, text: str) -> bool:
    """Whether a text that is yielded is a problem, no line of a page and none that says what is right."""
    if module.parts[:2] in (("commands", "check.py"), ("commands", "checking")):
        return text.startswith(("PROBLEM", "WARNING", "*word*"))
    return module.parts[0] in PROBLEM_ROOMS and not text.startswith("...")


def section_of(module: str) -> str:
    """The heading under which a module stands."""
    fits = [
        (len(place), heading)
        for heading, places in SECTIONS.items()
        for place in places
        if module == place or module.startswith(f"{place}/")
    ]
    return max(fits)[1] if fits else "The run itself"


def error_names(trees: Iterable[ast.Module]) -> set[str]:
    """Names of the errors that end a job with their message alone."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    names = {ROOT_ERROR}
    while more := {one.name for one in classes if names & {_name(base) for base in one.bases}} - names:
        names |= more
    return names


def _said(tree: ast.Module, errors: set[str]) -> Iterator[tuple[str, str]]:
    """What follows, and the text, of each check of a module."""
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, Function)}
    for function in functions.values():
        for node in ast.walk(function):
            for follows, said in _check(node, errors):
                yield from ((follows, text) for text in _texts(said, function, functions))


def _check(node: ast.AST, errors: set[str]) -> Iterator[tuple[str, Sequence[ast.expr]]]:
    """What follows, and where the text is, if a piece of code is a check."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _name(node.exc.func) in errors:
        yield "stops", node.exc.args[:1]
    if isinstance(node, ast.Yield) and isinstance(node.value, ast.JoinedStr):
        yield "is a problem", [node.value]
    if not isinstance(node, ast.Call):
        return
    called = node.func
    if _name(called) == "Finding" and len(node.args) > 2:
        level = _name(node.args[0]).lower()
        yield level if level in ("leak", "warning") else "leak or warning", node.args[2:3]
    if isinstance(called, ast.Attribute) and called.attr == "warning":
        yield "says", node.args[:1]
    if isinstance(called, ast.Attribute) and called.attr == "append" and _name(called.value) in PROBLEMS:
        yield "is a problem", node.args[:1]


def _texts(nodes: Sequence[ast.expr], within: Function, functions: dict[str, Function]) -> Iterator[str]:
    """The texts that an expression may be: itself, what its name was given before, what a function returns."""
    for node in nodes:
        if isinstance(node, ast.Constant | ast.JoinedStr):
            yield _text(node)
        elif isinstance(node, ast.IfExp):
            yield from _texts([node.body, node.orelse], within, functions)
        elif isinstance(node, ast.Name):
            if given := [one for one in _given(within, node.id) if one.lineno <= node.lineno]:
                latest = max(given, key=lambda one: one.lineno)
                yield from _texts([latest.value], within, functions)
        elif isinstance(node, ast.Call) and (called := functions.get(_name(node.func))) and called is not within:
            returned = [one.value for one in ast.walk(called) if isinstance(one, ast.Return) and one.value]
            yield from _texts(returned, called, functions)


def _given(within: Function, name: str) -> list[ast.Assign]:
    """Where a name gets its value."""
    assigned = [node for node in ast.walk(within) if isinstance(node, ast.Assign)]
    return [node for node in assigned if name in map(_name, node.targets)]


def _text(node: ast.expr) -> str:
    """A text with its places in italics, as a cell of Markdown."""
    if isinstance(node, ast.Constant):
        if not isinstance(node.value, str):
            return ""
        plain = as_cell(node.value).replace("*", r"\*")
        return re.sub(r"%[.\d]*[sdrfg]", "*…*", plain).replace("%%", "%")
    assert isinstance(node, ast.JoinedStr)
    return "".join(
        f"*{_place(part.value)}*" if isinstance(part, ast.FormattedValue) else _text(part) for part in node.values
    ).replace("**", "* *")


def _place(node: ast.expr) -> str:
    """What stands in a place: the name at the end of an expression, or three dots."""
    if isinstance(node, ast.Attribute | ast.Name):
        name = _name(node).strip("_")
        return name.replace("_", " ") if len(name) > 1 else "…"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
        return node.slice.value.replace("_", " ")
    return "…"


def _name(node: ast.expr) -> str:
    """The last name of ``a.b.c``; empty for other expressions."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


if __name__ == "__main__":
    sys.stdout.write(page())
