"""The script for a first GPU runs on a processor, too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_part_runs_on_a_processor(tmp_path: Path):
    pytest.importorskip("nystrom_attention", reason="nystrom-attention is not installed")
    words = ["sh", str(ROOT / "benchmarks" / "gpu.sh"), str(tmp_path / "out"), "--device", "cpu", "--small"]
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    subprocess.run(words, env=environment, check=True, capture_output=True, cwd=tmp_path)
    figures = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert "failed" not in figures
    assert {"samples_per_second_nystrom_bfloat16", "loop_waited_share", "embed_ratio"} <= figures.keys()
    assert "SKIP" not in (tmp_path / "out" / "gpu.txt").read_text()
