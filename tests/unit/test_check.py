"""``mirrorflow check`` on a config whose data sets a run would fetch."""

from pathlib import Path

import pytest
import yaml

from mirrorflow.jobs.check import check_config


def test_data_sets_that_are_not_there_yet_are_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "s1.h5").touch()
    (tmp_path / "slides.tsv").write_text("slide_id\tpatient\ns1\tTCGA-AA-0001\n")
    cohort = {
        "slides": {"sheet": "slides.tsv"},
        "clinical": {"download": {"survival": "pancan", "matrix": "BRCA_clinicalMatrix"}},
        "expression": "toil",
        "encoders": ["uni"],
        "features": {"uni": "features"},
    }
    config = {
        "run": "r",
        "cohorts": {"brca": cohort},
        "downloads": {"pancan": {"url": "https://hub.example/download/survival"}},
        "expression": {"sources": {"toil": {"download": "tcga_RSEM_isoform_fpkm"}}},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    assert check_config(tmp_path / "c.yaml") == 0
    said = capsys.readouterr().out
    assert "brca: pancan: not there yet, a run fetches it from https://hub.example/download/survival" in said
    assert "gencode.v23.annotation.transcript.probemap: not there yet" in said
    assert "0 problems" in said
