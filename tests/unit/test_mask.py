"""Tissue masks, small enough to check by eye."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mirrorflow.config.mask_settings import Segmentation, segmentation_from
from mirrorflow.errors import ConfigError
from mirrorflow.slides.mask import drop_small, fill_holes, otsu_threshold, pen_and_borders, segment

GLASS, TISSUE = (244, 243, 242), (190, 110, 170)
PLAIN = Segmentation(median_um=0, closing_um=0, min_tissue_um2=0, max_hole_um2=0)


def picture(rows: str, **colours: tuple[int, int, int]) -> NDArray[np.uint8]:
    """An image from characters: ``.`` glass, ``T`` tissue, others by keyword."""
    palette = {".": GLASS, "T": TISSUE} | colours
    return np.array([[palette[cell] for cell in row.split()] for row in rows.strip().splitlines()], np.uint8)


def mask(rows: str) -> NDArray[np.bool_]:
    return np.array([[cell == "1" for cell in row.split()] for row in rows.strip().splitlines()])


def test_six_by_six():
    found = segment(
        picture("""
            . . . . . .
            . T T T . .
            . T . T . .
            . T T T . .
            . . . . . T
            . . . . . .
        """),
        8.0,
        PLAIN,
    )
    expected = mask("""
        0 0 0 0 0 0
        0 1 1 1 0 0
        0 1 0 1 0 0
        0 1 1 1 0 0
        0 0 0 0 0 1
        0 0 0 0 0 0
    """)
    assert (found == expected).all()


def test_areas_are_micrometres_at_any_scale():
    settings = Segmentation(median_um=0, closing_um=0, min_tissue_um2=128, max_hole_um2=64)
    rows = """
        . . . . . .
        . T T T . .
        . T . T . .
        . T T T . .
        . . . . . T
        . . . . . .
    """
    at_8_um = segment(picture(rows), 8.0, settings)  # a pixel is 64 um2: speck dropped, hole filled
    assert at_8_um.sum() == 9
    at_16_um = segment(picture(rows), 16.0, settings)  # a pixel is 256 um2: speck kept, hole kept
    assert at_16_um.sum() == 9
    assert at_16_um[4, 5]
    assert not at_16_um[2, 2]


def test_small_pieces_and_holes():
    given = mask("""
        1 1 1 1 0 0
        1 0 0 1 0 1
        1 1 1 1 0 0
        0 0 0 0 0 0
    """)
    assert drop_small(given, 2).sum() == 10
    assert drop_small(given, 1).sum() == 11
    assert fill_holes(given, 2).sum() == 13
    assert fill_holes(given, 1).sum() == 11


def test_a_bay_at_the_border_is_no_hole():
    given = mask("""
        1 1 1
        1 0 1
        1 0 1
    """)
    assert (fill_holes(given, 100) == given).all()


@pytest.mark.parametrize("seed", range(3))
def test_otsu_equals_opencv(seed: int):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(40, 10, 4000), rng.normal(140, 25, 3000)]).clip(0, 255).astype(np.uint8)
    assert otsu_threshold(values) == cv2.threshold(values, 0, 255, cv2.THRESH_OTSU)[0]


def test_otsu_of_nothing_and_of_one_value():
    assert otsu_threshold(np.empty(0, np.uint8)) == 0
    assert otsu_threshold(np.full(9, 7, np.uint8)) == 0


def test_bare_glass_holds_no_tissue():
    noise = np.random.default_rng(0).normal(0, 2.0, (60, 60, 3))
    assert not segment((np.array(GLASS) + noise).astype(np.uint8), 8.0, Segmentation()).any()


def test_a_slide_full_of_tissue_is_not_split():
    image = np.full((60, 60, 3), TISSUE, np.uint8)
    image[:, 30:] = (225, 170, 215)  # paler tissue
    assert segment(image, 8.0, Segmentation()).all()


@pytest.mark.parametrize(
    "ink", [(30, 60, 170), (20, 130, 60), (210, 30, 45), (25, 25, 28)], ids=["blue", "green", "red", "black"]
)
def test_pen_is_kept_out(ink: tuple[int, int, int]):
    image = np.full((80, 80, 3), GLASS, np.uint8)
    image[10:40, 10:70] = TISSUE
    image[60:68, 5:75] = ink
    found = segment(image, 8.0, Segmentation())
    assert found[15:35, 15:65].all()
    assert not found[55:].any()


def test_black_borders_are_kept_out():
    image = np.full((80, 80, 3), GLASS, np.uint8)
    image[20:60, 20:60] = TISSUE
    image[:, :8] = (6, 0, 0)  # "saturated", though black
    found = segment(image, 8.0, Segmentation())
    assert not found[:, :10].any()
    assert found[25:55, 25:55].all()


@pytest.mark.parametrize(
    "stain",
    [(190, 110, 170), (110, 70, 140), (75, 50, 110), (235, 160, 195), (130, 85, 60), (190, 60, 70)],
    ids=["H&E", "nuclei", "dense nuclei", "eosin", "DAB", "blood"],
)
def test_stains_are_no_pen(stain: tuple[int, int, int]):
    image = np.full((20, 20, 3), stain, np.uint8)
    assert not pen_and_borders(image, 8.0, Segmentation()).any()


def test_one_pixel():
    assert segment(np.full((1, 1, 3), GLASS, np.uint8), 8.0, Segmentation()).shape == (1, 1)


def test_mirrors_preset_takes_all_of_an_empty_slide():
    image = np.full((30, 30, 3), GLASS, np.uint8)
    assert segment(image, 2.0, segmentation_from({"preset": "mirror"})).all()
    assert not segment(image, 2.0, segmentation_from({"preset": "mirror", "all_if_empty": False})).any()


def test_settings_of_one_slide_win():
    settings = segmentation_from({"median_um": 10, "pen": True}, {"pen": False})
    assert (settings.median_um, settings.pen) == (10, False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "clam"}, "default, mirror"),
        ({"treshold": 3}, "unknown treshold"),
        ({"mpp": 0}, "above 0"),
        ({"min_threshold": 50}, "max_threshold 40"),
    ],
)
def test_bad_settings(settings: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        segmentation_from(settings)
