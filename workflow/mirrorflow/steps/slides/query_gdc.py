"""Rule query_gdc: the slides that GDC has of the cohort's projects, as a sheet. Free of torch."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirrorflow.config.slide_kinds import declared_kinds, require_declared
from mirrorflow.errors import InputError
from mirrorflow.runtime.job import Job
from mirrorflow.store.gdc import GdcSlide, query_slides, write_gdc_sheet
from mirrorflow.store.ledger import read_rows
from mirrorflow.store.slide_sheet import OVERRIDE

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outputs:
    """The sheet of slides."""

    sheet: Path


@dataclass(frozen=True)
class Params:
    """The config's ``slides.gdc``."""

    settings: Mapping[str, Any]


def run(inputs: None, outputs: Outputs, params: Params, job: Job) -> None:
    """Ask GDC and write the sheet."""
    gdc_sheet(outputs.sheet, params.settings)


def gdc_sheet(sheet: Path, settings: Mapping[str, Any]) -> None:
    """Ask GDC which slides there are, and write ``sheet``.

    ``settings`` is the config's ``slides.gdc``, with ``mixed`` of ``slides`` where it is set. Raises InputError where
    GDC's answer, ``exclude`` or ``overrides`` does not fit, and for kinds of slides that are mixed and not declared.
    """
    slides = wanted_slides(settings)
    kinds = declared_kinds({"gdc": settings, "mixed": settings.get("mixed", ())})
    require_declared([slide.slide_id for slide in slides], kinds, f"GDC's slides of {', '.join(settings['projects'])}")
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


def _overrides(path: str | None, slides: Sequence[GdcSlide]) -> dict[str, dict[str, str]]:
    """Cells of the user's sheet by slide id: ``mpp`` and ``segmentation.*``."""
    if path is None:
        return {}
    rows = read_rows(path, ["slide_id"])
    known = {slide.slide_id for slide in slides}
    named = [row["slide_id"] for row in rows]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        message = f"{path}: slides named twice: {', '.join(twice[:3])}; keep one of the rows"
        raise InputError(message)
    if unknown := [row["slide_id"] for row in rows if row["slide_id"] not in known]:
        message = f"{path}: GDC's list has no slide {', '.join(unknown[:3])} ({len(unknown)} such rows)"
        raise InputError(message)
    allowed = [name for name in (rows[0] if rows else {}) if name == "mpp" or str(name).startswith(OVERRIDE)]
    if not allowed:
        message = f"{path}: no column mpp and none that begins with {OVERRIDE}; the others come from GDC"
        raise InputError(message)
    return {row["slide_id"]: {name: row[name] for name in allowed} for row in rows}
