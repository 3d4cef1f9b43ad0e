"""What a process keeps of the store for its next cases, and when it reads again."""

import gc
import os
import signal
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from mirrorflow.store import bags as store_bags
from mirrorflow.store import kept, rows
from mirrorflow.store.bags import FeatureBags
from mirrorflow.store.expression import ExpressionWriter, read_expression
from mirrorflow.store.kept import Memory, stamp_of
from mirrorflow.store.rows import kept_layout

ROWS, WIDTH = 8, 5
BYTES = ROWS * WIDTH * 4


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """Files of a test are young: they count as settled at once."""
    monkeypatch.setattr(kept, "SETTLED_NS", -1)


@pytest.fixture
def memory(monkeypatch):
    fresh = Memory(idle=10**9)
    monkeypatch.setattr(store_bags, "BAGS", fresh)
    return fresh


@pytest.fixture
def reads(monkeypatch):
    """Files that were read whole, in order."""
    found, read = [], store_bags.read_features

    def counted(path):
        found.append(Path(path).name)
        return read(path)

    monkeypatch.setattr(store_bags, "read_features", counted)
    return found


def write(path, value, compression="gzip"):
    """A file that replaces what was there, as the store writes them."""
    with h5py.File(path.with_suffix(".new"), "w") as file:
        file.create_dataset("features", data=np.full((ROWS, WIDTH), value, np.float16), compression=compression)
    path.with_suffix(".new").replace(path)
    return path


def files_of(folder, count):
    return [[write(folder / f"{number}.h5", number)] for number in range(count)]


def test_a_second_case_reads_no_file_again(tmp_path, memory, reads):
    files = files_of(tmp_path, 3)
    for _ in range(2):
        bags = FeatureBags(files, 1.0)
        assert [bags[i][0, 0] for i in range(3)] == [0, 1, 2]
    assert reads == ["0.h5", "1.h5", "2.h5"]


def test_a_file_that_was_made_again_is_read_again(tmp_path, memory, reads):
    files = files_of(tmp_path, 1)
    assert FeatureBags(files, 1.0)[0][0, 0] == 0
    write(files[0][0], 7)
    assert FeatureBags(files, 1.0)[0][0, 0] == 7
    assert len(reads) == 2


def test_a_layout_is_read_once_until_the_file_is_another(tmp_path, monkeypatch):
    path, reads, read = write(tmp_path / "a.h5", 1, compression=None), [], rows.row_layout
    monkeypatch.setattr(rows, "row_layout", lambda path: reads.append(path) or read(path))
    first, second = (kept_layout(path)[0] for _ in range(2))
    assert first is not second, "each has a map of its own, which ends with it"
    assert len(reads) == 1
    np.testing.assert_array_equal(first.starts, second.starts)
    with h5py.File(path, "w") as file:
        file["features"] = np.ones((2, 9), np.float32)
    assert kept_layout(path)[0].width == 9


def test_a_file_that_was_written_just_now_is_not_known_again(tmp_path, memory, reads, monkeypatch):
    """It may change once more within the tick of its file system's clock."""
    monkeypatch.setattr(kept, "SETTLED_NS", 3_600_000_000_000)
    files = files_of(tmp_path, 1)
    assert stamp_of(files[0][0]) is None
    first = FeatureBags(files, 1.0)
    for _ in range(2):
        assert first[0][0, 0] == 0
    assert reads == ["0.h5"], "its own reader keeps it"
    assert FeatureBags(files, 1.0)[0][0, 0] == 0
    assert len(reads) == 2
    del first
    gc.collect()
    assert not memory._entries, "nobody can ask for it any more"
    assert memory._bytes == 0


def test_what_one_reader_asked_for_stays_when_memory_is_full(tmp_path, memory, reads):
    """Rounds over more than fits find what fitted first, each time."""
    files = files_of(tmp_path, 3)
    bags = FeatureBags(files, 2 * BYTES / 1e9)
    for _ in range(2):
        assert [bags[i][0, 0] for i in range(3)] == [0, 1, 2]
    assert reads == ["0.h5", "1.h5", "2.h5", "2.h5"]


