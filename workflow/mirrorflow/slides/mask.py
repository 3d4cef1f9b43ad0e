"""Tissue mask of a slide: Otsu's threshold on saturation, pen and scanner borders kept out.

All lengths are micrometres and all areas square micrometres on the glass, so that one setting means the same
at any scale. Works on a low-resolution RGB view; knows no files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mirrorflow.errors import ConfigError

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Segmentation:
    """How tissue is told from glass. The defaults suit H&E slides of whole sections and biopsies."""

    mpp: float = 8.0
    """Scale of the view, um/px."""
    median_um: float = 40.0
    """Median blur of the saturation: takes out dust and JPEG noise."""
    threshold: float | None = None
    """Saturation (0 to 255) above which a pixel is tissue; None: Otsu's, within the two bounds below."""
    min_threshold: float = 12.0
    """Otsu splits bare glass, too; below this saturation it is noise."""
    max_threshold: float = 40.0
    """Otsu splits a slide full of tissue in two; above this saturation nothing is glass."""
    closing_um: float = 40.0
    """Gaps narrower than this are closed."""
    erosion_um: float = 0.0
    """The rim of this width is taken off."""
    min_tissue_um2: float = 30_000.0
    """Smaller specks are dropped (30,000 um2: a piece of 173 x 173 um)."""
    max_hole_um2: float = 16_384.0
    """Smaller holes are filled (16,384 um2: one patch of 256 px at 20x)."""
    pen: bool = True
    """Keep pen marks (blue, green, red, black ink) out."""
    min_brightness: float = 60.0
    """Pixels whose brightest channel is darker are scanner borders or black ink (with ``pen``)."""
    all_if_empty: bool = False
    """Take the whole slide where nothing is found, as MIRROR's script does."""

    def __post_init__(self) -> None:
        if self.mpp <= 0:
            message = f"segmentation.mpp is {self.mpp!r}; it must be above 0 um/px"
            raise ConfigError(message)
        if self.min_threshold > self.max_threshold:
            message = (
                f"segmentation: min_threshold {self.min_threshold:g} is above max_threshold {self.max_threshold:g}"
            )
            raise ConfigError(message)


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # MIRROR's own script, its pixels at 20x written as um and um2. It works at 20x itself; 2 um/px is where
    # its smallest structure (a closing of 5 px) still is one pixel.
    "mirror": {
        "mpp": 2.0,
        "median_um": 3.5,
        "closing_um": 2.5,
        "erosion_um": 5.0,
        "min_tissue_um2": 2048.0,
        "max_hole_um2": 4096.0,
        "pen": False,
        "all_if_empty": True,
    },
}
"""Named starting points: ``segmentation: {preset: mirror}``; further keys change them."""

KEYS = {field.name for field in fields(Segmentation)}


