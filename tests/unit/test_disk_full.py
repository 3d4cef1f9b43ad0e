"""A full disk: the message names the file and the fix, and no half file is left that could pass for a whole one."""

import contextlib
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from mirrorflow.errors import MirrorflowError
from mirrorflow.runtime.files import write_text, written_whole
from mirrorflow.store.embeddings import write_embeddings
from mirrorflow.store.expression import ExpressionWriter
from mirrorflow.store.features import FeatureWriter, read_features
from mirrorflow.store.images import write_jpeg, write_png
from mirrorflow.store.ledger import write_rows
from mirrorflow.store.models import load_checkpoint, save_checkpoint
from mirrorflow.store.patches import write_patches
from mirrorflow.store.predictions import write_predictions
from mirrorflow.store.tables import write_cohort, write_sheet
from mirrorflow.training.embedding import Embeddings
from mirrorflow.training.trainer import TrainingState
from small_disk import small_disk

NOISE = np.random.default_rng(0).integers(0, 255, (1200, 1200, 3), dtype=np.uint8)
NUMBERS = pd.DataFrame(np.random.default_rng(0).random((60_000, 4)), columns=list("abcd"))


def features(path: Path, *, width: int = 1024) -> None:
    with FeatureWriter(path, width, "float32", {}) as writer:
        for _ in range(8):
            writer.append(np.ones((256, width), np.float32), np.zeros((256, 2), np.int64))
        writer.finish({}, {}, {})


def features_that_fail_when_closed(path: Path) -> None:
    """So few values that HDF5 writes them at the end only."""
    filler = path.with_name("filler")
    filler.write_bytes(bytes(900_000))
    try:
        features(path, width=64)
    finally:
        filler.unlink()


def expression(path: Path) -> None:
    with written_whole(path) as temporary, ExpressionWriter(temporary, ["a", "b"]) as writer:
        names = [f"gene-{i}" for i in range(200_000)]
        writer.add(names, names, np.random.default_rng(0).random((200_000, 2), dtype=np.float32))
        writer.finish({}, {})


def model(path: Path) -> None:
    with written_whole(path) as temporary:
        save_file({"weights": torch.ones(600_000)}, str(temporary))


def embeddings(path: Path) -> None:
    values = np.ones((1, 600, 600), np.float32)
    write_embeddings(path, Embeddings(("unit",), values, values, values, values), {})


def checkpoint(path: Path) -> None:
    save_checkpoint(path.parent, TrainingState(1, {"weights": torch.ones(600_000)}, {}, []), {})


WRITERS: dict[str, Callable[[Path], None]] = {
    "features.h5": features,
    "closed.h5": features_that_fail_when_closed,
    "patches.h5": lambda path: write_patches(path, np.ones((90_000, 2), np.int64), {}, {}, {}),
    "expression.parquet": expression,
    "predictions.parquet": lambda path: write_predictions(path, NUMBERS, {}),
    "cohort.parquet": lambda path: write_cohort(path, NUMBERS, []),
    "model.safetensors": model,
    "embeddings.safetensors": embeddings,
    "checkpoint.pt": checkpoint,
    "record.json": lambda path: write_text(path, "x" * 2_000_000),
    "sheet.tsv": lambda path: write_sheet(path, NUMBERS),
    "ledger.tsv": lambda path: write_rows(path, ("a", "b"), NUMBERS.to_dict("records") * 2),
    "mask.png": lambda path: write_png(path, NOISE[..., 0]),
    "overlay.jpg": lambda path: write_jpeg(path, NOISE),
}


@pytest.fixture(scope="module")
def disk() -> Iterator[Path]:
    with small_disk("1m") as folder:
        yield folder


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_said_and_leaves_nothing(disk: Path, name: str) -> None:
    with pytest.raises(MirrorflowError, match=rf"{name}: no space left on the disk; free some, then run again"):
        WRITERS[name](disk / name)
    assert list(disk.iterdir()) == []


def test_the_file_of_before_stays(disk: Path) -> None:
    features(disk / "slide.h5", width=16)
    with pytest.raises(MirrorflowError, match="no space left"):
        features(disk / "slide.h5")
    assert read_features(disk / "slide.h5")[0].shape == (2048, 16)
    (disk / "slide.h5").unlink()


def test_the_checkpoint_of_before_stays(disk: Path) -> None:
    save_checkpoint(disk, TrainingState(1, {"weights": torch.ones(3)}, {}, []), {"a": 1})
    with pytest.raises(MirrorflowError, match="no space left"):
        save_checkpoint(disk, TrainingState(2, {"weights": torch.ones(600_000)}, {}, []), {"a": 1})
    state = load_checkpoint(disk, {"a": 1})
    assert state is not None
    assert state.epoch == 1
    (disk / "checkpoint.pt").unlink()


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """No file may grow beyond 100 kB (what `ulimit -f` and some queues set).

    Around the write alone: pytest's own output may be a file that is larger already.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["features.h5", "predictions.parquet", "model.safetensors", "record.json"])
def test_a_limit_on_the_size_of_files_is_said_too(tmp_path: Path, name: str) -> None:
    """Without a mount, so wherever the tests run."""
    with small_files(), pytest.raises(MirrorflowError, match=rf"{name}: no space left"):
        WRITERS[name](tmp_path / name)
    assert list(tmp_path.iterdir()) == []
