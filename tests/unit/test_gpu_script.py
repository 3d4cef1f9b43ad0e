"""The script for a first GPU runs on a processor, too, and where there is no more than it may ask for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BARE = ROOT / "tests" / "bare_machine.py"


def bare_python(folder: Path) -> Path:
    """A Python that finds torch, timm and numpy, and what would come as wheels."""
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nBARE_HAS=h5py,nystrom_attention,einops exec "{sys.executable}" "{BARE}" "$@"\n')
    script.chmod(0o755)
    return script


@pytest.mark.slow
def test_every_part_runs_on_a_bare_machines_processor(tmp_path: Path):
    pytest.importorskip("nystrom_attention", reason="nystrom-attention is not installed")
    words = ["sh", str(ROOT / "benchmarks" / "gpu.sh"), str(tmp_path / "out"), "--device", "cpu", "--small"]
    environment = os.environ | {"PYTHON": str(bare_python(tmp_path)), "OMP_NUM_THREADS": "1"}
    subprocess.run(words, env=environment, check=True, capture_output=True, cwd=tmp_path)
    figures = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert "failed" not in figures
    assert {"samples_per_second_nystrom_bfloat16", "loop_waited_share", "embed_ratio"} <= figures.keys()
    assert {"nystrom_bfloat16_over_package", "extraction_waited_seconds", "folds_ratio"} <= figures.keys()
    assert figures["folds_difference"] < 1e-10
    text = (tmp_path / "out" / "gpu.txt").read_text()
    assert "SKIP" not in text
    assert "LATE" not in text


def test_what_it_wants_beside_torch_is_on_a_bare_machine():
    """Imports alone, without the wheels that single parts want."""
    code = "import sys; sys.argv = ['gpu.py', '--device', 'cpu']; import gpu, stacked_folds; print(len(gpu.SMALL))"
    path = os.pathsep.join(map(str, (ROOT / "workflow", ROOT / "benchmarks", BARE.parent)))
    blocked = f"import sys, bare_machine; sys.meta_path.insert(0, bare_machine.NotThere()); {code}"
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, "-c", blocked], env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (found.returncode, found.stdout.strip()) == (0, "5"), found.stderr
