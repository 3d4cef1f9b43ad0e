"""What the plan of a run is made by, as a digest: a page written from plans is right as long as it is the same.

Comments, docstrings and blank lines do not count.

    python tools/made_from.py # in a process of its own: which modules are loaded is part of the answer
"""

import ast
import hashlib
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from mirrorflow.config.resources import ENCODERS_FILE, METHODS_FILE, ROOT
from reruns import Example, quiet_in


def made_from() -> str:
    """Sixteen hexadecimal digits that stand for rules, the code that planning loads, this tool, and Snakemake."""
    with tempfile.TemporaryDirectory() as folder, quiet_in(Path(folder)):
        Example(Path(folder))
    found = hashlib.sha256(version("snakemake").encode())
    for path in sorted([*_modules(), *_rules(), METHODS_FILE, ENCODERS_FILE]):
        found.update(f"{path.relative_to(ROOT)}\n{_counting(path)}\n".encode())
    return found.hexdigest()[:16]


def _modules() -> list[Path]:
    """Files of mirrorflow and of this folder that are loaded."""
    files = [Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))]
    ours = (ROOT / "workflow" / "mirrorflow", ROOT / "tools")
    return [file for file in files if any(file.is_relative_to(folder) for folder in ours)]


def _rules() -> list[Path]:
    return [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]


def _counting(path: Path) -> str:
    """The lines of a file that can change a plan; the same under every Python."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.suffix == ".py":
        for first, last in _docstrings("\n".join(lines)):
            lines[first - 1 : last] = [""] * (last - first + 1)
    return "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))


def _docstrings(code: str) -> Iterator[tuple[int, int]]:
    """First and last line of each string that stands alone."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.end_lineno or node.lineno


if __name__ == "__main__":
    print(made_from())
