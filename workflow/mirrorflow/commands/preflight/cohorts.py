"""Preflight's look at a cohort: its sheets, the slides GDC still has to send, its slides and feature files."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

from mirrorflow.commands.check import cohort_lines
from mirrorflow.commands.preflight.encoders import stored_elsewhere
from mirrorflow.commands.preflight.forecast import gb
from mirrorflow.commands.preflight.slides import Finding, SlideCheck, look_at_slides, per_folder
from mirrorflow.errors import MirrorflowError
from mirrorflow.slides.scale import ScaleSource
from mirrorflow.steps.slides.patch_settings import PatchSettings
from mirrorflow.steps.slides.query_gdc import wanted_slides
from mirrorflow.store.gdc import GdcSlide, read_gdc_sheet
from mirrorflow.store.slide_sheet import SlideRow, read_slide_sheet

say = partial(print, flush=True)
"""Results for the person at the terminal."""


@dataclass
class Cohort:
    """What was seen of one cohort."""

    name: str
    rows: list[SlideRow] = field(default_factory=list)
    looks: list[SlideCheck] = field(default_factory=list)
    remote: list[GdcSlide] = field(default_factory=list)
    """Slides of GDC that are not here yet."""
    findings: list[Finding] = field(default_factory=list)


def look_at_cohort(config: Mapping[str, Any], name: str, entry: Mapping[str, Any], cores: int) -> Cohort:
    """Sheets, slides and feature files of a cohort; what does not fit becomes a finding."""
    cohort = Cohort(name)
    named = entry["slides"]["sheet"] if "slides" in entry else entry["clinical"].get("sheet", "")
    sheet = Path(named)
    if entry["simulated"] and not sheet.exists():
        say(f"{name}: simulated by the run itself, nothing to open")
        return cohort
    for line in cohort_lines(config, entry, most_values=math.inf):
        say(f"{name}: {line}")
        if line.startswith("PROBLEM") and "none of the" not in line:  # the slides speak for themselves
            cohort.findings.append(Finding(f"cohort {name}", str(sheet), line.removeprefix("PROBLEM: "), stops=True))
    if "slides" not in entry:
        return cohort
    _list_slides(cohort, sheet, entry)
    own = made_here(entry)
    for encoder in [encoder for encoder in entry["encoders"] if encoder not in own]:
        cohort.findings += stored_elsewhere(encoder, Path(entry["features"][encoder]), cohort.rows, cores)
    if own:
        presets = _presets(config, own)
        cohort.looks = look_at_slides(cohort.rows, presets, Path(config["store"]) / "slides" / name, cores)
        found = [finding for look in cohort.looks for finding in look.findings]
        cohort.findings += [one for one in found if not one.stops] + per_folder([one for one in found if one.stops])
        _say_slides(cohort)
    return cohort


def _list_slides(cohort: Cohort, sheet: Path, entry: Mapping[str, Any]) -> None:
    """``rows`` to open, and ``remote`` slides that GDC still has to send."""
    try:
        if "gdc" not in entry["slides"]:
            cohort.rows = read_slide_sheet(sheet, entry["slides"]["columns"])
            return
        slides = read_gdc_sheet(sheet) if sheet.exists() else wanted_slides(entry["slides"]["gdc"])
        here = {slide.slide_id for slide in slides if (sheet.parent / slide.path).exists()}
        cohort.remote = [slide for slide in slides if slide.slide_id not in here]
        cohort.rows = [row for row in (read_slide_sheet(sheet) if here else []) if row.slide_id in here]
        say(f"{cohort.name}: {len(slides)} slides at GDC, {len(cohort.remote)} not here yet")
    except MirrorflowError as error:
        if "gdc" in entry["slides"]:
            cohort.findings.append(Finding(f"cohort {cohort.name}", str(sheet), str(error), stops=True))


def _presets(config: Mapping[str, Any], encoders: Sequence[str]) -> dict[str, PatchSettings]:
    names = sorted({config["features"]["encoders"][encoder]["patching"] for encoder in encoders})
    slides = config["slides"]
    return {
        name: PatchSettings.read(
            {"patch": slides["presets"][name], "segmentation": slides["segmentation"], "scale": slides["scale"]}
        )
        for name in names
    }


def _say_slides(cohort: Cohort) -> None:
    usable = [look for look in cohort.looks if look.usable]
    sources = Counter(look.mpp_source for look in usable)
    told = ", ".join(f"{sources[source]} {source}" for source in get_args(ScaleSource) if sources[source])
    if not cohort.looks:
        return
    total = gb(sum(look.bytes for look in cohort.looks))
    listed = sum(bool(look.findings) for look in cohort.looks)
    say(
        f"{cohort.name}: {len(usable)} of {len(cohort.looks)} slides usable ({total}); scale from: {told or 'nowhere'}"
        + (f"; {listed} slides are in the list below" if listed else "")
    )
    if not usable and not cohort.remote:
        what = "not one slide can be used; see the list"
        cohort.findings.append(Finding(f"cohort {cohort.name}", "", what, stops=True))


def made_here(entry: Mapping[str, Any]) -> list[str]:
    """Encoders of a cohort whose features the run makes."""
    return [encoder for encoder in entry["encoders"] if encoder not in entry["features"]]
