"""``mirrorflow check`` on a config whose data sets a run would fetch."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from mirrorflow.cohorts.splits import Fold
from mirrorflow.commands.check import check_config, read_config
from mirrorflow.commands.checking.variants import variant_lines
from mirrorflow.errors import ConfigError
from mirrorflow.store.tables import write_fold


def write_features(path: Path, rows: int = 20, width: int = 4, value: float = 0.5):
    """A feature file as anyone's encoder leaves it."""
    with h5py.File(path, "w") as file:
        file["features"] = np.full((rows, width), value, np.float32)


def test_data_sets_that_are_not_there_yet_are_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "features").mkdir()
    write_features(tmp_path / "features" / "s1.h5")
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


def test_keys_of_a_method_that_its_variant_does_not_take_are_named():
    methods = {
        "abmil": {"train": {"epochs": 15, "tokens": 24}, "network": {"width": 256}},
        "abmil--wide": {"train": {"epochs": 15}, "network": {"width": 512}},
        "abmil--same": {"train": {"epochs": 15, "tokens": 24}, "network": {"width": 256, "dropout": 0.1}},
        "abmil--plain": None,
        "cox": None,
        "cox--wide": {"components": 7},
        "mirror--alone": {"pretrain": {"epochs": 3}},
    }
    wide, plain = variant_lines(methods)
    assert wide.startswith("WARNING: methods.abmil--wide does not take train.tokens from the run's abmil: it starts")
    assert "abmil--plain does not take train.epochs, train.tokens, network.width from" in plain


