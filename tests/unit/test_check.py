"""``mirrorflow check`` on a config whose data sets a run would fetch."""

from pathlib import Path

import pytest
import yaml

from mirrorflow.cohorts.splits import Fold
from mirrorflow.commands.check import check_config, read_config
from mirrorflow.errors import ConfigError
from mirrorflow.store.tables import write_fold


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
    assert check_config([tmp_path / "c.yaml"]) == 0
    said = capsys.readouterr().out
    assert "brca: pancan: not there yet, a run fetches it from https://hub.example/download/survival" in said
    assert "gencode.v23.annotation.transcript.probemap: not there yet" in said
    assert "0 problems" in said


def test_shared_patients_of_split_files_are_a_problem_only_where_they_would_stop_a_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slides.tsv").write_text("slide_id\tpatient\ns1\tA\n")
    (tmp_path / "patients.tsv").write_text("patient\tlabel\nA\tx\n")
    for number, fold in enumerate([Fold(("A", "B"), ("B", "C")), Fold(("A",), ("B",))]):
        write_fold(tmp_path / "folds" / f"splits_{number}.csv", fold)
    cohort = {
        "slides": {"sheet": "slides.tsv"},
        "clinical": {"sheet": "patients.tsv"},
        "expression": "own",
        "encoders": ["uni"],
        "features": {"uni": "features"},
        "splits": {"published": "folds"},
    }
    config = {
        "run": "r",
        "cohorts": {"own": cohort},
        "splits": {"folds": 2},
        "expression": {"sources": {"own": {"matrix": "rna.tsv"}}},
    }

    def checked(**protocols: object) -> str:
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(config | {"protocols": protocols}))
        check_config([tmp_path / "c.yaml"])
        return capsys.readouterr().out

    said = checked(paper={}, **{"honest-published": {}})
    assert "PROBLEM: splits published: 1, 0 patients are in train and val (by fold), so honest-published" in said
    assert "`splits: published-repaired` in the protocol" in said
    assert "are in train and val" not in checked(paper={}, **{"honest-published": {"splits": "published-repaired"}})


def test_files_stand_on_top_of_each_other_as_in_snakemake(tmp_path: Path):
    demo, top = Path(__file__).parents[2] / "config" / "config.yaml", tmp_path / "top.yaml"
    top.write_text("run: two\nsplits: {folds: 4}\nmethods: {cox--wide: {components: 7}}\n")
    below, config = read_config([demo]), read_config([demo, top])
    assert (config["run"], config["splits"]) == ("two", below["splits"] | {"folds": 4})
    assert list(config["methods"]) == [*below["methods"], "cox--wide"]
    top.write_text("")
    with pytest.raises(ConfigError, match=r"top\.yaml: holds no keys"):
        read_config([demo, top])
