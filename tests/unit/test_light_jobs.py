"""A job that reads tables starts in a second: what takes seconds to import is imported by those who use it."""

import subprocess
import sys

import pytest

LIGHT = [
    "audit", "build_cohort", "convert_expression", "draw_support", "index_features", "make_optimism",
    "make_results", "make_tables", "require_honesty",
]  # fmt: skip
HEAVY = {"torch", "sklearn", "sksurv", "scipy.stats", "matplotlib", "cv2"}


@pytest.mark.parametrize("rule", LIGHT)
def test_a_light_job_imports_nothing_heavy(rule: str) -> None:
    code = f"from mirrorflow.steps.start import find_step\nfind_step({rule!r})\n"
    code += f"import sys\nprint(*sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
