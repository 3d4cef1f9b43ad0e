"""Batches on their way to the device: memory used again, maps kept, the same values as ever."""

import gc
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.mapped import map_file
from mirrorflow.training.bags import ArrayBags, SomeBags, draw_batch
from mirrorflow.training.loading import Buffers, Loader, received
from mirrorflow.training.resident import ResidentBags, root_of

CPU = torch.device("cpu")
SIZES, WIDTH = (5, 300, 40, 12), 6


def arrays(seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(size, WIDTH)).astype(np.float32) for size in SIZES]


def files(folder: Path, bags: list[np.ndarray]) -> list[list[Path]]:
    paths = [folder / f"{number}.h5" for number in range(len(bags))]
    for path, bag in zip(paths, bags, strict=True):
        with h5py.File(path, "w") as file:
            file.create_dataset("features", data=bag, chunks=(64 if len(bag) > 64 else len(bag), WIDTH))
    return [[path] for path in paths]


def how(short: str, count: int = 3) -> dict:
    return {"tokens": 20, "short": short, "rngs": [np.random.default_rng([7, row]) for row in range(count)]}


def test_memory_is_used_again_once_nothing_looks_into_it():
    buffers = Buffers()
    first = buffers.take(2, 3, 4)
    place, view = first.data_ptr(), first[1:]
    assert buffers.take(2, 3, 4).data_ptr() != place
    del first
    assert buffers.take(2, 3, 4).data_ptr() != place  # a part of it is still looked at
    del view
    assert place in {buffers.take(1, 3, 4).data_ptr(), buffers.take(2, 3, 4).data_ptr()}


def test_memory_that_autograd_keeps_is_not_used_again():
    buffers, weight = Buffers(), torch.ones(4, requires_grad=True)
    patches = buffers.take(3, 4, 4)
    patches.fill_(2.0)
    place, loss = patches.data_ptr(), (patches * weight).sum()
    del patches
    other = buffers.take(3, 4, 4)
    other.fill_(9.0)
    loss.backward()
    assert other.data_ptr() != place
    assert weight.grad is not None
    assert weight.grad.tolist() == [24.0] * 4


@pytest.mark.parametrize("short", ["resample", "mask"])
def test_a_loader_draws_what_a_single_draw_does_batch_after_batch(tmp_path, short):
    bags = FeatureBags(files(tmp_path, arrays()), 0.0)
    loader = Loader(CPU)
    for units in ([0, 1, 2], [3, 3, 0], [2, 1, 0]):
        drawn = loader.draw(bags, np.array(units), **how(short))
        expected = draw_batch(ArrayBags(arrays()), np.array(units), **how(short))
        assert torch.equal(received(drawn, CPU), expected.patches)
        assert drawn.counts is None if short == "resample" else torch.equal(drawn.counts, expected.counts)
        drawn.patches.fill_(float("nan"))  # the next batch leaves nothing of it


def test_maps_that_are_kept_hold_no_file_open(tmp_path):
    paths = files(tmp_path, arrays() * 5)
    bags = FeatureBags(paths, 0.0)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for unit in range(len(paths)):
        bags.rows(unit, np.array([1, 0]))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
    assert len(mapped) == len(paths)
    del bags
    gc.collect()
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_a_file_is_mapped_once_for_all_draws(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr("mirrorflow.store.rows.map_file", lambda path: calls.append(path) or map_file(path))
    bags = FeatureBags(files(tmp_path, arrays()), 0.0)
    for _ in range(3):
        bags.rows(1, np.array([4, 5]))
    assert len(calls) == 1


def test_an_empty_file_maps_to_nothing(tmp_path):
    (tmp_path / "none").touch()
    assert len(map_file(tmp_path / "none")) == 0


@pytest.mark.parametrize("short", ["resample", "mask"])
def test_bags_that_stay_on_the_device_give_the_same_batches(short):
    bags = SomeBags(SomeBags(ArrayBags(arrays()), [3, 2, 1, 0]), [2, 0, 3])
    whole, numbers = root_of(bags)
    assert numbers == [1, 3, 0]
    kept = ResidentBags(whole, CPU, 10**6)
    names = np.array([0, 1, 2])
    drawn = kept.draw(np.array(numbers), names, **how(short))
    expected = draw_batch(bags, names, **how(short))
    assert torch.equal(drawn.patches, expected.patches)
    assert drawn.units.tolist() == [0, 1, 2]
    assert drawn.counts is None if short == "resample" else torch.equal(drawn.counts, expected.counts)


def test_bags_stay_as_long_as_they_fit():
    kept = ResidentBags(ArrayBags(arrays()), CPU, (5 + 300) * WIDTH * 4)
    assert kept.fits([0, 1])
    kept.bag(1)
    assert kept.fits([0, 1])
    assert not kept.fits([0, 2])
    kept.clear()
    assert not kept.fits([0])


def test_a_whole_bag_is_copied_once_into_memory_that_is_used_again():
    bags, loader = arrays(), Loader(CPU)
    places = set()
    for number in (1, 2, 1, 3):
        batch = loader.whole(ArrayBags(bags), number)
        assert batch.units.tolist() == [number]
        assert batch.counts is None
        np.testing.assert_array_equal(batch.patches[0].numpy(), bags[number])
        places.add(batch.patches.data_ptr())
        del batch
    assert len(places) == 1  # the first is the largest
