"""Rule patch_slides: from slides to masks and patch coordinates, a shard of a cohort. Free of torch."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.plan.records import write_plan
from mirrorflow.plan.store_paths import PatchStatus, delete_hint, made_from_slides
from mirrorflow.runtime.files import clear_leftovers
from mirrorflow.runtime.job import Job
from mirrorflow.runtime.progress import Progress
from mirrorflow.slides.grid import Patching, place_patches
from mirrorflow.slides.mask import segment
from mirrorflow.slides.overlay import draw_overlay
from mirrorflow.slides.reader import Slide, SlideError, open_slide, source_bytes, source_files
from mirrorflow.slides.scale import Scale, check_resolution, find_scale, trident_mpp
from mirrorflow.slides.view import View, read_view
from mirrorflow.steps.slides.crash_guard import CrashGuard
from mirrorflow.steps.slides.gdc_files import restorer
from mirrorflow.steps.slides.patch_settings import PatchSettings, SlidePaths
from mirrorflow.steps.slides.read_alone import view_task
from mirrorflow.steps.slides.shards import rows_of_shard
from mirrorflow.store.digest import require_same_settings
from mirrorflow.store.fingerprint import content_digest
from mirrorflow.store.images import write_jpeg, write_png
from mirrorflow.store.ledger import PATCH_COLUMNS, write_rows
from mirrorflow.store.patches import read_patches, write_patches
from mirrorflow.store.slide_sheet import SlideRow
from mirrorflow.units import mpp_to_magnification

logger = logging.getLogger(__name__)

MAX_UNKNOWN = 0.5
"""A slide of whose view more than this cannot be read at any level is not segmented."""

Row = dict[str, Any]
Restore = Callable[[Sequence[SlideRow]], None]


@dataclass(frozen=True)
class Inputs:
    """The sheet of slides."""

    sheet: Path


@dataclass(frozen=True)
class Outputs:
    """``shards/<shard>.tsv`` of the folder that masks, overlays and patches go to."""

    status: Path


@dataclass(frozen=True)
class Params:
    """The sheet's columns by our names; which shard, of how many; patch, segmentation and scale."""

    columns: Mapping[str, str]
    shard: int
    shards: int
    settings: Mapping[str, Any]
    planned: Mapping[str, Any]
    """The record of these settings (``plan.records``)."""


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Patch the slides of the shard, as many at a time as the job has threads."""
    made = PatchStatus.parse(outputs.status)
    rows = rows_of_shard(inputs.sheet, params.columns, made.cohort, params.shard, params.shards)
    folder, restore = made.files, restorer(inputs.sheet)
    patch_shard(rows, folder, outputs.status, params.settings, workers=job.threads, restore=restore)
    write_plan(params.planned)


def patch_shard(
    rows: Sequence[SlideRow],
    folder: Path,
    status: Path,
    settings: Mapping[str, Any],
    *,
    workers: int = 1,
    restore: Restore | None = None,
) -> None:
    """Segment slides and place their patches; a slide that fails gets a row, the others go on.

    Writes below ``folder`` for every slide ``patches/<slide_id>.h5``, ``masks/<slide_id>.png`` and
    ``overlays/<slide_id>.jpg``, and at the end ``status`` (TSV, one row a slide). Finished slides of an
    earlier run are kept where settings and the slide file's content are the same, or the slide file is gone
    and its patches are there; ``workers`` slides are worked on at a time. ``restore`` gets the slides to be made,
    to fetch files that were deleted.

    Raises SettingsMismatchError where files were made with other settings, ConfigError for settings that do
    not make sense.
    """
    wanted = PatchSettings.read(settings)
    cv2.setNumThreads(1)  # parallel over slides, not inside one
    for kind in ("patches", "masks", "overlays"):
        clear_leftovers(folder / kind)
    can_fetch = restore is not None
    kept = {row.slide_id: found for row in rows if (found := _kept(row, folder, wanted, can_fetch=can_fetch))}
    progress = Progress("patches", len(rows), "slides", kept=len(kept))
    todo = [row for row in rows if row.slide_id not in kept]
    if restore is not None:
        restore(todo)
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        for row, done in zip(todo, pool.map(partial(_patch, folder=folder, wanted=wanted), todo), strict=True):
            kept[row.slide_id] = done
            progress.step(note=row.slide_id)
    write_rows(status, PATCH_COLUMNS, [kept[row.slide_id] for row in rows])


def _kept(row: SlideRow, folder: Path, wanted: PatchSettings, *, can_fetch: bool = False) -> Row | None:
    """Status row of a slide finished earlier, or None if it has to be made.

    Of a slide that is not there any more its patches alone have to be left: nothing can be made again, unless it can be
    fetched.
    """
    places = SlidePaths.of(folder, row.slide_id)
    size = None if row.path is None else source_bytes(row.path)
    lost = size is None and not (can_fetch and row.path is not None)
    if not (places.patches.exists() if lost else places.all_exist()):
        return None
    try:
        stored = read_patches(places.patches)
    except InputError:
        return None
    noted = wanted.noted(row, stored.facts)
    fix = delete_hint(made_from_slides(folder))
    require_same_settings(str(places.patches), stored.settings or "{}", noted, fix)
    if row.path is None or size is None:
        where = "its file" if row.path is None else row.path
        logger.info("%s: %s is not there; what was made of it earlier is kept", row.slide_id, where)
    elif stored.facts.get("source_bytes") != size or not _has_same_content(row.path, stored.facts):
        logger.info("%s: the slide file has changed, its patches are made again", row.slide_id)
        return None
    elif _has_another_scale(row, stored.facts):
        logger.info(
            "%s: its resolution tags give another scale than its objective, patches are made again", row.slide_id
        )
        return None
    return stored.facts | {"slide_id": row.slide_id, "patient": row.patient}


def _has_same_content(path: Path, facts: Mapping[str, Any]) -> bool:
    """Whether a slide file of the same size is the one that patches were made of, as far as they know."""
    noted = facts.get("source_digest")
    return noted is None or noted == _source_digest(path)


def _source_digest(path: Path) -> str:
    """Stands for a slide's content: a corrected scan that is not compressed has as many bytes as the first."""
    return content_digest(source_files(path))


