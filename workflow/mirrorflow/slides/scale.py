"""Physical scale of a slide: how many micrometres a pixel of level 0 spans, and who says so."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mirrorflow.errors import InputError
from mirrorflow.units import MicronsPerPixel, magnification_to_mpp

PLAUSIBLE_MPP = (0.05, 5.0)
"""From an oil immersion objective to a 2x overview. Resolution tags of plain TIFFs (72 dpi = 353 um/px)
fall outside and are not taken for a microscope's."""

COARSER_ALLOWED = 1.25
"""Patches finer than the scan would hold invented detail: refused beyond this factor."""

TRIDENT_BUCKETS = ((0.16, 80), (0.2, 60), (0.3, 40), (0.6, 20), (1.2, 10), (2.4, 5))
"""Upper bound of mpp -> magnification that TRIDENT 0.3 assumes."""


class ScaleError(InputError):
    """A slide whose scale is unknown or unusable; the message says what to write where."""


@dataclass(frozen=True)
class Scale:
    """``mpp`` of level 0 in um/px, where it came from, and what is odd about it (often nothing)."""

    mpp: MicronsPerPixel
    source: Literal["metadata", "sheet", "objective"]
    note: str = ""


def find_scale(properties: Mapping[str, str], sheet_mpp: float | None) -> Scale:
    """Scale of a slide from its metadata, else from ``slides.tsv``, else from the objective power.

    Raises ScaleError where none of them gives a plausible scale.
    """
    metadata = _metadata_mpp(properties)
    if metadata is not None:
        return Scale(metadata, "metadata", _disagreement(metadata, sheet_mpp))
    if sheet_mpp is not None:
        return Scale(MicronsPerPixel(sheet_mpp), "sheet")
    power = _number(properties, "openslide.objective-power") or _number(properties, "aperio.AppMag")
    if power and _plausible(magnification_to_mpp(power)):
        return Scale(magnification_to_mpp(power), "objective")
    message = (
        "no plausible mpp and no objective power in the slide's metadata; "
        "set mpp in slides.tsv (a 40x scan is usually 0.25, a 20x scan 0.5)"
    )
    raise ScaleError(message)


def check_resolution(slide_mpp: float, patch_mpp: float) -> None:
    """Refuse patches much finer than the scan. Raises ScaleError."""
    if slide_mpp > COARSER_ALLOWED * patch_mpp:
        message = (
            f"scanned at {slide_mpp:.4g} um/px, coarser than the patches' {patch_mpp:g} um/px; "
            "choose coarser patches (patch mpp), or correct mpp in slides.tsv if the scale is wrong"
        )
        raise ScaleError(message)


def trident_mpp(mpp: float) -> MicronsPerPixel:
    """Nominal scale that TRIDENT works with: 0.2527 um/px counts as 40x, that is 0.25.

    Raises ScaleError beyond TRIDENT's coarsest bucket.
    """
    for bound, magnification in TRIDENT_BUCKETS:
        if mpp < bound:
            return magnification_to_mpp(magnification)
    message = f"{mpp:.4g} um/px is coarser than TRIDENT's coarsest scale (2.4); use `scale: exact`"
    raise ScaleError(message)


def _metadata_mpp(properties: Mapping[str, str]) -> MicronsPerPixel | None:
    x, y = _number(properties, "openslide.mpp-x"), _number(properties, "openslide.mpp-y")
    x, y = x or y, y or x
    if x is None or y is None or not (_plausible(x) and _plausible(y)):
        return None
    return MicronsPerPixel(math.sqrt(x * y))


def _disagreement(metadata: float, sheet: float | None) -> str:
    if sheet is None or abs(sheet / metadata - 1) < 0.05:
        return ""
    return f"slides.tsv says mpp {sheet:g}, the slide's metadata {metadata:.4g}: the metadata were used"


def _number(properties: Mapping[str, str], key: str) -> float | None:
    try:
        value = float(properties.get(key, ""))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _plausible(mpp: float) -> bool:
    return PLAUSIBLE_MPP[0] <= mpp <= PLAUSIBLE_MPP[1]
