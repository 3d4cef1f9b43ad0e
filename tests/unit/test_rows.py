from pathlib import Path

import h5py
import numpy as np
import pytest

from mirrorflow.errors import InputError
from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.features import FeatureWriter
from mirrorflow.store.rows import row_layout
from mirrorflow.training.bags import ArrayBags, draw_batch

ROWS, WIDTH = 700, 6
VALUES = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
PICK = np.array([3, 699, 0, 256, 255, 3])
LAYOUTS = {
    "in one piece": {},
    "in chunks": {"chunks": (256, WIDTH)},
    "big-endian": {"dtype": ">f4"},
    "half precision": {"chunks": (64, WIDTH), "dtype": "float16"},
    "compressed": {"chunks": (64, WIDTH), "compression": "gzip"},
    "cut across": {"chunks": (64, 3)},
}
READ_WHOLE = ("compressed", "cut across")


def write(path: Path, values: np.ndarray = VALUES, **layout) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=values, **layout)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("axis", ["rows first", "an axis of 1 first"])
def test_drawn_rows_are_those_of_the_whole_file(tmp_path, layout, axis):
    options, values = dict(LAYOUTS[layout]), VALUES
    if axis == "an axis of 1 first":
        values = VALUES[None]
        options |= {"chunks": (1, *options["chunks"])} if "chunks" in options else {}
    path = write(tmp_path / "a.h5", values, **options)
    bags = FeatureBags([[path]], 0.0)
    assert row_layout(path).mapped == (layout not in READ_WHOLE)
    assert bags.size(0) == ROWS
    assert bags.rows(0, PICK).dtype == np.float32
    np.testing.assert_array_equal(bags.rows(0, PICK), bags[0][PICK])


def test_files_made_here_are_mapped_without_reading_them_whole(tmp_path, monkeypatch):
    with FeatureWriter(tmp_path / "a.h5", WIDTH, "float32", {}) as writer:
        for start in range(0, ROWS, 100):
            writer.append(VALUES[start : start + 100], np.zeros((len(VALUES[start : start + 100]), 2), np.int64))
        writer.finish({}, {}, {})
    monkeypatch.setattr("mirrorflow.store.bags.read_features", lambda *_: pytest.fail("read whole"))
    np.testing.assert_array_equal(FeatureBags([[tmp_path / "a.h5"]], 0.0).rows(0, PICK), VALUES[PICK])


def test_slides_of_a_patient_follow_each_other_and_empty_ones_count_nothing(tmp_path):
    parts = [VALUES[:10], VALUES[:0], VALUES[10:]]
    files = [write(tmp_path / f"{number}.h5", part) for number, part in enumerate(parts)]
    bags = FeatureBags([files], 0.0)
    assert bags.size(0) == ROWS
    np.testing.assert_array_equal(bags.rows(0, PICK), VALUES[PICK])


@pytest.mark.parametrize("short", ["resample", "mask"])
def test_a_batch_is_the_same_from_files_and_from_memory(tmp_path, short):
    arrays = [VALUES[:5], VALUES[5:300], VALUES]
    bags = FeatureBags([[write(tmp_path / f"{number}.h5", array)] for number, array in enumerate(arrays)], 0.0)
    batches = [
        draw_batch(
            source, np.array([2, 0, 1]), tokens=20, short=short, rngs=[np.random.default_rng(i) for i in range(3)]
        )
        for source in (bags, ArrayBags(arrays))
    ]
    np.testing.assert_array_equal(batches[0].patches, batches[1].patches)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_drawn_value_that_is_not_finite_names_the_slide(tmp_path, value):
    values = VALUES.copy()
    values[7, 2] = value
    bags = FeatureBags([[write(tmp_path / "TCGA-7.h5", values)]], 0.0)
    assert bags.rows(0, np.array([6, 8])).shape == (2, WIDTH)
    with pytest.raises(InputError, match=r"TCGA-7\.h5: features hold NaN or infinity \(e\.g\. in row 7\)"):
        bags.rows(0, np.array([6, 7]))


def test_widths_and_empty_units_are_found_before_values_are_read(tmp_path):
    wide = write(tmp_path / "wide.h5", VALUES[:, :4].copy())
    bags = FeatureBags([[write(tmp_path / "a.h5")], [wide], [write(tmp_path / "none.h5", VALUES[:0])]], 0.0)
    assert bags.size(0) == ROWS
    with pytest.raises(InputError, match=r"wide\.h5: features are 4 wide, those of .*a\.h5 are 6"):
        bags.size(1)
    with pytest.raises(InputError, match="unit 2: no patches in"):
        bags.size(2)


def write_bfloat16(path: Path, values: np.ndarray) -> Path:
    """As torch's bfloat16 is stored by those who define the type to HDF5: 2 bytes, read as float32."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    kind.set_ebias(127)
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple(values.shape)
        h5py.Dataset(h5py.h5d.create(file.id, b"features", kind, space))[...] = values
    return path


def write_compact(path: Path, values: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple(values.shape)
        made = h5py.h5d.create(file.id, b"features", h5py.h5t.IEEE_F32LE, space, layout)
        h5py.Dataset(made)[...] = values
    return path


@pytest.mark.parametrize("writer", [write_bfloat16, write_compact])
def test_rows_stored_otherwise_than_numpy_holds_them_are_read_whole(tmp_path, writer):
    values = np.arange(1, 13, dtype=np.float32).reshape(4, 3)  # bfloat16 holds each exactly
    path = writer(tmp_path / "a.h5", values)
    assert not row_layout(path).mapped
    np.testing.assert_array_equal(FeatureBags([[path]], 0.0).rows(0, np.array([3, 0])), values[[3, 0]])


@pytest.mark.parametrize("layout", [{}, {"chunks": (64, WIDTH)}])
@pytest.mark.parametrize("block", [0, 4096])
def test_a_block_of_the_users_before_the_file_moves_no_row(tmp_path, layout, block):
    with h5py.File(tmp_path / "a.h5", "w", userblock_size=block) as file:
        file.create_dataset("features", data=VALUES, **layout)
    assert row_layout(tmp_path / "a.h5").mapped
    np.testing.assert_array_equal(FeatureBags([[tmp_path / "a.h5"]], 0.0).rows(0, PICK), VALUES[PICK])


def test_a_virtual_dataset_of_the_same_file_is_read_whole(tmp_path):
    parts = h5py.VirtualLayout((ROWS, WIDTH), "f4")
    parts[:300] = h5py.VirtualSource(".", "first", (300, WIDTH))
    parts[300:] = h5py.VirtualSource(".", "second", (ROWS - 300, WIDTH))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["first"], file["second"] = VALUES[:300], VALUES[300:]
        file.create_virtual_dataset("features", parts)
    assert not row_layout(tmp_path / "a.h5").mapped
    np.testing.assert_array_equal(FeatureBags([[tmp_path / "a.h5"]], 0.0).rows(0, PICK), VALUES[PICK])
