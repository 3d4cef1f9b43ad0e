"""A job that reads tables starts in a second: what takes seconds to import is imported by those who use it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "workflow" / "scripts"
LIGHT = [
    "audit", "build_cohort", "convert_expression", "draw_support", "index_features", "make_further_table",
    "make_main_table", "make_optimism", "make_results", "require_honesty",
]  # fmt: skip
HEAVY = {"torch", "sklearn", "sksurv", "scipy.stats", "matplotlib", "cv2"}


def imports_of(script: str) -> str:
    """The import statements of a rule's script, wherever they stand in it."""
    tree = ast.parse((SCRIPTS / f"{script}.py").read_text())
    return "\n".join(ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


@pytest.mark.parametrize("script", LIGHT)
def test_a_light_job_imports_nothing_heavy(script: str) -> None:
    code = f"{imports_of(script)}\nimport sys\nprint(*sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
