"""TCGA's slides from GDC: the sheet, the files of a shard, and their removal once features exist. Free of torch."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mirrorflow.errors import InputError
from mirrorflow.runtime.progress import Progress
from mirrorflow.store.gdc import (
    GdcSlide,
    fetch_slide,
    is_gdc_sheet,
    query_slides,
    read_gdc_sheet,
    write_gdc_sheet,
)
from mirrorflow.store.ledger import read_rows, write_rows
from mirrorflow.store.slide_sheet import OVERRIDE, SlideRow, shard_of

logger = logging.getLogger(__name__)

STATUS_COLUMNS = ("slide_id", "status", "bytes")
SHOWN_FAILURES = 5
CONNECTIONS = 4
"""Downloads side by side within a job."""
MB = 1_000_000

Row = dict[str, Any]


def gdc_sheet(sheet: Path, settings: Mapping[str, Any]) -> None:
    """Ask GDC which slides there are, and write ``sheet``.

    ``settings`` is the config's ``slides.gdc``. Raises InputError where GDC's answer, ``exclude`` or
    ``overrides`` does not fit.
    """
    slides = wanted_slides(settings)
    write_gdc_sheet(sheet, slides, _overrides(settings.get("overrides"), slides))
    total = sum(slide.size for slide in slides)
    logger.info("%d slides of %d patients, %.1f GB", len(slides), len({s.patient for s in slides}), total / 1e9)


def wanted_slides(settings: Mapping[str, Any]) -> list[GdcSlide]:
    """What GDC has, less ``exclude``, the first ``limit``."""
    slides = query_slides(settings["endpoint"], settings["projects"], settings["experimental_strategy"])
    known = {slide.slide_id for slide in slides} | {slide.file_id for slide in slides}
    if unknown := [name for name in settings["exclude"] if name not in known]:
        message = f"slides.gdc.exclude: GDC has no slide or file {', '.join(unknown)} in {settings['projects']}"
        raise InputError(message)
    excluded = set(settings["exclude"])
    return [slide for slide in slides if not {slide.slide_id, slide.file_id} & excluded][: settings["limit"]]


def download_shard(sheet: Path, status: Path, shard: tuple[int, int]) -> None:
    """Fetch the slides of a shard (its number, of how many) that are not there and were not deleted on purpose.

    Writes ``status`` (TSV). Raises InputError naming the slides that did not come; those that did are kept.
    """
    slides = _of_shard(sheet, shard)
    states = {slide.slide_id: _state(slide, sheet.parent) for slide in slides}
    _fetch([slide for slide in slides if states[slide.slide_id] == "fetched"], sheet.parent)
    write_rows(status, STATUS_COLUMNS, [_row(slide, states[slide.slide_id]) for slide in slides])


def restorer(sheet: Path) -> Callable[[Sequence[SlideRow]], None]:
    """A function that fetches again those of its slides that were deleted (``keep: false``), for work that turns up
    after all: another encoder, features deleted by hand. With a sheet of the user's own it does nothing.
    """
    if not is_gdc_sheet(sheet):
        return lambda _rows: None

    def restore(rows: Sequence[SlideRow]) -> None:
        gone = {row.slide_id for row in rows if row.path is not None and not row.path.exists()}
        if gone:
            _fetch([slide for slide in read_gdc_sheet(sheet) if slide.slide_id in gone], sheet.parent)

    return restore


def drop_shard(sheet: Path, record: Path, shard: tuple[int, int], finished: Callable[[str], bool]) -> None:
    """Delete the slide files of a shard of which all that is wanted exists; the others stay, and are named.

    ``finished`` says of a slide id whether all that is made of its slide exists. A marker in a deleted slide's place
    keeps it from being fetched again without need. ``record`` (TSV) says what became of each.
    """
    slides = _of_shard(sheet, shard)
    rows: list[Row] = []
    for slide in slides:
        path = sheet.parent / slide.path
        if finished(slide.slide_id):
            _marker(path).touch()
            path.unlink(missing_ok=True)
            rows.append(_row(slide, "deleted"))
            continue
        logger.warning("%s: kept, its features do not exist; the ledger says why", path)
        rows.append(_row(slide, "kept"))
    write_rows(record, STATUS_COLUMNS, rows)


def finished_in(patches: Sequence[str], features: Sequence[str]) -> Callable[[str], bool]:
    """Tells of a slide id whether the folders of all patchings and all encoders hold its file."""
    folders = [*(Path(folder) / "patches" for folder in patches), *(Path(folder) for folder in features)]
    return lambda slide_id: all((folder / f"{slide_id}.h5").exists() for folder in folders)


def _of_shard(sheet: Path, shard: tuple[int, int]) -> list[GdcSlide]:
    number, count = shard
    return [slide for slide in read_gdc_sheet(sheet) if shard_of(slide.slide_id, count) == number]


def _state(slide: GdcSlide, folder: Path) -> str:
    """What there is to do: a file under its own name was checked when it got it."""
    path = folder / slide.path
    if path.exists() and path.stat().st_size == slide.size:
        return "there"
    return "deleted" if _marker(path).exists() else "fetched"


def _marker(path: Path) -> Path:
    return path.with_name(path.name + ".deleted")


def _fetch(slides: Sequence[GdcSlide], folder: Path) -> None:
    """All of ``slides``; what went wrong with any is raised at the end."""
    logger.info("%d slides to fetch, %d MB", len(slides), sum(slide.size for slide in slides) // MB)
    problems: list[str] = []
    progress = Progress("download", len(slides), "slides")

    def fetch(slide: GdcSlide) -> str:
        try:
            fetch_slide(slide, folder)
        except InputError as error:
            return f"{slide.slide_id}: {error}"
        _marker(folder / slide.path).unlink(missing_ok=True)
        return ""

    with ThreadPoolExecutor(max_workers=CONNECTIONS) as pool:
        for slide, problem in zip(slides, pool.map(fetch, slides), strict=True):
            problems += filter(None, [problem])
            progress.step(note=slide.slide_id)
    _complain(problems)


def _row(slide: GdcSlide, state: str) -> Row:
    return {"slide_id": slide.slide_id, "status": state, "bytes": slide.size}


def _overrides(path: str | None, slides: Sequence[GdcSlide]) -> dict[str, dict[str, str]]:
    """Cells of the user's sheet by slide id: ``mpp`` and ``segmentation.*``."""
    if path is None:
        return {}
    rows = read_rows(path, ["slide_id"])
    known = {slide.slide_id for slide in slides}
    if unknown := [row["slide_id"] for row in rows if row["slide_id"] not in known]:
        message = f"{path}: GDC's list has no slide {', '.join(unknown[:3])} ({len(unknown)} such rows)"
        raise InputError(message)
    allowed = [name for name in (rows[0] if rows else {}) if name == "mpp" or str(name).startswith(OVERRIDE)]
    if not allowed:
        message = f"{path}: no column mpp and none that begins with {OVERRIDE}; the others come from GDC"
        raise InputError(message)
    return {row["slide_id"]: {name: row[name] for name in allowed} for row in rows}


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
