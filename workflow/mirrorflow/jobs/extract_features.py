"""From patch coordinates to features: one process serves a shard, batches are filled across slides."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import ConfigError, InputError, MirrorflowError
from mirrorflow.jobs.feature_plan import Plan, Row, plan_slide
from mirrorflow.jobs.ordered_pool import read_then_work
from mirrorflow.progress import Progress
from mirrorflow.slides.encoder_settings import EncoderSettings, encoder_from
from mirrorflow.slides.reader import Slide, best_level, open_slide
from mirrorflow.slides.sources import RegionError
from mirrorflow.store.features import FeatureWriter
from mirrorflow.store.files import clear_leftovers
from mirrorflow.store.ledger import FEATURE_COLUMNS, write_rows
from mirrorflow.store.slide_sheet import SlideRow

if TYPE_CHECKING:
    from mirrorflow.slides.encoders import Encoder

logger = logging.getLogger(__name__)

DEFAULTS = {"batch_size": 64, "max_unreadable": 0.1}

CPU_BATCH = 16
"""On a CPU each thread encodes batches of its own, at most so large: activations stay near the cache
(measured on 2 cores, ResNet-50's stage 3: 29 patches/s; one batch of 64 shared by both cores: 18)."""


@dataclass
class Work:
    """One slide on its way: its plan, its slide file, what has been written."""

    plan: Plan
    size_level0: float
    patch_mpp_ratio: float
    attributes: Mapping[str, Any]
    writer: FeatureWriter | None = None
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    unreadable: int = 0
    problem: str = ""
    _slide: Slide | None = None
    _level: int = 0
    _lock: Lock = field(default_factory=Lock)

    def read(self, x: int, y: int, size: int) -> NDArray[np.uint8]:
        """One patch [size, size, 3]. Raises RegionError where it, or the whole slide, cannot be read."""
        slide = self._opened()
        return slide.read_patch(x, y, self.size_level0, self._level, size)

    def _opened(self) -> Slide:
        with self._lock:
            if self.problem:
                raise RegionError(self.problem)
            if self._slide is None:
                try:
                    self._slide = open_slide(self.plan.row.path or "no path in the sheet of slides")
                except InputError as error:
                    self.problem = str(error)
                    raise RegionError(self.problem) from error
                self._level = best_level(self._slide.levels, self.patch_mpp_ratio)
            return self._slide

    def close(self) -> None:
        """Close the slide."""
        if self._slide is not None:
            self._slide.close()


class Segment(NamedTuple):
    """Part of a batch: consecutive patches [k, 2] of one slide."""

    work: Work
    coords: NDArray[np.int64]


Batch = list[Segment]


class Read(NamedTuple):
    """A batch of images [size, s, s, 3], zero where nothing was read, and which of them were."""

    images: NDArray[np.uint8]
    readable: NDArray[np.bool_]


class Encoded(NamedTuple):
    """A batch with its features [k, dim] (unreadable rows included) and which were readable."""

    batch: Batch
    features: NDArray[np.float32]
    readable: NDArray[np.bool_]


def extract_shard(
    rows: Sequence[SlideRow],
    patches_folder: Path,
    features_folder: Path,
    status: Path,
    encoder: Mapping[str, Any],
    settings: Mapping[str, Any],
    *,
    threads: int,
    workers: int = 1,
    device: str = "auto",
) -> None:
    """Encode the patches of ``rows`` and write ``<features_folder>/<slide_id>.h5`` and ``status``.

    ``patches_folder`` is what ``patch_shard`` wrote: ``patches/<slide_id>.h5`` with coordinates. ``threads``
    cores compute (without a GPU), ``workers`` threads read ahead; neither, nor ``batch_size``, changes values
    beyond rounding. A patch that cannot be read is left out and counted; a slide that lacks more than
    ``max_unreadable`` of its patches fails. Finished files of an earlier run are kept; without any work no
    network is loaded. Raises InputError or ConfigError where weights are missing, SettingsMismatchError for
    files of other settings.
    """
    values = _settings(settings)
    spec = encoder_from(encoder)
    clear_leftovers(features_folder)
    noted = spec.noted()
    plan = partial(
        plan_slide,
        patches_folder=patches_folder / "patches",
        features_folder=features_folder,
        encoder=noted,
        max_unreadable=values["max_unreadable"],
    )
    planned = {row.slide_id: plan(row) for row in rows}
    todo = [item for item in planned.values() if isinstance(item, Plan)]
    outcomes = {key: item for key, item in planned.items() if not isinstance(item, Plan)}
    if todo:
        outcomes |= _extract(todo, spec, values, threads, workers, device)
    write_rows(status, FEATURE_COLUMNS, [outcomes[row.slide_id] for row in rows])


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := sorted(settings.keys() - DEFAULTS.keys()):
        message = f"features: unknown {', '.join(unknown)}; allowed are {', '.join(DEFAULTS)}"
        raise ConfigError(message)
    return DEFAULTS | dict(settings)


def _extract(
    plans: Sequence[Plan],
    spec: EncoderSettings,
    values: Mapping[str, Any],
    threads: int,
    workers: int,
    device: str,
) -> dict[str, Row]:
    """Status rows of the slides encoded, by slide id."""
    import torch

    from mirrorflow.slides.encoders import build_encoder
    from mirrorflow.store.weights import encoder_weights

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    on_cpu = device == "cpu"
    cv2.setNumThreads(1)  # parallel over patches, not inside one
    before = torch.get_num_threads()
    # Streams of one thread each do not wait for one another, as the threads of one network would.
    torch.set_num_threads(1 if on_cpu else threads)
    try:
        encoder = build_encoder(spec, encoder_weights(spec), device)
        run = Run(encoder, spec, float(values["max_unreadable"]), sum(plan.n for plan in plans))
        size = min(int(values["batch_size"]), CPU_BATCH) if on_cpu else int(values["batch_size"])
        return run.slides(plans, size, readers=max(1, workers), streams=max(1, threads) if on_cpu else 1)
    except torch.cuda.OutOfMemoryError as error:
        message = f"encoder {spec.name}: the GPU's memory is full; lower features.batch_size"
        raise MirrorflowError(message) from error
    finally:
        torch.set_num_threads(before)


class Run:
    """Encodes slides one after the other through shared batches, and writes them as they finish."""

    def __init__(self, encoder: "Encoder", spec: EncoderSettings, max_unreadable: float, patches: int) -> None:
        self.encoder, self.spec, self.max_unreadable = encoder, spec, max_unreadable
        self.progress = Progress(f"features {spec.name}", patches, "patches")
        self.open: dict[str, Work] = {}
        self.outcomes: dict[str, Row] = {}

    def slides(self, plans: Sequence[Plan], batch_size: int, *, readers: int, streams: int) -> dict[str, Row]:
        """Status rows by slide id; an exception leaves no unfinished file behind."""
        batches = fill_batches(self._started(plans), batch_size)
        read = partial(read_batch, batch_size=batch_size, image_size=self.encoder.image_size)
        try:
            for encoded in read_then_work(batches, read, self._encode, readers=readers, workers=streams):
                self._write(encoded)
        finally:
            for work in self.open.values():
                self._drop(work)
        return self.outcomes

    def _started(self, plans: Sequence[Plan]) -> Iterator[Segment]:
        """All patches of all slides; a slide without any is written at once."""
        for plan in plans:
            patches = plan.coords()
            ratio = patches.size_level0 / float(patches.attributes.get("patch_size", patches.size_level0))
            work = Work(plan, patches.size_level0, ratio, patches.attributes)
            attributes = {
                "encoder": self.spec.name,
                "model": self.spec.model,
                "weights_digest": self.encoder.weights_digest,
                "version": plan.settings["version"],
                "precision": self.spec.precision,
                "image_size": self.encoder.image_size,
                "name": plan.row.slide_id,
            }
            work.writer = FeatureWriter(plan.features, self.encoder.dim, self.spec.output_dtype, attributes)
            self.open[plan.row.slide_id] = work
            if plan.n == 0:
                self._finish(work)
            else:
                yield Segment(work, patches.coords)

    def _encode(self, batch: Batch, read: Read) -> Encoded:
        features = self.encoder(read.images)
        return Encoded(batch, features, read.readable)

    def _write(self, encoded: Encoded) -> None:
        start = 0
        for work, coords in encoded.batch:
            rows = slice(start, start + len(coords))
            self._append(work, encoded.features[rows], coords, encoded.readable[rows])
            start += len(coords)
        self.progress.step(start, note=encoded.batch[-1].work.plan.row.slide_id)

    def _append(
        self,
        work: Work,
        features: NDArray[np.float32],
        coords: NDArray[np.int64],
        readable: NDArray[np.bool_],
    ) -> None:
        with np.errstate(over="ignore"):  # looked at below
            stored = features[readable].astype(self.spec.output_dtype)
        if not np.isfinite(stored).all():
            work.problem = (
                f"{self.spec.precision} features overflow when stored as {self.spec.output_dtype}; "
                "set precision to float32 or bfloat16, output_dtype to float32"
            )
        if work.writer is not None:
            work.writer.append(stored, coords[readable])
        work.done += len(coords)
        work.unreadable += int((~readable).sum())
        if work.done == work.plan.n:
            self._finish(work)

    def _finish(self, work: Work) -> None:
        """Name the slide's file, or drop it if too much is missing."""
        plan = work.plan
        row = self._outcome(work)
        self.outcomes[plan.row.slide_id] = row
        if row["status"] == "failed" or work.writer is None:
            logger.warning("%s: failed: %s", plan.row.slide_id, row["reason"])
            plan.features.unlink(missing_ok=True)
        else:
            facts = row | {"source": plan.source}
            work.writer.finish(work.attributes, plan.settings, facts)
            work.writer = None
        self._drop(self.open.pop(plan.row.slide_id))

    def _outcome(self, work: Work) -> Row:
        n, lost = work.plan.n, work.unreadable
        row: Row = {
            "slide_id": work.plan.row.slide_id,
            "status": "ok",
            "reason": "",
            "patches": n - lost,
            "unreadable": lost,
            "seconds": round(time.monotonic() - work.started, 2),
        }
        if n == 0:
            return row | {"status": "no_tissue", "reason": "no patches hold tissue"}
        if work.problem:
            return row | {"status": "failed", "reason": work.problem}
        if lost > self.max_unreadable * n:
            limit = f"more than max_unreadable ({self.max_unreadable:.0%}) allows"
            return row | {"status": "failed", "reason": f"{lost} of {n} patches cannot be read, {limit}"}
        return row | ({"reason": f"{lost} of {n} patches cannot be read, left out"} if lost else {})

    def _drop(self, work: Work) -> None:
        if work.writer is not None:
            work.writer.abandon()
        work.close()


def fill_batches(segments: Iterator[Segment], size: int) -> Iterator[Batch]:
    """Cut slides' patches into batches of ``size``, going on into the next slide; the last may be short."""
    batch: Batch = []
    room = size
    for work, coords in segments:
        start = 0
        while start < len(coords):
            part = coords[start : start + room]
            batch.append(Segment(work, part))
            start, room = start + len(part), room - len(part)
            if room == 0:
                yield batch
                batch, room = [], size
    if batch:
        yield batch


def read_batch(batch: Batch, *, batch_size: int, image_size: int) -> Read:
    """Read the patches of a batch. It always has ``batch_size`` images: equal shapes give equal rounding."""
    images = np.zeros((batch_size, image_size, image_size, 3), np.uint8)
    readable = np.zeros(batch_size, bool)
    places = ((work, int(x), int(y)) for work, coords in batch for x, y in coords)
    for index, (work, x, y) in enumerate(places):
        try:
            images[index] = work.read(x, y, image_size)
            readable[index] = True
        except RegionError as error:
            logger.debug("%s: patch at %d, %d cannot be read: %s", work.plan.row.slide_id, x, y, error)
    return Read(images, readable)
