"""Which slides have features."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from mirrorflow.errors import InputError
from mirrorflow.steps.slides.index_features import index_features
from mirrorflow.store.ledger import INDEX_COLUMNS, read_rows
from mirrorflow.store.slide_sheet import SlideRow


def features(folder: Path, name: str, n: int, dim: int) -> None:
    with h5py.File(folder / f"{name}.h5", "w") as file:
        file["features"] = np.ones((n, dim), np.float32)


def rows(*names: str) -> list[SlideRow]:
    return [SlideRow(name, f"patient-{name}") for name in names]


def test_each_slide_has_a_row(tmp_path: Path):
    features(tmp_path, "a", 7, 16)
    features(tmp_path, "b", 0, 16)
    (tmp_path / "c.h5").write_bytes(b"rubbish")
    index_features(rows("a", "b", "c", "d"), tmp_path, tmp_path / "index.tsv")
    found = read_rows(tmp_path / "index.tsv", INDEX_COLUMNS)
    assert [row["status"] for row in found] == ["ok", "empty", "unreadable", "missing"]
    assert [(row["patches"], row["dim"]) for row in found] == [("7", "16"), ("0", "16"), ("0", ""), ("0", "")]
    assert found[0]["path"] == str(tmp_path / "a.h5")
    assert found[0]["patient"] == "patient-a"
    assert all(row["reason"] for row in found[1:])


def test_widths_must_agree(tmp_path: Path):
    features(tmp_path, "a", 7, 16)
    features(tmp_path, "b", 7, 24)
    with pytest.raises(InputError, match="a has 16 values, b has 24"):
        index_features(rows("a", "b"), tmp_path, tmp_path / "index.tsv")
    assert not (tmp_path / "index.tsv").exists()


def test_nothing_at_all(tmp_path: Path):
    with pytest.raises(InputError, match="none of the 2 slides"):
        index_features(rows("a", "b"), tmp_path, tmp_path / "index.tsv")


def test_the_shards_say_why_a_slide_has_no_features(tmp_path: Path):
    features(tmp_path, "a", 7, 16)
    patches, encoded = tmp_path / "patches.tsv", tmp_path / "features.tsv"
    header = "slide_id\tstatus\treason\n"
    patches.write_text(header + "a\tok\t\nb\tfailed\tno plausible mpp\n")
    encoded.write_text(header + "a\tok\t\nb\tfailed\tno patches were made of it\n")
    index_features(rows("a", "b"), tmp_path, tmp_path / "index.tsv", [patches, encoded])
    found = read_rows(tmp_path / "index.tsv", INDEX_COLUMNS)
    assert [(row["status"], row["reason"]) for row in found] == [("ok", ""), ("missing", "no plausible mpp")]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_leave_a_slide_out_with_the_reason(tmp_path: Path, value: float):
    features(tmp_path, "a", 7, 16)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["features"] = np.zeros((600, 16), np.float32)
        file["features"][517, 3] = value
    index_features(rows("a", "b"), tmp_path, tmp_path / "index.tsv")
    found = read_rows(tmp_path / "index.tsv", INDEX_COLUMNS)
    assert [row["status"] for row in found] == ["ok", "unreadable"]
    assert "b.h5: features hold NaN or infinity (first in row 517)" in found[1]["reason"]
    (tmp_path / "a.h5").unlink()
    with pytest.raises(InputError, match=r"none of the 2 slides has features .*NaN or infinity"):
        index_features(rows("a", "b"), tmp_path, tmp_path / "other.tsv")
