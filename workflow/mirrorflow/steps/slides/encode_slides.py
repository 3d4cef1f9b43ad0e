"""Slides through one network: read ahead, encoded in batches that go across slides, written as they finish."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import InputError
from mirrorflow.runtime.pool import read_then_work
from mirrorflow.runtime.progress import Progress
from mirrorflow.slides.encoder_settings import EncoderSettings
from mirrorflow.slides.reader import Slide, best_level, open_slide
from mirrorflow.slides.sources import RegionError
from mirrorflow.steps.slides.crash_guard import CrashGuard
from mirrorflow.steps.slides.feature_plan import Plan, Row
from mirrorflow.store.features import FeatureWriter

if TYPE_CHECKING:
    from mirrorflow.slides.encoders import Encoder

logger = logging.getLogger(__name__)


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

    @property
    def _guard(self) -> CrashGuard:
        return CrashGuard(self.plan.features.parent)

    def read(self, x: int, y: int, size: int) -> NDArray[np.uint8]:
        """One patch [size, size, 3]. Raises RegionError where it, or the whole slide, cannot be read."""
        slide = self._opened()
        return slide.read_patch(x, y, self.size_level0, self._level, size)

    def _opened(self) -> Slide:
        with self._lock:
            if self.problem:
                raise RegionError(self.problem)
            if self._slide is None:
                self._guard.begin(self.plan.row.slide_id)
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
        self._guard.end(self.plan.row.slide_id)


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


class Run:
    """Encodes slides one after the other through shared batches, and writes them as they finish."""

    def __init__(self, encoder: "Encoder", spec: EncoderSettings, max_unreadable: float, patches: int) -> None:
        self.encoder, self.spec, self.max_unreadable = encoder, spec, max_unreadable
        self.progress = Progress(f"features {spec.name}", patches, "patches")
        self.open: dict[str, Work] = {}
        self.outcomes: dict[str, Row] = {}
        self.parts = 1  # in which a batch is encoded

    def slides(
        self, plans: Sequence[Plan], batch_size: int, prepare: Callable[[], None], *, readers: int, streams: int
    ) -> dict[str, Row]:
        """Status rows by slide id; an exception leaves no unfinished file behind."""
        waits: list[float] = []
        started = time.monotonic()
        batches = fill_batches(self._started(plans), batch_size)
        read = partial(read_batch, batch_size=batch_size, image_size=self.encoder.image_size)
        try:
            for encoded in read_then_work(
                batches, read, self._encode, readers=readers, workers=streams, prepare=prepare, waited=waits.append
            ):
                self._write(encoded)
            seconds = time.monotonic() - started
            logger.info("%.1f s; a stream waited %.1f s for patches to be read", seconds, sum(waits) / streams)
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
        return Encoded(batch, self._features(read.images), read.readable)

    def _features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Of a batch; in halves from now on where the GPU's memory is full."""
        from mirrorflow.training.devices import guarded

        def encoded() -> NDArray[np.float32]:
            return np.concatenate([self.encoder(part) for part in np.array_split(images, self.parts)])

        def in_halves() -> NDArray[np.float32]:
            self.parts = 2
            return encoded()

        return guarded(encoded, self._full, in_halves)

    def _full(self) -> str:
        return (
            f"encoder {self.spec.name}: the GPU's memory is full with a batch of patches, and with half of one; lower "
            "features.batch_size, or set features.encoders.<name>.precision: bfloat16"
        )

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