def _has_another_scale(row: SlideRow, facts: Mapping[str, Any]) -> bool:
    """Whether patches by the objective's scale are of a time when resolution tags did not count yet."""
    if facts.get("mpp_source") != "objective" or row.path is None:
        return False
    try:
        with open_slide(row.path) as slide:
            return find_scale(slide.properties, row.mpp).source != "objective"
    except InputError:
        return False


def _patch(row: SlideRow, folder: Path, wanted: PatchSettings) -> Row:
    """One slide; whatever goes wrong with it becomes its status. What is left of one that is not there stays."""
    started = time.monotonic()
    places = SlidePaths.of(folder, row.slide_id)
    named = {"slide_id": row.slide_id, "patient": row.patient}
    guard = CrashGuard(folder)
    try:
        _refuse_crashing(row, wanted, guard)
        with guard.reading(row.slide_id):
            return named | _patch_slide(row, places, wanted, started)
    except InputError as error:
        reason = str(error)
        logger.warning("%s: failed: %s", row.slide_id, reason)
    except MirrorflowError:  # a full disk, wrong settings: no fault of the slide
        raise
    except Exception as error:  # one bad slide must not stop the others
        reason = f"{type(error).__name__}: {error}"
        logger.exception("%s: failed", row.slide_id)
    if row.path is not None and row.path.exists():
        places.remove()
    return named | {"status": "failed", "reason": reason, "patches": 0, "seconds": _since(started)}


def _refuse_crashing(row: SlideRow, wanted: PatchSettings, guard: CrashGuard) -> None:
    """Raises SlideError for a slide of which an earlier process died."""
    if fault := guard.fault(row, view_task(row.path, row.mpp, wanted.of(row).mpp)):
        raise SlideError(fault)


