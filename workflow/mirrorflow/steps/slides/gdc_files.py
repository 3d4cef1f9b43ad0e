"""TCGA's slide files beside the sheet of query_gdc: fetched, fetched again, marked as deleted. Free of torch."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mirrorflow.errors import InputError
from mirrorflow.runtime.progress import Progress
from mirrorflow.store.gdc import GdcSlide, fetch_slide, is_gdc_sheet, read_gdc_sheet
from mirrorflow.store.slide_sheet import SlideRow, shard_of

logger = logging.getLogger(__name__)

STATUS_COLUMNS = ("slide_id", "status", "bytes")
SHOWN_FAILURES = 5
CONNECTIONS = 4
"""Downloads side by side within a job."""
MB = 1_000_000

Row = dict[str, Any]


def restorer(sheet: Path) -> Callable[[Sequence[SlideRow]], None] | None:
    """A function that fetches again those of its slides that were deleted (``keep: false``), for work that turns up
    after all: another encoder, features deleted by hand. None for a sheet of the user's own.
    """
    if not is_gdc_sheet(sheet):
        return None

    def restore(rows: Sequence[SlideRow]) -> None:
        gone = {row.slide_id for row in rows if row.path is not None and not row.path.exists()}
        if gone:
            fetch_all([slide for slide in read_gdc_sheet(sheet) if slide.slide_id in gone], sheet.parent)

    return restore


def of_shard(sheet: Path, shard: tuple[int, int]) -> list[GdcSlide]:
    """The slides of a shard (its number, of how many)."""
    number, count = shard
    return [slide for slide in read_gdc_sheet(sheet) if shard_of(slide.slide_id, count) == number]


def marker(path: Path) -> Path:
    """What stands in a deleted slide's place."""
    return path.with_name(path.name + ".deleted")


def fetch_all(slides: Sequence[GdcSlide], folder: Path) -> None:
    """All of ``slides``; what went wrong with any is raised at the end."""
    logger.info("%d slides to fetch, %d MB", len(slides), sum(slide.size for slide in slides) // MB)
    problems: list[str] = []
    progress = Progress("download", len(slides), "slides")

    def fetch(slide: GdcSlide) -> str:
        try:
            fetch_slide(slide, folder)
        except InputError as error:
            return f"{slide.slide_id}: {error}"
        marker(folder / slide.path).unlink(missing_ok=True)
        return ""

    with ThreadPoolExecutor(max_workers=CONNECTIONS) as pool:
        for slide, problem in zip(slides, pool.map(fetch, slides), strict=True):
            problems += filter(None, [problem])
            progress.step(note=slide.slide_id)
    _complain(problems)


def status_row(slide: GdcSlide, state: str) -> Row:
    """A slide's row of a status file."""
    return {"slide_id": slide.slide_id, "status": state, "bytes": slide.size}


def _complain(problems: Sequence[str]) -> None:
    if not problems:
        return
    more = len(problems) - SHOWN_FAILURES
    lines = [
        f"{len(problems)} slides were not downloaded; run again to go on with them, or name them in "
        "slides.gdc.exclude to go on without:",
        *problems[:SHOWN_FAILURES],
        *([f"... and {more} more"] if more > 0 else []),
    ]
    raise InputError("\n".join(lines))