def test_earlier_readers_make_room(tmp_path, memory, reads):
    old, new = files_of(tmp_path, 2), [[write(tmp_path / f"new{number}.h5", 9)] for number in range(2)]
    earlier = FeatureBags(old, 2 * BYTES / 1e9)
    earlier.load(moments=False)
    later = FeatureBags([old[1], *new], 2 * BYTES / 1e9)
    later.load(moments=False)
    again = FeatureBags([old[1], *new], 2 * BYTES / 1e9)
    again.load(moments=False)
    assert reads == ["0.h5", "1.h5", "new0.h5", "new1.h5", "new1.h5"]
    assert memory._bytes == 2 * BYTES


def test_of_readers_that_are_gone_little_stays(tmp_path, memory, reads):
    """The next case may want the memory for its processes."""
    memory.idle = BYTES
    bags = FeatureBags(files_of(tmp_path, 3), 1.0)
    bags.load(moments=False)
    assert memory._bytes == 3 * BYTES
    del bags
    gc.collect()
    assert memory._bytes == BYTES
    assert len(memory._entries) == 1


def test_a_bag_that_others_may_have_cannot_be_written_to(tmp_path, memory):
    bag = FeatureBags(files_of(tmp_path, 1), 1.0)[0]
    with pytest.raises(ValueError, match="read-only"):
        bag -= bag.mean()


def test_no_budget_keeps_nothing(tmp_path, memory):
    bags = FeatureBags(files_of(tmp_path, 2), 0)
    assert bags[0].shape == bags[1].shape == (ROWS, WIDTH)
    assert not memory._entries


def test_a_patients_slides_are_one_entry_and_an_empty_one_is_none(tmp_path, memory, reads):
    (first,), (second,) = files_of(tmp_path, 2)
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["features"] = np.empty((0, WIDTH), np.float32)
    for _ in range(2):
        bags = FeatureBags([[first, tmp_path / "empty.h5", second]], 1.0)
        assert bags[0].shape == (2 * ROWS, WIDTH)
    assert reads == ["0.h5", "1.h5"]


def test_a_fork_is_not_kept_waiting_by_a_lock_of_its_parent():
    """Another thread holds it when the fork is made."""
    held, done = threading.Event(), threading.Event()

    def hold():
        with kept.BAGS._lock:
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = os.fork()
    if not child:
        try:
            signal.alarm(20)
            kept.BAGS.keep(("a",), 1, 8, 1, 8)
            status = int(kept.BAGS.get(("a",), 1) != 1)
        finally:
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    done.set()
    holder.join()
    assert status == 0


def expression(path, value):
    """Two genes of three patients."""
    with ExpressionWriter(path.with_suffix(".new"), ["P1", "P2", "P3"]) as writer:
        writer.add(["g1", "g2"], ["A", "B"], np.full((2, 3), value, np.float32))
        writer.finish({}, {})
    path.with_suffix(".new").replace(path)
    return path


def test_genes_are_read_once_until_the_file_is_another(tmp_path):
    path = expression(tmp_path / "e.parquet", 1)
    first, second = (read_expression(path, ["P2", "P1"], ["g2"]) for _ in range(2))
    assert second.values is first.values
    assert (second.values.shape, second.patients, second.ids, second.symbols) == ((2, 1), ["P2", "P1"], ["g2"], ["B"])
    with pytest.raises(ValueError, match="read-only"):
        second.values[0, 0] = 3
    assert read_expression(path, ["P1", "P2"], ["g2"]).values is not first.values
    assert read_expression(path, ["P2", "P1"], ["g1"]).values is not first.values
    expression(path, 5)
    assert read_expression(path, ["P2", "P1"], ["g2"]).values.tolist() == [[5], [5]]


def test_the_whole_matrix_is_not_kept(tmp_path):
    path = expression(tmp_path / "e.parquet", 1)
    first, second = (read_expression(path, ["P1"]) for _ in range(2))
    assert second.values is not first.values
    first.values[0, 0] = 3


def test_what_is_larger_than_the_budget_pushes_nothing_out():
    memory = Memory(idle=0)
    memory.keep("small", "kept", 32, memory.reader(), 64)
    memory.keep("large", "left", 320, memory.reader(), 64)
    assert memory.get("small", 0) == "kept"
    assert memory.get("large", 0) is None


def test_nothing_is_pushed_out_by_what_still_would_not_fit():
    memory = Memory(idle=0)
    memory.keep("first", 1, 32, memory.reader(), 64)
    second = memory.reader()
    memory.keep("second", 2, 32, second, 64)
    memory.keep("third", 3, 48, second, 64)
    assert [memory.get(key, 0) for key in ("first", "second", "third")] == [1, 2, None]