def _patch_slide(row: SlideRow, places: SlidePaths, wanted: PatchSettings, started: float) -> Row:
    if row.path is None:
        message = "no path in the sheet of slides; add it to the column path"
        raise SlideError(message)
    segmentation = wanted.of(row)
    with open_slide(row.path) as slide:
        scale = find_scale(slide.properties, row.mpp)
        mpp = trident_mpp(scale.mpp) if wanted.scale == "trident" else scale.mpp
        check_resolution(mpp, wanted.patch.mpp)
        view = read_view(slide, max(1.0, segmentation.mpp / mpp))
        reason = _check_view(view, scale)
        # What could not be read is planned as tissue: extraction tries it again and counts what is lost.
        mask = segment(view.rgb, mpp * view.scale_x, segmentation) | view.unknown
        corners, size = _corners(slide, mask, wanted.patch, mpp)
        reason = "; ".join(filter(None, (_why_empty(slide, mask, corners, size), reason)))
        facts = _facts(slide, scale, len(corners), reason)
        attributes = _attributes(slide, row, wanted.patch, mpp, size)
    write_png(places.mask, mask.astype(np.uint8) * 255)
    write_jpeg(places.overlay, draw_overlay(view.rgb, mask, corners, size, slide.width))
    facts |= {"source_bytes": source_bytes(row.path), "source_digest": _source_digest(row.path)}
    facts["seconds"] = _since(started)
    write_patches(places.patches, corners, attributes, wanted.noted(row, facts), facts)
    return facts


def _check_view(view: View, scale: Scale) -> str:
    """What is odd about a usable slide. Raises SlideError where too much of it cannot be read."""
    share = float(view.unknown.mean())
    if share > MAX_UNKNOWN:
        message = f"{share:.0%} of the slide cannot be read; the file is damaged or cut off, fetch it again"
        raise SlideError(message)
    lost = f"{share:.1%} of the low-resolution view cannot be read" if share else ""
    return "; ".join(filter(None, (scale.note, lost)))


def _corners(slide: Slide, mask: NDArray[np.bool_], patch: Patching, mpp: float) -> tuple[NDArray[np.int64], float]:
    """Patch corners, and a patch's true side, both in level-0 pixels."""
    size = patch.size_px * patch.mpp / mpp
    step = (patch.size_px - patch.overlap_px) * patch.mpp / mpp
    return place_patches(mask, (slide.width, slide.height), size, step, patch.min_tissue), size


def _why_empty(slide: Slide, mask: NDArray[np.bool_], corners: NDArray[np.int64], size: float) -> str:
    if len(corners):
        return ""
    if min(slide.width, slide.height) < size:
        return f"the slide ({slide.width} x {slide.height} px) is smaller than one patch ({size:.0f} px)"
    if not mask.any():
        return "no tissue found; look at its overlay, and at segmentation.* columns of slides.tsv"
    return f"tissue covers {mask.mean():.2%} of the slide, no patch holds enough of it (patch min_tissue)"


def _facts(slide: Slide, scale: Scale, patches: int, reason: str) -> dict[str, Any]:
    return {
        "status": "ok" if patches else "no_tissue",
        "reason": reason,
        "mpp": scale.mpp,
        "mpp_source": scale.source,
        "width": slide.width,
        "height": slide.height,
        "levels": len(slide.levels),
        "patches": patches,
    }


def _attributes(slide: Slide, row: SlideRow, patch: Patching, mpp: float, size: float) -> dict[str, Any]:
    """TRIDENT's attributes of ``coords``; CLAM's ``patch_level`` where a level has the patches' scale."""
    attributes: dict[str, Any] = {
        "patch_size": patch.size_px,
        "patch_size_level0": round(size),
        "patch_size_level0_exact": size,
        "level0_magnification": mpp_to_magnification(mpp),
        "target_magnification": mpp_to_magnification(patch.mpp),
        "overlap": patch.overlap_px,
        "level0_width": slide.width,
        "level0_height": slide.height,
        "name": row.slide_id,
        "level0_mpp": mpp,
        "patch_mpp": patch.mpp,
    }
    for index, level in enumerate(slide.levels):
        if abs(level.downsample * mpp / patch.mpp - 1) < 0.01:
            attributes["patch_level"] = index
            break
    return attributes


def _since(started: float) -> float:
    return round(time.monotonic() - started, 2)
