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

OBLONG_ALLOWED = 1.1
"""A pixel of 0.24 x 0.26 um still passes for a square one of equal area: 4% at each axis."""

TOLD = 0.02
"""Scales that differ by more than this are told apart in the ledger."""

OBJECTIVE_DIFFERS = 2**0.5
"""Scanners call 0.22 to 0.27 um/px 40x; half-way to the next objective the two say something else."""

RESOLUTION_UNITS_UM = {"inch": 25400.0, "centimeter": 10000.0}

ScaleSource = Literal["metadata", "sheet", "resolution", "objective"]
"""Who says what the scale is; ``resolution``: a TIFF's tags."""

Axes = tuple[float, float]

TRIDENT_BUCKETS = ((0.16, 80), (0.2, 60), (0.3, 40), (0.6, 20), (1.2, 10), (2.4, 5))
"""Upper bound of mpp -> magnification that TRIDENT 0.3 assumes."""


class ScaleError(InputError):
    """A slide whose scale is unknown or unusable; the message says what to write where."""


@dataclass(frozen=True)
class Scale:
    """``mpp`` of level 0 in um/px, where it came from, and what is odd about it (often nothing)."""

    mpp: MicronsPerPixel
    source: ScaleSource
    note: str = ""


def find_scale(properties: Mapping[str, str], sheet_mpp: float | None) -> Scale:
    """Scale of a slide from ``slides.tsv``, else from its metadata, its TIFF's resolution tags or its objective power.

    A sheet that repeats the metadata leaves them the source. Raises ScaleError where none of them gives a plausible
    scale, and where a pixel is oblong: patches are square in pixels of level 0.
    """
    written = _axes(properties, "openslide.mpp-x", "openslide.mpp-y")
    power = _number(properties, "openslide.objective-power") or _number(properties, "aperio.AppMag")
    if sheet_mpp is not None and not (written and all(repeats(sheet_mpp, axis) for axis in written)):
        return Scale(MicronsPerPixel(sheet_mpp), "sheet", _notes(sheet_mpp, power, _disagreement(sheet_mpp, written)))
    if written:
        return _square(written, "metadata", power)
    if tags := _resolution_tags(properties):
        return _square(tags, "resolution", power)
    if power and _plausible(magnification_to_mpp(power)):
        return Scale(magnification_to_mpp(power), "objective")
    message = (
        "no plausible mpp and no objective power in the slide's metadata; "
        "set mpp in slides.tsv (a 40x scan is usually 0.25, a 20x scan 0.5)"
    )
    raise ScaleError(message)


def repeats(sheet_mpp: float, mpp: float) -> bool:
    """Whether a sheet's mpp repeats the slide's own, to the digits that such sheets have."""
    return abs(sheet_mpp / mpp - 1) < 1e-4


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


def _axes(properties: Mapping[str, str], x_key: str, y_key: str) -> Axes | None:
    """um/px of both axes, one for both where the other is not there; None where they are no microscope's."""
    x, y = _number(properties, x_key), _number(properties, y_key)
    x, y = x or y, y or x
    return (x, y) if x and y and _plausible(x) and _plausible(y) else None


def _resolution_tags(properties: Mapping[str, str]) -> Axes | None:
    """um/px of both axes from a TIFF's tags, as OpenSlide shows them; most scanners leave 72 dpi or nothing there."""
    unit = RESOLUTION_UNITS_UM.get(properties.get("tiff.ResolutionUnit", ""))
    x, y = _number(properties, "tiff.XResolution"), _number(properties, "tiff.YResolution")
    if not (unit and x and y):
        return None
    return (unit / x, unit / y) if _plausible(unit / x) and _plausible(unit / y) else None


def _square(axes: Axes, source: ScaleSource, power: float | None) -> Scale:
    """The scale of pixels that are about square. Raises ScaleError for others."""
    x, y = axes
    if not 1 / OBLONG_ALLOWED <= x / y <= OBLONG_ALLOWED:
        message = (
            f"its pixels are oblong, {x:.4g} x {y:.4g} um: square patches would be {max(x, y) / min(x, y):.3g} times "
            "as long as wide; resample the slide to square pixels, or set mpp in slides.tsv if they are square"
        )
        raise ScaleError(message)
    mpp = MicronsPerPixel(math.sqrt(x * y))
    oblong = "" if abs(x / y - 1) <= TOLD else f"pixels of {x:.4g} x {y:.4g} um are taken for square ones of equal area"
    return Scale(mpp, source, _notes(mpp, power, oblong))


def _notes(mpp: float, power: float | None, *notes: str) -> str:
    """What is odd about a scale, with the objective beside it where that says otherwise."""
    other = ""
    if power and not 1 / OBJECTIVE_DIFFERS < mpp / magnification_to_mpp(power) < OBJECTIVE_DIFFERS:
        other = (
            f"mpp is {mpp:.4g}, yet an objective of {power:g}x usually gives {magnification_to_mpp(power):.4g}; if "
            "that is the right one, set mpp in slides.tsv"
        )
    return "; ".join(filter(None, (*notes, other)))


def _disagreement(sheet: float, axes: Axes | None) -> str:
    if axes is None or all(abs(sheet / axis - 1) <= TOLD for axis in axes):
        return ""
    x, y = axes
    metadata = f"{x:.4g}" if abs(x / y - 1) <= TOLD else f"{x:.4g} x {y:.4g}"
    return f"slides.tsv says mpp {sheet:g}, the slide's metadata {metadata}: slides.tsv was used"


def _number(properties: Mapping[str, str], key: str) -> float | None:
    try:
        value = float(properties.get(key, ""))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _plausible(mpp: float) -> bool:
    return PLAUSIBLE_MPP[0] <= mpp <= PLAUSIBLE_MPP[1]
