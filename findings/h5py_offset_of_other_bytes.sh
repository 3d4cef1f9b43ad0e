#!/usr/bin/env bash
# h5py 3.16.0 (HDF5 2.0.0): the offset that `dataset.id.get_offset()` gives is no licence to map the file.
#
# Three valid files, read through h5py without a fault. Their rows, mapped from the file at the offset and with the
# dtype that h5py names (what feature files of 256 x 1024 floats invite to), are other values, and nothing is said:
#   1. an external link: the offset is that in the other file;
#   2. bfloat16, a type of 2 bytes as HDF5 lets one define it: `dtype` is float32, of 4 bytes;
#   3. `name in file` is True for a soft link to nothing, and `file.get(name)` is None.
# What to do: compare `h5py.h5o.get_info(...).fileno` of dataset and file, and `dataset.id.get_type()` with
# `h5py.h5t.py_create(dataset.dtype)`, before a byte is mapped (mirrorflow: store/h5.py, store/rows.py).
# Fails where h5py behaves otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check h5py==3.16.0 "numpy==2.3.5"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import h5py
import numpy as np

right = np.arange(1, 13, dtype=np.float32).reshape(4, 3)


def mapped(path, dataset):
    return np.memmap(path, dataset.dtype, "r", dataset.id.get_offset(), dataset.shape).copy()


with h5py.File("other.h5", "w") as file:
    file["features"] = right
with h5py.File("link.h5", "w") as file:
    file["filler"] = np.full(2000, -1, np.float32)
    file["features"] = h5py.ExternalLink("other.h5", "features")
    file["nothing"] = h5py.SoftLink("/gone")
with h5py.File("link.h5") as file:
    dataset = file["features"]
    assert np.array_equal(dataset[:], right)
    assert dataset.id.get_offset() is not None
    wrong = mapped("link.h5", dataset)
    assert not np.array_equal(wrong, right)
    assert h5py.h5o.get_info(dataset.id).fileno != h5py.h5o.get_info(file.id).fileno
    print("external link: read", dataset[0], "mapped", wrong[0])
    assert "nothing" in file
    assert file.get("nothing") is None
    print("dangling soft link: in the file True, get None")

kind = h5py.h5t.IEEE_F32LE.copy()
kind.set_fields(15, 7, 8, 0, 7)
kind.set_size(2)
kind.set_ebias(127)
with h5py.File("bfloat16.h5", "w") as file:
    space = h5py.h5s.create_simple(right.shape)
    h5py.Dataset(h5py.h5d.create(file.id, b"features", kind, space))[...] = right
    file["filler"] = np.full(2000, -1, np.float32)
with h5py.File("bfloat16.h5") as file:
    dataset = file["features"]
    assert np.array_equal(dataset[:], right)
    assert (dataset.dtype, dataset.id.get_type().get_size()) == (np.float32, 2)
    wrong = mapped("bfloat16.h5", dataset)
    assert not np.array_equal(wrong, right)
    assert dataset.id.get_type() != h5py.h5t.py_create(dataset.dtype)
    print("bfloat16: dtype", dataset.dtype, "stored in 2 bytes; read", dataset[0], "mapped", wrong[0])
print("h5py", h5py.version.version, "HDF5", h5py.version.hdf5_version)
PYTHON
