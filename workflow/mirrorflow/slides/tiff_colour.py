"""What the samples of a TIFF's page are, and how they become RGB on white (TIFF 6.0, PhotometricInterpretation)."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}
"""Photometric interpretations that are understood -> samples of their colour; more samples are alpha."""

UNSPECIFIED, ASSOCIATED, UNASSOCIATED = 0, 1, 2
"""ExtraSamples: alpha that the colours are multiplied with already, and alpha that they are not. A fourth sample of
unspecified meaning is taken for the first, as libtiff and with it OpenSlide do."""

OLD_JPEG, JPEG = 6, 7
"""Compressions whose decoder turns YCbCr into RGB."""


def unreadable(page: Any) -> str:
    """Why the colours of a page cannot be read; nothing where they can."""
    photometric = int(page.photometric)
    if photometric not in COLOURS:
        return f"photometric interpretation {page.photometric.name} is not read"
    if page.dtype != np.uint8 or page.bitspersample != 8:
        return f"{page.bitspersample} bits a sample, {page.dtype}: an image of 8 bits is needed"
    if not COLOURS[photometric] <= page.samplesperpixel <= COLOURS[photometric] + 1:
        return f"{page.samplesperpixel} samples a pixel of {page.photometric.name}"
    if _is_raw_ycbcr(page) and tuple(page.subsampling or (1, 1)) != (1, 1):
        return "YCbCr with fewer chroma samples is read as JPEG only"
    return ""


def to_rgb(tile: NDArray[np.uint8], page: Any) -> NDArray[np.uint8]:
    """A decoded tile [height, width, samples] as RGB [height, width, 3]; what is transparent becomes white."""
    photometric = int(page.photometric)
    colours, alpha = tile[..., : COLOURS[photometric]], tile[..., COLOURS[photometric] :]
    rgb = _colours(colours, photometric, page)
    kind = int(page.extrasamples[0]) if page.extrasamples else None
    if kind == UNSPECIFIED and photometric == RGB:
        kind = ASSOCIATED
    if alpha.shape[2] and kind in (ASSOCIATED, UNASSOCIATED):
        rgb = over_white(rgb, alpha, associated=kind == ASSOCIATED)
    return np.ascontiguousarray(rgb)


def _colours(tile: NDArray[np.uint8], photometric: int, page: Any) -> NDArray[np.uint8]:
    if photometric == WHITE_IS_ZERO:
        return np.repeat(255 - tile, 3, axis=2)
    if photometric == BLACK_IS_ZERO:
        return np.repeat(tile, 3, axis=2)
    if photometric == PALETTE:
        palette = (np.asarray(page.colormap) >> 8).astype(np.uint8)  # [3, 256] of 16 bits
        return palette.T[tile[..., 0]]
    if photometric == CMYK:
        ink, black = 255 - tile[..., :3].astype(np.uint16), 255 - tile[..., 3:].astype(np.uint16)
        return (ink * black // 255).astype(np.uint8)
    if _is_raw_ycbcr(page):
        swapped = np.ascontiguousarray(tile[..., [0, 2, 1]])  # OpenCV has Y, Cr, Cb
        return cv2.cvtColor(swapped, cv2.COLOR_YCrCb2RGB).astype(np.uint8, copy=False)
    return tile


def over_white(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8], *, associated: bool) -> NDArray[np.uint8]:
    """Colours [..., 3] over white by their ``alpha`` [..., 1]; associated: they are multiplied with it already."""
    share = alpha[..., :1].astype(np.uint16)
    colour = rgb.astype(np.uint16)
    shown = np.minimum(colour, share) if associated else (colour * share + 127) // 255
    return (shown + (255 - share)).astype(np.uint8)


def _is_raw_ycbcr(page: Any) -> bool:
    return int(page.photometric) == YCBCR and int(page.compression) not in (OLD_JPEG, JPEG)