def segmentation_from(settings: Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Segmentation:
    """Settings of a run (``preset`` and keys of Segmentation), changed by those of one slide.

    Raises ConfigError naming an unknown preset or key and what is allowed.
    """
    values = dict(settings) | dict(overrides or {})
    preset = values.pop("preset", "default")
    if preset not in PRESETS:
        message = f"segmentation.preset {preset!r} is unknown; choose one of {', '.join(PRESETS)}"
        raise ConfigError(message)
    if unknown := sorted(values.keys() - KEYS):
        message = f"segmentation: unknown {', '.join(unknown)}; allowed are preset, {', '.join(sorted(KEYS))}"
        raise ConfigError(message)
    return Segmentation(**(PRESETS[preset] | values))


def segment(rgb: NDArray[np.uint8], mpp: float, settings: Segmentation) -> Mask:
    """Tissue mask [height, width] of a view ``rgb`` [height, width, 3] at ``mpp`` um/px."""
    saturation = _median(_saturation(rgb), _pixels(settings.median_um, mpp))
    excluded = pen_and_borders(rgb, mpp, settings) if settings.pen else np.zeros(rgb.shape[:2], bool)
    threshold = settings.threshold
    if threshold is None:
        otsu = otsu_threshold(saturation[~excluded])
        threshold = float(np.clip(otsu, settings.min_threshold, settings.max_threshold))
    tissue = (saturation > threshold) & ~excluded
    tissue = _close(tissue, _pixels(settings.closing_um, mpp))
    tissue = _erode(tissue, _pixels(settings.erosion_um, mpp))
    tissue = drop_small(tissue, settings.min_tissue_um2 / mpp**2)
    tissue = fill_holes(tissue, settings.max_hole_um2 / mpp**2) & ~excluded
    if settings.all_if_empty and not tissue.any():
        tissue[:] = True
    return tissue


def otsu_threshold(values: NDArray[np.uint8]) -> float:
    """Otsu's threshold of 8-bit values: it maximises the variance between the two classes (Otsu 1979, Eq. 12).

    Values above it are the upper class. 0 for no values, or all equal.
    """
    counts = np.bincount(values.ravel(), minlength=256).astype(float)
    total = counts.sum()
    if total == 0:
        return 0.0
    weight = np.cumsum(counts) / total
    mean = np.cumsum(counts * np.arange(256)) / total
    between = np.zeros(256)
    inside = (weight > 0) & (weight < 1)
    between[inside] = (mean[-1] * weight - mean)[inside] ** 2 / (weight * (1 - weight))[inside]
    return float(between.argmax())


def pen_and_borders(rgb: NDArray[np.uint8], mpp: float, settings: Segmentation) -> Mask:
    """Ink and black borders [height, width]: colours that haematoxylin, eosin or DAB do not make.

    These stains take at least as much green out of the light as red, so green or blue ink stands out by
    green above red; red ink lacks blue as much as green, and more of both than blood; black is dark in all.
    """
    red, green, blue = (cv2.blur(rgb, (3, 3))[..., i].astype(np.int16) for i in range(3))
    brightest = np.maximum(np.maximum(red, green), blue)
    cool_ink = green - red > 20
    red_ink = (red - np.maximum(green, blue) > 130) & (np.abs(green - blue) < 40) & (green < 70)
    darkest = np.minimum(np.minimum(red, green), blue)
    black = (brightest < settings.min_brightness) | ((brightest < 100) & (brightest - darkest < 25))
    rim = _pixels(24.0, mpp)  # ink fades out at its edges
    return _dilate(drop_small(cool_ink | red_ink | black, 4), rim)


def drop_small(mask: Mask, min_pixels: float) -> Mask:
    """``mask`` without the 8-connected pieces smaller than ``min_pixels``."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count == 1:
        return mask.copy()
    keep = stats[:, cv2.CC_STAT_AREA] >= min_pixels
    keep[0] = False
    return keep[labels]


def fill_holes(mask: Mask, max_pixels: float) -> Mask:
    """``mask`` with its holes of at most ``max_pixels`` filled; what touches the border is no hole."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    if count == 1:
        return mask.copy()
    height, width = mask.shape
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    right, bottom = left + stats[:, cv2.CC_STAT_WIDTH], top + stats[:, cv2.CC_STAT_HEIGHT]
    inside = (left > 0) & (top > 0) & (right < width) & (bottom < height)
    fill = inside & (stats[:, cv2.CC_STAT_AREA] <= max_pixels)
    fill[0] = False
    return mask | fill[labels]


def _saturation(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """255 (max - min) / max of the three channels, as in HSV."""
    return np.ascontiguousarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1]).astype(np.uint8, copy=False)


def _pixels(length_um: float, mpp: float) -> int:
    return round(length_um / mpp)


def _disc(size: int) -> NDArray[np.uint8]:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)).astype(np.uint8)


def _median(values: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    size += 1 - size % 2  # odd
    return values if size < 3 else cv2.medianBlur(values, size).astype(np.uint8, copy=False)


def _close(mask: Mask, size: int) -> Mask:
    if size < 2:
        return mask
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, _disc(size)) > 0


def _erode(mask: Mask, width: int) -> Mask:
    return mask if width < 1 else cv2.erode(mask.astype(np.uint8), _disc(2 * width + 1)) > 0


def _dilate(mask: Mask, width: int) -> Mask:
    return mask if width < 1 else cv2.dilate(mask.astype(np.uint8), _disc(2 * width + 1)) > 0
