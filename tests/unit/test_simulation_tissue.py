"""The factors must be there to see: in simple numbers of the drawn image."""

import numpy as np
import pytest

from mirrorflow.demo.slides import SlidePlan, draw_slide
from mirrorflow.demo.tissue import draw_piece, draw_stain, morphology, to_rgb


def piece(shared, slide_only, seed=0):
    rng = np.random.default_rng(seed)
    stain = draw_stain(np.random.default_rng(99))
    return draw_piece(150.0, morphology(shared, slide_only), stain, 0.5, rng)


def dark_share(image, mask):
    """Share of the tissue that is nucleus: red is what haematoxylin takes away."""
    return (image[..., 0][mask] < 140).mean()


def blueness(image, mask):
    """Mean of blue minus red over the tissue that is not nucleus."""
    paler = mask & (image[..., 0] >= 140)
    return (image[..., 2][paler].astype(float) - image[..., 0][paler]).mean()


@pytest.mark.parametrize("seed", range(3))
def test_shared_factor_packs_more_nuclei(seed):
    assert dark_share(*piece(1.5, 0.0, seed)) > dark_share(*piece(-1.5, 0.0, seed)) + 0.05


@pytest.mark.parametrize("seed", range(3))
def test_slide_factor_makes_cytoplasm_bluer(seed):
    assert blueness(*piece(0.0, 1.5, seed)) > blueness(*piece(0.0, -1.5, seed)) + 3


def test_morphology_is_bounded_for_any_factor():
    for shape in (morphology(50.0, 50.0), morphology(-50.0, -50.0)):
        assert 0.1 < shape.nest_fraction < 0.9
        assert 0 < shape.eccentricity < 0.96
        assert shape.nucleus_radius_um > 2
        assert shape.cytoplasm_haematoxylin > 0


def test_piece_has_holes_and_an_area_near_the_radius():
    _, mask = piece(0.0, 0.0)
    assert mask.sum() * 0.25 == pytest.approx(np.pi * 150**2, rel=0.35)


def test_no_stain_is_glass_and_more_stain_is_darker():
    stain = draw_stain(np.random.default_rng(0))
    glass = to_rgb(np.zeros((1, 1)), np.zeros((1, 1)), stain)[0, 0]
    stained = to_rgb(np.ones((1, 1)), np.zeros((1, 1)), stain)[0, 0]
    assert (glass == stain.glass.astype(np.uint8)).all()
    assert (stained < glass).all()


def plan(**changed):
    fields = {
        "slide_id": "DEMO-A1-1000-01Z-00-DX1",
        "patient": "DEMO-A1-1000",
        "site": "A1",
        "shared": 0.0,
        "slide_only": 0.0,
        "objective": 20,
        "mpp": 0.5,
        "pen": "",
        "kind": "good",
    }
    return SlidePlan(**fields | changed)


def saturated(image):
    return image.max(axis=2).astype(int) - image.min(axis=2) > 30


def test_background_is_near_white_and_tissue_is_saturated():
    image = draw_slide(plan(), 600.0, 500.0, 7)
    assert image.shape == (1000, 1200, 3)
    share = saturated(image).mean()
    assert 0.07 < share < 0.25
    background = image[~saturated(image)]
    assert np.median(background) > 235


def test_a_40x_scan_shows_the_same_area_in_twice_the_pixels():
    image = draw_slide(plan(objective=40, mpp=0.25), 600.0, 500.0, 7)
    assert image.shape == (2000, 2400, 3)
    assert 0.07 < saturated(image).mean() < 0.25


def test_empty_slide_has_dust_and_no_colour():
    image = draw_slide(plan(kind="empty"), 600.0, 500.0, 7)
    assert not saturated(image).any()
    assert (image.min(axis=2) < 200).sum() > 20


@pytest.mark.parametrize(("pen", "strongest", "excess"), [("blue", 2, 90), ("green", 1, 40)])
def test_pen_leaves_its_colour(pen, strongest, excess):
    image = draw_slide(plan(pen=pen), 600.0, 500.0, 7).astype(int)
    others = [channel for channel in range(3) if channel != strongest]
    inked = (image[..., strongest] - image[..., others].max(axis=2)) > excess
    bare = draw_slide(plan(), 600.0, 500.0, 7).astype(int)
    bare_inked = (bare[..., strongest] - bare[..., others].max(axis=2)) > excess
    assert inked.mean() > 0.01
    assert bare_inked.mean() < 0.001
