import gzip

import numpy as np
import pandas as pd
import pytest

from mirrorflow.cohorts.splits import Fold
from mirrorflow.errors import InputError
from mirrorflow.store import tables


@pytest.mark.parametrize(("name", "separator"), [("a.tsv", "\t"), ("a.csv", ","), ("a.txt", "\t")])
def test_every_cell_is_text_as_it_was_written(tmp_path, name, separator):
    path = tmp_path / name
    lines = [["id", "x", "y"], ["007", "1e3", "NA"], ["8", "", "None"]]
    path.write_text("\n".join(separator.join(line) for line in lines) + "\n")
    assert tables.read_text_sheet(path).to_numpy().tolist() == lines[1:]


def test_compressed_sheets_are_read(tmp_path):
    with gzip.open(tmp_path / "a.csv.gz", "wt") as stream:
        stream.write("a,b\n1,2\n")
    assert tables.read_text_sheet(tmp_path / "a.csv.gz").to_numpy().tolist() == [["1", "2"]]


def test_a_short_line_has_empty_cells(tmp_path):
    (tmp_path / "a.tsv").write_text("a\tb\tc\n1\t2\n")
    assert tables.read_text_sheet(tmp_path / "a.tsv").to_numpy().tolist() == [["1", "2", ""]]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not readable as a sheet"),
        (b"patient,label\nA,x\n", "a single column 'patient,label'; columns must be separated by tabs"),
        (b"a\tb\n1\t2\n1\t2\t3\n", "line 3"),
        (b"a\tb\n1\t2\t3\n4\t5\t6\n", r"more cells than its header \(2 columns\)"),
        (b"\xff\xfe\x00\x01\tb\n", "not readable as a sheet"),
    ],
)
def test_what_is_no_sheet_is_refused_with_the_reason(tmp_path, content, said):
    (tmp_path / "a.tsv").write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        tables.read_text_sheet(tmp_path / "a.tsv")
    assert "a.tsv" in str(caught.value)


def test_a_sheet_that_is_not_there_or_not_compressed_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"b\.tsv: not there; check the path in the config"):
        tables.read_text_sheet(tmp_path / "b.tsv")
    (tmp_path / "c.tsv.gz").write_text("a\tb\n")
    with pytest.raises(InputError, match=r"c\.tsv\.gz: not readable as a sheet"):
        tables.read_text_sheet(tmp_path / "c.tsv.gz")


def test_numbers_are_numbers_and_nan_where_empty(tmp_path):
    frame = pd.DataFrame({"name": ["a", ""], "mean": [0.1, np.nan], "sd": [np.nan, np.nan], "note": ["", "nan"]})
    tables.write_sheet(tmp_path / "a.csv", frame)
    back = tables.read_numbers(tmp_path / "a.csv", ["mean", "sd", "not there"])
    pd.testing.assert_frame_equal(back, frame)


def test_a_cohort_comes_back_as_it_was(tmp_path):
    frame = pd.DataFrame(
        {
            "patient": ["A", "B"],
            "label": ["x", ""],
            "time_days": [1.5, np.nan],
            "event": [1.0, np.nan],
            "site": ["s", ""],
            "slide_ids": [["a1", "a2"], ["b1"]],
        }
    )
    tables.write_cohort(tmp_path / "c.parquet", frame, ["y", "x"])
    back, classes = tables.read_cohort(tmp_path / "c.parquet")
    pd.testing.assert_frame_equal(back, frame)
    assert classes == ["y", "x"]
    assert isinstance(back.loc[0, "slide_ids"], list)


FOLDS = [
    Fold(("A", "B", "C"), ("D",)),
    Fold(("A",), ("B", "C")),
    Fold(("A",), ()),
    Fold(("A",), ("B",), choice=("C", "D")),
    Fold(("A",), ("B",), choice=()),
    Fold(("A",), ("B",), unused=("C",)),
]


@pytest.mark.parametrize("fold", FOLDS)
def test_a_fold_comes_back_as_it_was(tmp_path, fold):
    tables.write_fold(tmp_path / "splits_0.csv", fold)
    assert tables.read_fold(tmp_path / "splits_0.csv") == fold


def test_published_split_files_are_understood(tmp_path):
    (tmp_path / "splits_0.csv").write_text(",train,val\n0,TCGA-A,TCGA-C\n1, TCGA-B ,\n")
    assert tables.read_fold(tmp_path / "splits_0.csv") == Fold(("TCGA-A", "TCGA-B"), ("TCGA-C",))


def test_a_split_file_without_its_columns_is_named(tmp_path):
    (tmp_path / "splits_0.csv").write_text("train,test\nA,B\n")
    with pytest.raises(InputError, match=r"splits_0\.csv: no column val"):
        tables.read_fold(tmp_path / "splits_0.csv")


def test_a_run_has_no_split_file_with_a_test_column_but_its_users_may(tmp_path):
    (tmp_path / "splits_0.csv").write_text("train,val,test\nA,B,C\n")
    with pytest.raises(InputError, match=r"splits_0\.csv: a column test"):
        tables.read_fold(tmp_path / "splits_0.csv")
    assert tables.read_folds(tmp_path, 1) == [Fold(("A",), ("B",), ("C",))]


def test_a_patient_of_several_rows_counts_once(tmp_path, caplog):
    (tmp_path / "splits_0.csv").write_text("train,val\nB,C\nA,C\nB ,\n,D\n")
    assert tables.read_folds(tmp_path, 1) == [Fold(("B", "A"), ("C", "D"))]
    assert "splits_0.csv: names stand in several rows (train 3 rows, 2 names; val 3 rows, 2 names)" in caplog.text
    assert tables.read_fold(tmp_path / "splits_0.csv") == Fold(("B", "A"), ("C", "D"))


def test_missing_split_files_are_named(tmp_path):
    for number in (0, 2):
        tables.write_fold(tmp_path / f"splits_{number}.csv", Fold(("A",), ("B",)))
    with pytest.raises(InputError, match=r"no splits_1\.csv, splits_3\.csv; set splits\.folds"):
        tables.read_folds(tmp_path, 4)
    assert len(tables.read_folds(tmp_path, 1)) == 1
