from pathlib import Path

import numpy as np
import pytest

from mirrorflow.errors import InputError
from mirrorflow.store.expression import ExpressionWriter, read_expression, read_names, read_record


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Three patients, four genes: value = 10 gene + patient."""
    path = tmp_path / "cohort.parquet"
    values = np.array([[10 * gene + patient for patient in range(3)] for gene in range(4)], dtype=np.float32)
    with ExpressionWriter(path, ["p0", "p1", "p2"]) as writer:
        writer.add(["g0", "g1"], ["A", "B"], values[:2])
        writer.add(["g2", "g3"], ["B", "C"], values[2:])
        writer.finish({"source": "test"}, {"genes": 4})
    return path


def test_everything_comes_in_the_files_order(stored: Path):
    expression = read_expression(stored)
    assert expression.patients == ["p0", "p1", "p2"]
    assert expression.ids == ["g0", "g1", "g2", "g3"]
    assert expression.symbols == ["A", "B", "B", "C"]
    assert expression.values.dtype == np.float32
    assert expression.values.tolist() == [[0, 10, 20, 30], [1, 11, 21, 31], [2, 12, 22, 32]]


def test_a_part_comes_in_the_order_asked(stored: Path):
    expression = read_expression(stored, patients=["p2", "p0"], genes=["g3", "g1"])
    assert expression.values.tolist() == [[32, 12], [30, 10]]
    assert expression.symbols == ["C", "B"]


def test_a_patient_may_be_asked_twice(stored: Path):
    assert read_expression(stored, patients=["p1", "p1"], genes=["g0"]).values.tolist() == [[1], [1]]


def test_names_come_without_values(stored: Path):
    assert read_names(stored) == (["p0", "p1", "p2"], ["g0", "g1", "g2", "g3"], ["A", "B", "B", "C"])


@pytest.mark.parametrize(("what", "asked"), [("patients", ["p0", "nobody"]), ("genes", ["g0", "nobody"])])
def test_what_is_not_there_is_named(stored: Path, what: str, asked: list[str]):
    with pytest.raises(InputError, match=f"1 of 2 {what} are not in it: nobody"):
        read_expression(stored, **{what: asked})


def test_the_record_holds_settings_and_counts(stored: Path):
    record = read_record(stored)
    assert record["settings"] == {"source": "test"}
    assert record["counts"] == {"genes": 4}


def test_another_file_is_no_expression_file(tmp_path: Path):
    (tmp_path / "x.parquet").write_text("nothing")
    with pytest.raises(InputError, match="convert_expression"):
        read_record(tmp_path / "x.parquet")
