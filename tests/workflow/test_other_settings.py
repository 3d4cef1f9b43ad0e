"""Another run's store and copied results under another config: both values and the fix, never the old numbers."""

import shutil
from pathlib import Path

import pytest

from runner import CONFIGS, changed_config, copy_run, planned, run

pytestmark = pytest.mark.workflow
TINY = CONFIGS / "tiny.yaml"


@pytest.fixture
def copied(tiny: Path, tmp_path: Path) -> Path:
    """The tiny run in another folder, without Snakemake's notes."""
    folder = copy_run(tiny, tmp_path / "copied")
    shutil.rmtree(folder / ".snakemake")
    return folder


def test_copied_results_are_not_made_into_tables_of_another_config(copied: Path) -> None:
    (copied / "results/tiny/metrics").rename(copied / "deleted")
    config = changed_config(copied, TINY, **{"probe.epochs": 3})
    done = run(copied, config, "--dry-run")
    assert done.returncode != 0
    assert "probe.epochs: made with" in done.stdout
    assert "this run wants 3" in done.stdout
    assert "--forceall" in done.stdout
    assert "probe_mirror" in planned(copied, config, "--forceall")
    metrics = [f"results/tiny/metrics/{protocol}/tiny.tsv" for protocol in ("honest", "paper")]
    assert planned(copied, TINY, *metrics) == {"evaluate": 2}  # the config they were made with goes on


def test_a_store_of_other_settings_stops_a_second_run(copied: Path) -> None:
    (copied / "results").rename(copied / "first")
    config = changed_config(copied, TINY, run="second", **{"expression.sources.tiny.orientation": "samples_by_genes"})
    done = run(copied, config, "--dry-run")
    assert done.returncode != 0
    assert "orientation: made with 'genes_by_samples', this run wants 'samples_by_genes'" in done.stdout
    config = changed_config(copied, TINY, run="second", **{"features.encoders.resnet50-random.seed": 9})
    done = run(copied, config, "--dry-run")
    assert done.returncode != 0
    assert "this run wants 9" in done.stdout
