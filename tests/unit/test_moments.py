"""Moments of patches: taken once a file, kept, and merged exactly."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from mirrorflow.errors import InputError
from mirrorflow.store import moments as kept_moments
from mirrorflow.store.bags import FeatureBags
from mirrorflow.training.bags import ArrayBags, SomeBags, patch_moments
from mirrorflow.training.moments import NOTHING, moments_of

WIDTH = 5
RNG = np.random.default_rng(0)
BAGS = [(RNG.normal(size=(size, WIDTH)) * [1, 2, 3, 1, 1] + [0, 5, -300, 1e4, 7]).astype(np.float32)
        for size in (400, 1, 129, 700, 3)]  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.h5" for number in range(len(BAGS))]
    for path, bag in zip(paths, BAGS, strict=True):
        write(path, bag)
    return paths


def write(path: Path, bag: np.ndarray, **layout) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=bag, **({"chunks": (min(256, len(bag)), WIDTH)} | layout))


def exact() -> tuple[np.ndarray, np.ndarray]:
    whole = np.concatenate(BAGS).astype(np.longdouble)
    return whole.mean(axis=0), whole.std(axis=0)


def test_they_are_those_of_all_patches_however_they_are_cut(files, tmp_path):
    mean, deviation = exact()
    units = [files[:2], files[2:3], files[3:]]
    for bags in (ArrayBags(BAGS), FeatureBags(units, 0.0), FeatureBags(units, 0.0, moments=tmp_path / "kept")):
        found = patch_moments(bags)
        np.testing.assert_allclose(found[0], mean.astype(np.float32), rtol=1e-6)
        np.testing.assert_allclose(found[1], deviation.astype(np.float32), rtol=1e-6)


def test_merging_loses_nothing():
    parts = [moments_of(bag) for bag in BAGS]
    forth, back = NOTHING, NOTHING
    for part in parts:
        forth = forth.merged(part)
    for part in reversed(parts):
        back = back.merged(part)
    assert forth.count == back.count == sum(map(len, BAGS))
    np.testing.assert_allclose(forth.squares, back.squares, rtol=1e-12)
    np.testing.assert_allclose(forth.squares, moments_of(np.concatenate(BAGS)).squares, rtol=1e-12)
    assert NOTHING.merged(NOTHING).count == 0


def test_a_second_fold_reads_no_features(files, tmp_path, monkeypatch):
    units = [[path] for path in files]
    first = patch_moments(FeatureBags(units, 0.0, moments=tmp_path / "kept"))
    monkeypatch.setattr(kept_moments, "moments_of_file", lambda _: pytest.fail("read again"))
    again = patch_moments(FeatureBags(units, 0.0, moments=tmp_path / "kept"))
    np.testing.assert_array_equal(first, again)
    some = patch_moments(SomeBags(FeatureBags(units, 0.0, moments=tmp_path / "kept"), [3, 0]))
    np.testing.assert_allclose(some[0], np.concatenate([BAGS[3], BAGS[0]]).mean(axis=0, dtype=np.float64), rtol=1e-6)


def test_other_content_is_read_anew_and_half_a_record_counts_for_nothing(files, tmp_path):
    kept = tmp_path / "kept"
    before = patch_moments(FeatureBags([[files[0]]], 0.0, moments=kept))
    write(files[0], BAGS[0] + 1)
    after = patch_moments(FeatureBags([[files[0]]], 0.0, moments=kept))
    assert not np.allclose(before[0], after[0])
    for record in kept.iterdir():
        record.write_bytes(record.read_bytes()[:40])
    np.testing.assert_array_equal(patch_moments(FeatureBags([[files[0]]], 0.0, moments=kept)), after)


@pytest.mark.parametrize("layout", [{}, {"compression": "gzip"}])
def test_a_value_that_is_not_finite_names_file_and_row(tmp_path, layout):
    bag = BAGS[0].copy()
    bag[7, 2] = np.nan
    write(tmp_path / "TCGA-7.h5", bag, **layout)
    with pytest.raises(InputError, match=r"TCGA-7\.h5: features hold NaN or infinity \(first in row 7\)"):
        patch_moments(FeatureBags([[tmp_path / "TCGA-7.h5"]], 0.0, moments=tmp_path / "kept"))
    assert not (tmp_path / "kept").exists()


def test_what_a_killed_process_left_half_is_removed(files, tmp_path):
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1, text=True, check=True)
    halves = [
        tmp_path / "kept" / f".tmp-{pid}@{socket.gethostname()}@a.npy" for pid in (int(ended.stdout), os.getpid())
    ]
    halves[0].parent.mkdir()
    for half in halves:
        half.touch()
    patch_moments(FeatureBags([[path] for path in files], 0.0, moments=tmp_path / "kept"))
    assert [half.exists() for half in halves] == [False, True], "one is being written by a process that lives"


def test_a_folder_that_cannot_be_written_to_costs_no_run(files):
    found = patch_moments(FeatureBags([[files[0]]], 0.0, moments=files[1] / "kept"))
    np.testing.assert_allclose(found[0], BAGS[0].mean(axis=0, dtype=np.float64), rtol=1e-6)
