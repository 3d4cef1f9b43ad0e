"""Another run's store and copied results under another config: both values and the fix, never the old numbers."""

import gzip
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from runner import CONFIGS, changed_config, copy_run, planned, run, succeed

pytestmark = pytest.mark.workflow
TINY = CONFIGS / "tiny.yaml"
GENES = "results/tiny/patient-site_preserved-fold-train/tiny/genes/fold0.tsv"


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
    assert planned(copied, TINY, *metrics) == {"evaluate": 1}  # the config they were made with goes on


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


def test_a_store_that_another_run_replaced_meanwhile_stops_the_job_that_reads_it(tiny: Path, tmp_path: Path) -> None:
    """Snakemake's notes and dates say that nothing changed: what lies beside the matrix does."""
    folder = copy_run(tiny, tmp_path / "copied")
    (record,) = (folder / "store/expression").rglob("*.plan.json")
    record.write_text(record.read_text().replace("genes_by_samples", "samples_by_genes"))
    done = run(folder, TINY, "--forcerun", "select_genes", "--", GENES)
    assert done.returncode != 0
    assert "orientation: made with 'samples_by_genes', this run wants 'genes_by_samples'" in done.stdout
    assert "a run with other settings needs another name or store" in done.stdout


def test_genes_of_a_job_that_failed_are_made_again(tiny: Path, tmp_path: Path) -> None:
    """Not put back as they were, with Snakemake's notes of the new settings."""
    folder = copy_run(tiny, tmp_path / "copied")
    config = changed_config(tmp_path, TINY, **{"expression.selection.rfe.C": 0.5})
    blocked = folder / Path(GENES).parent / ".kept/fold1.tsv"
    blocked.unlink()
    blocked.mkdir()
    assert run(folder, config, "--", GENES).returncode != 0
    blocked.rmdir()
    assert planned(folder, config, "--", GENES)["select_genes"] == 1
    said = succeed(folder, config, "--", GENES)
    assert re.search(r"\[select_genes .* 0\] \S+/fold0\.tsv: kept", said), "the other fold's were made in the first run"
    record = json.loads((folder / GENES).with_suffix(".json").read_text())
    assert record["settings"]["rfe"]["C"] == 0.5


def test_a_matrix_fixed_in_its_place_is_read_again(tiny: Path, tmp_path: Path) -> None:
    folder = copy_run(tiny, tmp_path / "copied")
    (simulated,) = (folder / "store/simulated").rglob("isoform_fpkm.tsv.gz")
    head, first, *rest = gzip.decompress(simulated.read_bytes()).decode().splitlines(keepends=True)
    gene, value, *others = first.split("\t")
    sample = head.split("\t")[1]
    matrix = folder / "own.tsv"
    probemap = "{store}/simulated/tiny/rna/transcript.probemap"
    source = {"expression.sources.own": {"matrix": "own.tsv", "probemap": probemap}}
    config = changed_config(folder, TINY, **source, **{"cohorts.tiny.expression": "own"})
    matrix.write_text("".join([head, "\t".join([gene, "inf".rjust(len(value)), *others]), *rest]))
    done = run(folder, config, "--", GENES)
    assert done.returncode != 0
    assert f"gene '{gene}', sample '{sample}' holds inf" in done.stdout
    before = matrix.stat()
    matrix.write_text("".join([head, first, *rest]))
    os.utime(matrix, ns=(before.st_mtime_ns - 10**12,) * 2)  # copied back from elsewhere: older than all made of it
    assert matrix.stat().st_size == before.st_size
    succeed(folder, config, "--", GENES)
    assert (folder / GENES).read_text() == (tiny / GENES).read_text()


def test_what_was_made_with_older_models_runs_again_in_a_later_call(tiny: Path, tmp_path: Path) -> None:
    """Pretraining alone after a change, or a kill right behind it, leaves embeddings that are older than the models."""
    folder = copy_run(tiny, tmp_path / "copied")
    longer = changed_config(tmp_path, TINY, **{"pretrain.epochs": 5})
    succeed(folder, longer, "--until", "pretrain_mirror")
    left = planned(folder, longer)
    assert left["pretrain_mirror"] == 0
    assert left["embed"] > 0
