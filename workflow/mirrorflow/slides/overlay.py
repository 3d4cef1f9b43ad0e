"""Pictures for people: a slide's thumbnail with its tissue and patches, and a sheet of many of them."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mirrorflow.slides.reader import resample

OUTLINE = (20, 140, 60)
GRID = (60, 90, 200)
MISSING = (236, 236, 236)
MARGIN, CAPTION = 6, 34


def draw_overlay(
    rgb: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    corners: NDArray[np.int64],
    patch_size: float,
    slide_width: int,
    *,
    longest: int = 400,
) -> NDArray[np.uint8]:
    """Thumbnail [h, w, 3] of at most ``longest`` px a side: tissue outlined in green, patches in blue.

    ``corners`` [n, 2] and ``patch_size`` are in level-0 pixels, of which the view spans ``slide_width``.
    """
    factor = min(1.0, longest / max(rgb.shape[:2]))
    width, height = max(1, round(rgb.shape[1] * factor)), max(1, round(rgb.shape[0] * factor))
    picture = resample(rgb, width, height).copy()
    scale = width / slide_width
    _draw_grid(picture, corners * scale, patch_size * scale)
    small = resample(mask.astype(np.uint8) * 255, width, height) >= 128
    contours, _ = cv2.findContours(small.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(picture, contours, -1, OUTLINE, 1)
    return picture


def _draw_grid(picture: NDArray[np.uint8], corners: NDArray[np.float64], side: float) -> None:
    """Outlines where a patch is large enough to see them, a tint where it is not."""
    drawn = picture.copy()
    thickness = 1 if side >= 4 else cv2.FILLED
    for x, y in corners:
        first, last = (round(x), round(y)), (round(x + side) - 1, round(y + side) - 1)
        cv2.rectangle(drawn, first, last, GRID, thickness)
    share = 0.6 if thickness == 1 else 0.25
    cv2.addWeighted(drawn, share, picture, 1 - share, 0, dst=picture)


def contact_sheet(
    pictures: Sequence[NDArray[np.uint8] | None], captions: Sequence[tuple[str, str]], *, side: int, columns: int
) -> NDArray[np.uint8]:
    """All pictures on one page, each over its two lines of caption; None is a grey field.

    Pictures are fitted into squares of ``side`` px; the second caption line is red where it does not
    begin with ``ok``.
    """
    rows = max(1, -(-len(pictures) // columns))
    cell_width, cell_height = side + MARGIN, side + MARGIN + CAPTION
    page = np.full((rows * cell_height + MARGIN, columns * cell_width + MARGIN, 3), 255, np.uint8)
    for index, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        top = MARGIN + index // columns * cell_height
        left = MARGIN + index % columns * cell_width
        _paste(page[top : top + side, left : left + side], picture)
        _write(page[top + side : top + side + CAPTION, left : left + side], caption)
    return page


def _paste(field: NDArray[np.uint8], picture: NDArray[np.uint8] | None) -> None:
    if picture is None:
        field[:] = MISSING
        return
    side = field.shape[0]
    factor = side / max(picture.shape[:2])
    width, height = max(1, int(picture.shape[1] * factor)), max(1, int(picture.shape[0] * factor))
    top, left = (side - height) // 2, (side - width) // 2
    field[top : top + height, left : left + width] = resample(picture, width, height)


def _write(field: NDArray[np.uint8], caption: tuple[str, str]) -> None:
    canvas = np.ascontiguousarray(field)
    letters = max(1, field.shape[1] // 6)
    colours = ((40, 40, 40), (90, 90, 90) if caption[1].startswith("ok") else (190, 20, 20))
    for line, (text, colour) in enumerate(zip(caption, colours, strict=True)):
        # OpenCV's letters are ASCII
        shown = text.encode("ascii", "replace").decode()[:letters]
        cv2.putText(canvas, shown, (1, 13 + 14 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.34, colour, 1, cv2.LINE_AA)
    field[:] = canvas
