"""Preflight's look at encoders: weights that load, features made elsewhere, how fast this machine is."""

import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mirrorflow.commands.preflight.slides import Finding, SlideCheck, per_folder
from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.plan.store_paths import delete_hint
from mirrorflow.runtime.gpus import why_expected
from mirrorflow.runtime.progress import Progress
from mirrorflow.slides.encoder_settings import encoder_from
from mirrorflow.slides.reader import best_level, open_slide
from mirrorflow.slides.scale import find_scale
from mirrorflow.slides.sources import RegionError
from mirrorflow.steps.slides.extract_features import CPU_BATCH
from mirrorflow.store.digest import require_same_settings
from mirrorflow.store.features import check_values, describe_features, stored_settings
from mirrorflow.store.slide_sheet import SlideRow

if TYPE_CHECKING:
    from mirrorflow.slides.encoders import Encoder

logger = logging.getLogger(__name__)

TIMED_BATCHES = 3
READ_PATCHES = 24
"""Patches read to see how long one takes."""


@dataclass(frozen=True)
class Speed:
    """What one encoder does here, patches a second: the network alone, and with reading."""

    dim: int
    network: float
    together: float


def gpu_line() -> str:
    """Which GPU the features will be computed on, in words."""
    import torch

    from mirrorflow.training.devices import wheel

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return f"{torch.cuda.get_device_name(0)}, {memory:.0f} GiB"
    if why := why_expected():
        return f"{why}, but torch cannot use it ({wheel()}): jobs that ask for a GPU will stop and say what to do"
    return "none seen: features are computed on the CPU"


def load_encoder(name: str, settings: Mapping[str, Any]) -> "Encoder | Finding":
    """The encoder with its weights on its device, or why the run would stop."""
    import torch

    from mirrorflow.slides.encoders import build_encoder
    from mirrorflow.store.weights import encoder_weights

    try:
        spec = encoder_from({"name": name, **settings})
        spec.noted()
        return build_encoder(spec, encoder_weights(spec), "cuda" if torch.cuda.is_available() else "cpu")
    except MirrorflowError as error:
        return Finding(f"encoder {name}", str(settings["weights"]), str(error), stops=True)


def measure(encoder: "Encoder", batch_size: int, cores: int, workers: int, read_s: float | None) -> Speed:
    """Time a few batches of noise, as extraction would run them; ``read_s`` is what reading a patch takes.

    On a CPU reading and computing share ``cores``; with a GPU ``workers`` threads read beside it.
    """
    import torch

    on_cpu = encoder.device.type == "cpu"
    streams = cores if on_cpu else 1
    size = min(batch_size, CPU_BATCH) if on_cpu else batch_size
    images = np.random.default_rng(0).integers(0, 256, (size, encoder.image_size, encoder.image_size, 3), np.uint8)
    before = torch.get_num_threads()
    share = partial(torch.set_num_threads, 1 if on_cpu else cores)
    with ThreadPoolExecutor(streams, initializer=share) as pool:
        list(pool.map(encoder, [images] * streams))  # the first batch is slower
        started = time.monotonic()
        list(pool.map(encoder, [images] * (streams * TIMED_BATCHES)))
        network = size * streams * TIMED_BATCHES / (time.monotonic() - started)
    torch.set_num_threads(before)
    if not read_s:
        return Speed(encoder.dim, network, network)
    together = 1 / (1 / network + read_s / cores) if on_cpu else min(network, workers / read_s)
    return Speed(encoder.dim, network, together)


def seconds_per_patch(looks: Sequence[SlideCheck], size_px: int, mpp: float, image_size: int) -> float | None:
    """How long reading a patch takes in one thread, from the first slide that can be read."""
    for look in looks:
        if look.usable and look.row.path is not None:
            try:
                return _read_some(look.row, size_px, mpp, image_size)
            except (InputError, RegionError) as error:
                logger.debug("%s: %s", look.row.slide_id, error)
    return None


def _read_some(row: SlideRow, size_px: int, mpp: float, image_size: int) -> float:
    with open_slide(row.path or "") as slide:
        own = find_scale(slide.properties, row.mpp).mpp
        size = size_px * mpp / own
        level = best_level(slide.levels, mpp / own)
        side = max(1, int(READ_PATCHES**0.5))
        left, top = max(0, int(slide.width / 2 - side * size / 2)), max(0, int(slide.height / 2 - side * size / 2))
        started = time.monotonic()
        for index in range(READ_PATCHES):
            slide.read_patch(left + int(index % side * size), top + int(index // side * size), size, level, image_size)
        return (time.monotonic() - started) / READ_PATCHES


def stored_elsewhere(encoder: str, folder: Path, rows: Sequence[SlideRow], workers: int) -> Iterable[Finding]:
    """What does not fit of feature files made elsewhere: missing, unreadable, NaN among their values, other widths.

    Every value is read, as the run will.
    """
    paths = [folder / f"{row.slide_id}.h5" for row in rows]
    found, progress = [], Progress(f"preflight {encoder}", len(paths), "feature files")
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        for row, width in zip(rows, pool.map(_width, paths), strict=True):
            found.append(width)
            progress.step(note=row.slide_id)
    bad = [(row, path, what) for row, path, what in zip(rows, paths, found, strict=True) if isinstance(what, str)]
    if rows and len(bad) == len(rows):
        what = f"none of the {len(rows)} slides has features: {bad[0][2]}"
        yield Finding(f"encoder {encoder}", str(folder), what, stops=True)
        return
    for row, path, what in bad:
        yield Finding(row.slide_id, str(path), what)
    widths = sorted({what for what in found if isinstance(what, int) and what})  # 0: a slide without patches
    if len(widths) > 1:
        what = f"features of different widths {widths}; keep one encoder a folder"
        yield Finding(f"encoder {encoder}", str(folder), what, stops=True)


def _width(path: Path) -> int | str:
    try:
        check_values(path)
        return describe_features(path).dim
    except InputError as error:
        return str(error)


def made_earlier(folder: Path, rows: Sequence[SlideRow], noted: Mapping[str, Any]) -> tuple[set[str], list[Finding]]:
    """Slides whose features are there already, and those whose files were made with other settings."""
    done: set[str] = set()
    findings: list[Finding] = []
    for row in rows:
        path = folder / f"{row.slide_id}.h5"
        if not path.exists():
            continue
        try:
            stored = _encoder_settings(path)
            require_same_settings(str(path), stored, noted, delete_hint([folder]))
            done.add(row.slide_id)
        except InputError:
            continue
        except MirrorflowError as error:
            findings.append(Finding(row.slide_id, str(path), str(error), stops=True))
    return done, per_folder(findings)


def _encoder_settings(path: Path) -> str:
    settings, _ = stored_settings(path)
    return json.dumps(json.loads(settings or "{}").get("encoder", {}))
