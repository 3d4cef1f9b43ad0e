"""Tissue mask of a slide: Otsu's threshold on saturation, pen and scanner borders kept out.

Works on a low-resolution RGB view; knows no files.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from mirrorflow.config.mask_settings import Segmentation

Mask = NDArray[np.bool_]


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
