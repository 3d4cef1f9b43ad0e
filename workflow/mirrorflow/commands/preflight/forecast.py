"""Preflight's forecast: how many patches, how many bytes, how many hours."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from mirrorflow.commands.preflight.slides import Finding, SlideCheck
from mirrorflow.config.queries import planned_models
from mirrorflow.plan.forecast import ASSUMED_PATCHES, ASSUMED_SIDE_UM

COORD_BYTES = 16
PICTURES_BYTES = 200_000
"""Mask, overlay and what h5 files cost beyond their values, a slide."""

OTHER_BYTES = 200_000_000
"""Expression, genes, predictions and tables of a cohort, roughly."""

MODEL_BYTES, MODEL_WIDTH = 200_000_000, 768
"""A pretrained model of the published width; while it is trained its checkpoint holds three times as much."""

DTYPE_BYTES = {"float32": 4, "float16": 2}


@dataclass(frozen=True)
class Load:
    """What one encoder has to do in one cohort: ``patches`` still to encode."""

    cohort: str
    encoder: str
    slides: int
    patches: int
    bytes: int
    hours: float | None


def mean_patches(looks: Sequence[SlideCheck], preset: str, patch: Mapping[str, Any]) -> tuple[float, bool]:
    """Patches a slide, where they were not counted; and whether that is an assumption."""
    known = [count for look in looks if (count := look.patches.get(preset)) is not None and look.usable]
    if known:
        return mean(known), False
    step_um = (patch["size_px"] - patch["overlap_px"]) * patch["mpp"]
    return ASSUMED_PATCHES * (ASSUMED_SIDE_UM / step_um) ** 2, True


def load_of(
    names: tuple[str, str],
    looks: Sequence[SlideCheck],
    unseen: int,
    preset: str,
    settings: Mapping[str, Any],
    *,
    per_slide: float,
    dim: int,
    rate: float | None,
) -> Load:
    """Load of an encoder (names: cohort, encoder) by slides looked at and ``unseen`` ones (not downloaded yet)."""
    usable = [look for look in looks if look.usable]
    counts = [look.patches.get(preset) for look in usable]
    patches = round(sum(per_slide if count is None else count for count in counts) + unseen * per_slide)
    slides = len(usable) + unseen
    stored = patches * (dim * DTYPE_BYTES[settings["output_dtype"]] + COORD_BYTES) + slides * PICTURES_BYTES
    return Load(*names, slides, patches, stored, patches / rate / 3600 if rate else None)


def download_bytes(sizes: Mapping[int, int], *, keep: bool, ahead: int | None) -> int:
    """Bytes of slides from GDC that lie on the disk at a time; ``sizes``: shard -> bytes still to fetch."""
    if keep:
        return sum(sizes.values())
    return sum(sorted(sizes.values(), reverse=True)[:ahead])


def results_bytes(config: Mapping[str, Any]) -> int:
    """What the run itself writes: models, and little else."""
    written = sum(
        count * MODEL_BYTES * (config["methods"][method]["pretrain"]["width"] / MODEL_WIDTH) ** 2
        for method, count in planned_models(config).items()
    )
    return round(written) + OTHER_BYTES * len(config["cohorts"])


def disk_finding(store: Path, needed: int) -> tuple[str, Finding | None]:
    """Free space against the forecast, in words, and what stops the run."""
    place = store.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    line = f"about {gb(needed)} needed, {gb(free)} free at {store}"
    if needed <= free:
        return line, None
    fix = "free some, choose another `store`, set output_dtype: float16, or (slides from GDC) keep: false"
    return line, Finding("disk", str(store), f"{line}; {fix}", stops=True)


def said_time(hours: float) -> str:
    """Hours in words: below one hour minutes, at least one."""
    return f"{hours:,.1f} h" if hours >= 1 else f"{max(1, round(60 * hours))} min"


def gb(count: float) -> str:
    """Bytes in words."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"
