"""Odd files and settings are refused with a message, never with a traceback and never in silence."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mirrorflow.cohorts.patients import name_classes, standard_sheet
from mirrorflow.commands.check import read_config
from mirrorflow.config.resolve import resolve
from mirrorflow.config.training_settings import Train
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.identifiers import read_probemap
from mirrorflow.steps.expression.convert_expression import convert_expression
from mirrorflow.store.expression import read_expression, read_names, read_record
from mirrorflow.store.gene_lists import curated_genes
from mirrorflow.store.ledger import read_rows
from mirrorflow.store.predictions import read_predictions
from mirrorflow.store.predictions import read_rows as read_anyones_predictions
from mirrorflow.store.slide_sheet import read_slide_sheet
from mirrorflow.store.tables import read_cohort, read_fold, read_text_sheet, write_cohort
from small_config import minimal

OWN = {"orientation": "genes_by_samples", "sample_ids": "patient"}
GIVEN: dict[str, Callable[[Path], object]] = {
    "sheet": read_text_sheet,
    "slides": read_slide_sheet,
    "ledger": lambda path: read_rows(path, ["slide_id"]),
    "split file": read_fold,
    "matrix": lambda path: convert_expression(path, path.parent / "out.parquet", OWN),
    "probe map": lambda path: convert_expression(
        matrix(path.parent), path.parent / "out.parquet", OWN, probemap=path
    ),
    "drivers": lambda path: curated_genes({}, None, path, "brca", ["A"]),
    "predictions": read_anyones_predictions,
    "config": lambda path: read_config([path]),
}  # fmt: skip


def matrix(folder: Path) -> Path:
    (folder / "whole.tsv").write_text("id\tP1\tP2\nA\t1\t2\n")
    return folder / "whole.tsv"


@pytest.mark.parametrize("reader", GIVEN)
@pytest.mark.parametrize("content", [b"a\xff\xfe\tb\n\xe9\t1\n", b"\x1f\x8b\x08rubbish", b"", b"PAR1", b"\0\0\0"])
def test_a_file_of_anything_is_refused_with_its_name(tmp_path: Path, reader: str, content: bytes):
    path = tmp_path / "odd.tsv"
    path.write_bytes(content)
    with pytest.raises((InputError, ConfigError), match=r"odd\.tsv"):
        GIVEN[reader](path)


@pytest.mark.parametrize("reader", GIVEN)
def test_a_folder_is_no_file(tmp_path: Path, reader: str):
    (tmp_path / "odd.tsv").mkdir()
    with pytest.raises((InputError, ConfigError), match=r"odd\.tsv"):
        GIVEN[reader](tmp_path / "odd.tsv")


def test_a_sheet_in_another_encoding_is_named_with_its_line(tmp_path: Path):
    path = tmp_path / "patients.tsv"
    path.write_bytes("patient\tsite\nA\tUlm\nB\tKöln\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"patients\.tsv, line 3: .* not a text file in UTF-8 .*save it as UTF-8"):
        read_text_sheet(path)


def test_ids_of_a_matrix_in_another_encoding(tmp_path: Path):
    path = tmp_path / "m.tsv"
    path.write_bytes(b"id\tP1\nA\t1\n\xe9\t2\n")
    with pytest.raises(InputError, match=r"m\.tsv: .*UTF8"):
        convert_expression(path, tmp_path / "out.parquet", OWN)


def test_a_probe_map_of_odd_lines(tmp_path: Path):
    with pytest.raises(InputError, match="map: not readable as a probe map"):
        read_probemap(io.BytesIO(b"id\tgene\na\tb\nc\td\te\tf\n"), "map")


def parquet_of_values(path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 4)), columns=list("ABCD"))
    frame.insert(0, "id", [f"g{row}" for row in range(50)])
    frame.to_parquet(path, index=False)


def cohort(path: Path) -> None:
    write_cohort(path, pd.DataFrame({"patient": ["A", "B"], "slide_ids": [["a"], ["b"]]}), ["x"])


def expression(path: Path) -> None:
    convert_expression(matrix(path.parent), path, OWN)


PARQUET: dict[str, tuple[Callable[[Path], None], list[Callable[[Path], object]]]] = {
    "matrix": (parquet_of_values, [lambda path: convert_expression(path, path.parent / "out.parquet", OWN)]),
    "cohort": (cohort, [read_cohort]),
    "expression": (expression, [read_expression, read_names, read_record]),
    "predictions": (parquet_of_values, [read_predictions, read_anyones_predictions]),
}


@pytest.mark.parametrize("kind", PARQUET)
def test_a_broken_parquet_file_is_refused(tmp_path: Path, kind: str):
    make, readers = PARQUET[kind]
    path = tmp_path / "a.parquet"
    make(path)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    for trial in range(20):
        content = bytearray(whole[: len(whole) // 2] if trial == 0 else whole)
        for place in random.integers(0, len(content), 3):
            content[place] = random.integers(0, 256)
        path.write_bytes(content)
        for read in readers:
            with contextlib.suppress(InputError):  # or it is read: bytes of values are values
                read(path)
    path.write_bytes(whole[: len(whole) // 2])
    for read in readers:
        with pytest.raises(InputError, match=r"a\.parquet"):
            read(path)


# Settings.


def refused(**changes: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(minimal(**changes))
    return str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(value: float):
    assert "pretrain.learning_rate" in refused(pretrain={"learning_rate": value})
    assert "no finite number" in refused(pretrain={"learning_rate": value})
    assert "methods.abmil.train.weight_decay" in refused(methods={"abmil": {"train": {"weight_decay": value}}})
    with pytest.raises(ConfigError, match="finite number"):
        Train.of({"weight_decay": value})


def test_a_seed_that_stands_there_twice_is_refused():
    assert "seeds" in refused(seeds=[1, 1])
    assert resolve(minimal(seeds=[1, 2]))["seeds"] == [1, 2]


def test_names_too_long_for_a_disk_are_refused():
    assert "allowed: 1 to 100 characters of" in refused(run="r" * 300)
    assert resolve(minimal(run="r" * 100))["run"] == "r" * 100


# Names that differ in case only.


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a\tP1\nA\tP2\n", "slide_id 'a' and 'A' differ in case only"),
        ("a\tP1\nb\tp1\n", "patient 'P1' and 'p1' differ"),
    ],
)
def test_slides_and_patients_that_differ_in_case_only(tmp_path: Path, rows: str, said: str):
    (tmp_path / "slides.tsv").write_text("slide_id\tpatient\n" + rows)
    with pytest.raises(InputError, match=said):
        read_slide_sheet(tmp_path / "slides.tsv")


def test_patients_and_labels_of_a_sheet_that_differ_in_case_only():
    sheet = pd.DataFrame({"patient": ["A", "a"], "label": ["x", "X"]}, dtype=object)
    with pytest.raises(InputError, match=r"p\.tsv: a patient a second time, in other case: line 3: 'a'"):
        standard_sheet(sheet, {}, "p.tsv", "days")
    frame = standard_sheet(sheet.assign(patient=["A", "B"]), {}, "p.tsv", "days")
    with pytest.raises(InputError, match=r"label 'X' and 'x' differ in case only; .*name both under `classes`"):
        name_classes(frame, {}, "none")
    assert name_classes(frame, {"x": "ex", "X": "ex"}, "none")["label"].tolist() == ["ex", "ex"]


def test_an_h5ad_or_a_workbook_in_the_place_of_a_matrix_says_what_to_do(tmp_path: Path):
    import anndata
    import openpyxl

    anndata.AnnData(np.ones((3, 2), np.float32)).write_h5ad(tmp_path / "a.h5ad")
    openpyxl.Workbook().save(tmp_path / "a.xlsx")
    for name, said in (
        ("a.h5ad", r"a\.h5ad: an HDF5 file.*to_parquet"),
        ("a.xlsx", r"a\.xlsx: an Excel.*tab-separated"),
    ):
        with pytest.raises(InputError, match=said):
            convert_expression(tmp_path / name, tmp_path / "out.parquet", OWN)
    assert not (tmp_path / "out.parquet").exists()
