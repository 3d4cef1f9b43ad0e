"""The patch grid: counts by hand, and what holds for any mask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from mirrorflow.errors import ConfigError
from mirrorflow.slides.grid import Patching, patching_from, place_patches


def test_counts_by_hand():
    mask = np.zeros((4, 6), bool)  # a pixel is 10 x 10 of level 0
    mask[0, 0] = mask[1, 1] = mask[3, 5] = True
    everywhere = place_patches(mask, (60, 40), 20, 20, 0.0)
    assert everywhere.tolist() == [[0, 0], [40, 20]]
    assert place_patches(mask, (60, 40), 20, 20, 0.3).tolist() == [[0, 0]]  # half of it is tissue
    assert place_patches(mask, (60, 40), 20, 20, 0.51).tolist() == []


def test_overlap():
    mask = np.ones((1, 1), bool)
    assert place_patches(mask, (40, 20), 20, 10, 0.1).tolist() == [[0, 0], [10, 0], [20, 0]]


def test_a_fraction_between_mask_pixels_is_exact():
    mask = np.array([[True, False]])  # left half tissue, of a slide 10 wide
    covered_60_percent = place_patches(mask, (10, 5), 5 / 0.6, 100, 0.6)
    assert len(covered_60_percent) == 0  # taller than the slide
    assert len(place_patches(mask, (10, 10), 5 / 0.6, 100, 0.599)) == 1
    assert len(place_patches(mask, (10, 10), 5 / 0.6, 100, 0.601)) == 0


def test_fractional_steps_do_not_drift():
    step = 256 * 0.5 / 0.2527
    corners = place_patches(np.ones((1, 1), bool), (100_000, 600), step, step, 0.1)
    assert np.abs(corners[:, 0] - np.arange(len(corners)) * step).max() <= 0.5


@pytest.mark.parametrize("size", [(1, 1), (255, 1000), (1000, 255)])
def test_a_slide_smaller_than_a_patch_gives_none(size: tuple[int, int]):
    assert place_patches(np.ones((3, 3), bool), size, 256, 256, 0.0).shape == (0, 2)


masks = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))
sizes = st.tuples(st.integers(1, 400), st.integers(1, 400))


@settings(max_examples=60, deadline=None)
@given(masks, sizes, st.floats(3, 150), st.floats(0.2, 1.0), st.floats(0, 1))
def test_every_patch_is_inside_unique_and_holds_tissue(
    mask: NDArray[np.bool_], size: tuple[int, int], side: float, share: float, min_tissue: float
):
    corners = place_patches(mask, size, side, side * share, min_tissue)
    assert (corners >= 0).all()
    assert (corners + round(side) <= np.array(size)).all()
    assert len(np.unique(corners, axis=0)) == len(corners)
    for x, y in corners[:5]:
        fraction = painted_fraction(mask, size, x, y, side)
        assert fraction > 0
        assert fraction >= min_tissue - 1e-6


@settings(max_examples=40, deadline=None)
@given(masks, sizes, st.floats(3, 150))
def test_no_patch_with_tissue_is_missed(mask: NDArray[np.bool_], size: tuple[int, int], side: float):
    found = {tuple(corner) for corner in place_patches(mask, size, side, side, 0.5).tolist()}
    for x in range(int(size[0] / side)):
        for y in range(int(size[1] / side)):
            corner = round(x * side), round(y * side)
            inside = max(corner[0] + round(side) - size[0], corner[1] + round(side) - size[1]) <= 0
            if inside and painted_fraction(mask, size, *corner, side) > 0.5 + 1e-6:
                assert corner in found


def painted_fraction(mask: NDArray[np.bool_], size: tuple[int, int], x: float, y: float, side: float) -> float:
    """The same fraction, one mask pixel after the other."""
    wide, tall = size[0] / mask.shape[1], size[1] / mask.shape[0]
    area = 0.0
    for row, column in np.argwhere(mask):
        width = min(x + side, (column + 1) * wide) - max(x, column * wide)
        height = min(y + side, (row + 1) * tall) - max(y, row * tall)
        area += max(width, 0.0) * max(height, 0.0)
    return area / side**2


def test_named_presets():
    assert patching_from({"preset": "512px-20x"}) == Patching(512, 0.5, 0, 0.0)
    assert patching_from({"preset": "256px-20x", "overlap_px": 64}).overlap_px == 64


@pytest.mark.parametrize(
    ("given_settings", "message"),
    [
        ({"size": 256}, "unknown size"),
        ({"preset": "40x"}, "256px-20x, 512px-20x"),
        ({"overlap_px": 256}, "0 to size_px - 1"),
        ({"min_tissue": 1.5}, "from 0 to 1"),
        ({"mpp": -0.5}, "above 0"),
        ({"size_px": 0}, "at least 1"),
    ],
)
def test_bad_settings(given_settings: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        patching_from(given_settings)