# what a sheet or matrix has wrong


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Lines of `mirrorflow check` for three patients; files by name take the place of the good ones."""
    monkeypatch.chdir(tmp_path)
    files = {
        "slides.tsv": "slide_id\tpatient\ns1\tA\ns2\tB\ns3\tC\n",
        "patients.tsv": "patient\tlabel\ttime\tevent\nA\tx\t10\t1\nB\ty\t20\t0\nC\tx\t30\t1\n",
        "rna.tsv": "id\tA\tB\tC\ng1\t1\t2\t3\ng2\t4\t5\t6\n",
    }
    cohort = {
        "slides": {"sheet": "slides.tsv"},
        "clinical": {"sheet": "patients.tsv"},
        "site": "none",
        "expression": "own",
        "encoders": ["uni"],
        "features": {"uni": "features"},
        "splits": {"published": "folds"},
    }
    source = {"matrix": "rna.tsv", "sample_ids": "patient"}
    (tmp_path / "features").mkdir()
    for name in ("s1", "s2", "s3"):
        write_features(tmp_path / "features" / f"{name}.h5")
    write_fold(tmp_path / "folds" / "splits_0.csv", Fold(("A", "B"), ("C",)))
    write_fold(tmp_path / "folds" / "splits_1.csv", Fold(("A", "C"), ("B",)))

    def run(
        changes: dict[str, str] | None = None,
        *,
        splits_of_run: int = 2,
        protocols: object = {"honest-published": {}},
        **cohorts: object,
    ) -> str:
        for name, text in (files | (changes or {})).items():
            (tmp_path / name).write_text(text)
        config = {
            "run": "r",
            "cohorts": {"own": cohort | cohorts},
            "splits": {"folds": splits_of_run},
            "expression": {"sources": {"own": source}},
            "protocols": protocols,
        }
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
        check_config([tmp_path / "c.yaml"])
        return capsys.readouterr().out

    return run


def test_a_variant_that_lacks_keys_of_its_method_is_warned_of_and_no_problem(checked, tmp_path, capsys):
    before = checked()
    text = (tmp_path / "c.yaml").read_text()
    (tmp_path / "c.yaml").write_text(f"{text}methods: {{abmil: {{train: {{epochs: 3}}}}, abmil--wide: {{}}}}\n")
    check_config([tmp_path / "c.yaml"])
    said = capsys.readouterr().out
    assert "WARNING: methods.abmil--wide does not take train.epochs from the run's abmil" in said
    assert said.splitlines()[-1] == before.splitlines()[-1]


def test_a_good_cohort_has_no_problem(checked):
    said = checked()
    assert "own: 3 patients in rna.tsv, values of 2 genes can be used\n" in said
    assert "own: 3 patients have slides, clinical data and expression (3 in rna.tsv)" in said
    assert "0 problems" in said


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("slides.tsv", "slide_id\ns1\n", "slides.tsv"),
        ("slides.tsv", "slide_id\tpatient\tpatient\ns1\tA\tB\n", "PROBLEM: slides.tsv: columns named twice: patient"),
        ("patients.tsv", "patient\tlabel\ttime\tevent\nA\tx\t-10\t1\n", "patients.tsv: a negative time: line 2: '-10'"),
    ],
)
def test_an_error_in_a_sheet_is_one_problem(checked, name, text, message):
    said = checked({name: text})
    assert message in said
    assert "who has slides, clinical data and expression is told once their sheets can be read" in said
    assert "0 patients have" not in said
    assert "0 of them known" not in said
    assert "0 slide" not in said
    assert "1 problems" in said


@pytest.mark.parametrize("value", ["-Inf", "inf", "-inf", "1e39"])
def test_infinity_in_a_matrix_is_a_problem_with_its_place(checked, value):
    said = checked({"rna.tsv": f"id\tA\tB\tC\ng1\t1\t2\t3\ng2\t4\t{value}\t6\n"})
    assert "PROBLEM: rna.tsv: gene 'g2', sample 'B' holds " in said
    assert "pseudo-count" in said
    assert "1 problems" in said


def test_a_header_that_is_one_field_short_is_a_problem_with_the_fix(checked):
    said = checked({"rna.tsv": "A\tB\tC\ng1\t1\t2\t3\ng2\t4\t5\t6\n"})
    assert "Expected 3 columns, got 4" in said
    assert "the header lacks the name of the column of ids (R's write.table leaves it out" in said
    assert "1 problems" in said


@pytest.mark.parametrize("name", ["slides.tsv", "patients.tsv"])
def test_so_is_that_of_a_sheet(checked, name):
    whole = {
        "slides.tsv": "slide_id\tpatient\tpath\ns1\tA\ta.svs\ns2\tB\tb.svs\n",
        "patients.tsv": "patient\tlabel\ttime\tevent\nA\tx\t10\t1\nB\ty\t20\t0\n",
    }[name]
    header, rest = whole.split("\n", 1)
    said = checked({name: header.rpartition("\t")[0] + "\n" + rest})
    assert f"PROBLEM: {name}" in said
    assert "cells than its header (3 columns)" in said or "3 cells where the header has 2 columns" in said


def test_values_are_looked_at_as_far_as_a_check_may_take(checked, monkeypatch):
    monkeypatch.setattr("mirrorflow.commands.check.MOST_VALUES", 3)
    monkeypatch.setattr("mirrorflow.expression.matrix.CHUNK_BYTES", 8)
    rows = "".join(f"gene{number}\t1\t2\t3\n" for number in range(200))
    said = checked({"rna.tsv": "id\tA\tB\tC\n" + rows})
    assert "genes can be used (the first; preflight looks at all)" in said


SURVIVAL = "sample\tOS\tOS.time\nTCGA-05-0001-01\t1\t10\nTCGA-D3-0002-06\t0\t20\nTCGA-A6-0003-01\t0\t5\n"
MATRIX = "sampleID\thistological_type\nTCGA-05-0001-01\tx\nTCGA-D3-0002-06\ty\nTCGA-A6-0003-01\ty\n"
XENA = {"survival": "os.tsv", "matrix": "matrix.tsv", "label": "histological_type"}


def test_xenas_tables_say_who_has_no_primary_tumour_and_which_file_is_wrong(checked):
    said = checked({"os.tsv": SURVIVAL, "matrix.tsv": MATRIX}, clinical=XENA)
    assert "1 patients have no sample of a primary tumour and are left out: 1 with 06 (metastasis)" in said
    said = checked({"os.tsv": SURVIVAL.replace("\t10", "\t-10"), "matrix.tsv": MATRIX}, clinical=XENA)
    assert "PROBLEM: os.tsv: a negative time: TCGA-05-0001: '-10'" in said


def test_site_codes_that_are_not_the_barcodes_are_said(checked):
    people = "patient\tlabel\tsite\nTCGA-05-0001\tx\t5\nTCGA-A6-0003\ty\tA6\n"
    said = checked({"patients.tsv": people}, site="column")
    assert "own: sites of 1 patients are not their barcodes': '5' for '05' (1 patients); a spreadsheet takes" in said
    table = "site\tinstitution\n5\tIndivumed\nA6\tChristiana\n"
    said = checked({"patients.tsv": people, "names.tsv": table}, site="barcode", institutions="names.tsv")
    assert "own: names.tsv: the table of institutions lacks 05 and has 5" in said


def test_a_site_written_in_two_cases_is_one_problem(checked):
    people = "patient\tlabel\tsite\nA\tx\tBasel\nB\ty\tBASEL\nC\tx\tBern\n"
    said = checked({"patients.tsv": people}, site="column")
    assert "PROBLEM: patients.tsv: site 'BASEL' and 'Basel' differ in case only; write one name one way" in said
    assert "1 problems" in said
    assert "0 problems" in checked({"patients.tsv": people}, site="none")


def test_a_class_in_fewer_sites_than_the_folds_is_said_beforehand(checked):
    names = [f"P{number}" for number in range(12)]
    slides = "slide_id\tpatient\n" + "".join(f"s{name}\t{name}\n" for name in names)
    sites = dict(zip(names, "aabbccddeeff", strict=True))
    people = "patient\tlabel\tsite\n" + "".join(
        f"{name}\t{'x' if sites[name] in 'abcd' and number % 2 else 'y'}\t{sites[name]}\n"
        for number, name in enumerate(names)
    )
    files = {"slides.tsv": slides, "patients.tsv": people, "rna.tsv": "id\t" + "\t".join(names) + "\n"}
    said = checked(files, splits_of_run=5, protocols={"honest": {}}, site="column")
    assert "own: splits site_preserved: fewer sites than the 5 folds in class x (4 sites, 4 patients)" in said
    assert "set splits.folds to at most 4" in said
    assert "fewer sites" not in checked(files, splits_of_run=4, protocols={"honest": {}}, site="column")
    assert "fewer sites" not in checked(files, splits_of_run=5, protocols={"paper": {}}, site="column")
