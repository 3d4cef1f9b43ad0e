"""Units as types, so that a patch's pixels are never added to a slide's."""

from typing import NewType

Microns = NewType("Microns", float)
"""A length on the glass, in micrometres."""

MicronsPerPixel = NewType("MicronsPerPixel", float)
"""Physical size of a pixel: 0.5 is what the field calls 20x, 0.25 is 40x."""

SlidePixels = NewType("SlidePixels", int)
"""A length in pixels of the slide's level 0."""

PatchPixels = NewType("PatchPixels", int)
"""A length in pixels at the patches' own resolution."""

Days = NewType("Days", float)
"""A time to event or to censoring."""

DAYS_PER_MONTH = 365.25 / 12

MPP_AT_20X = MicronsPerPixel(0.5)


def magnification_to_mpp(magnification: float) -> MicronsPerPixel:
    """Nominal scale of an objective: 20 -> 0.5 um/px, 40 -> 0.25 um/px."""
    return MicronsPerPixel(MPP_AT_20X * 20 / magnification)


def mpp_to_magnification(mpp: float) -> float:
    """Nominal objective of a scale: 0.5 um/px -> 20, 0.25 um/px -> 40."""
    return float(MPP_AT_20X * 20 / mpp)
