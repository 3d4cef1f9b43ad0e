"""Which slides have features."""

import contextlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from mirrorflow.errors import InputError
from mirrorflow.steps.slides.index_features import index_features
from mirrorflow.store.bags import FeatureBags
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


def test_names_and_paths_are_those_of_the_sheet_and_the_disk(tmp_path: Path):
    """A full-width blank, or two blanks, in a patient or a folder."""
    folder, patients = tmp_path / "特徴　量", ["山田　太郎", "Doe  John"]
    folder.mkdir()
    for name in "ab":
        features(folder, name, 7, 16)
    named = [SlideRow(name, patient) for name, patient in zip("ab", patients, strict=True)]
    index_features(named, folder, tmp_path / "index.tsv")
    found = read_rows(tmp_path / "index.tsv", INDEX_COLUMNS)
    assert [row["patient"] for row in found] == patients
    assert all(Path(row["path"]).exists() for row in found)


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


def damaged(path: Path, layout: str, seed: int) -> None:
    """A feature file of which three bytes are changed."""
    random = np.random.default_rng(seed)
    options = {"plain": {}, "chunked": {"chunks": (8, 16)}, "gzip": {"chunks": (8, 16), "compression": "gzip"}}[layout]
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=random.normal(size=(40, 16)).astype(np.float32), **options)
        file["features"].attrs["encoder"] = "uni"
        file["coords"] = np.zeros((40, 2), np.int64)
    content = bytearray(path.read_bytes())
    for place in random.integers(0, len(content), 3):
        content[place] = random.integers(0, 256)
    path.write_bytes(content)


@pytest.mark.parametrize("layout", ["plain", "chunked", "gzip"])
def test_a_broken_file_is_a_row_and_stops_no_cohort(tmp_path: Path, layout: str):
    """HDF5 says damage with any kind of exception; 20 of 150 such files ended the job with a traceback."""
    names = [f"s{seed}" for seed in range(60)]
    for seed, name in enumerate(names):
        damaged(tmp_path / f"{name}.h5", layout, seed)
    features(tmp_path, "whole", 7, 16)
    index_features(rows("whole", *names), tmp_path, tmp_path / "index.tsv")
    found = {row["slide_id"]: row["status"] for row in read_rows(tmp_path / "index.tsv", INDEX_COLUMNS)}
    assert set(found.values()) == {"ok", "unreadable"}
    for name in names:
        with contextlib.suppress(InputError):
            FeatureBags([[tmp_path / f"{name}.h5"]], 1.0).rows(0, np.arange(40))


def test_a_file_that_does_not_hold_what_its_shape_says_is_unreadable(tmp_path: Path):
    features(tmp_path, "a", 7, 16)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("features", (100, 16), np.float32, chunks=(10, 16))[:10] = 1.0
    index_features(rows("a", "b"), tmp_path, tmp_path / "index.tsv")
    (_, row) = read_rows(tmp_path / "index.tsv", INDEX_COLUMNS)
    assert row["status"] == "unreadable"
    assert "features has shape (100, 16), of which the file does not hold all" in row["reason"]


def test_tridents_file_of_a_slide_without_patches_is_empty(tmp_path: Path):
    """Its features have the shape (0,): no width, and not unreadable."""
    features(tmp_path, "a", 7, 16)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["features"], file["coords"] = np.zeros(0, np.float32), np.zeros((0, 2), np.int64)
    index_features(rows("a", "b"), tmp_path, tmp_path / "index.tsv")
    (_, row) = read_rows(tmp_path / "index.tsv", INDEX_COLUMNS)
    assert (row["status"], row["patches"], row["dim"], row["reason"]) == ("empty", "0", "", "it holds no patches")
