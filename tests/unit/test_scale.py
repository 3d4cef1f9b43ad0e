"""Where a slide's scale comes from."""

import pytest

from mirrorflow.slides.scale import ScaleError, check_resolution, find_scale, trident_mpp


def mpp(x: float, y: float | None = None) -> dict[str, str]:
    return {"openslide.mpp-x": str(x), "openslide.mpp-y": str(x if y is None else y)}


def test_metadata_come_first_and_a_contradiction_is_noted():
    scale = find_scale(mpp(0.2527), 0.5)
    assert (scale.mpp, scale.source) == (pytest.approx(0.2527), "metadata")
    assert "0.5" in scale.note
    assert find_scale(mpp(0.2527), 0.25).note == ""


def test_the_sheet_comes_second():
    scale = find_scale({"openslide.objective-power": "40"}, 0.23)
    assert (scale.mpp, scale.source) == (0.23, "sheet")


@pytest.mark.parametrize(("power", "expected"), [("40", 0.25), ("20", 0.5), ("20x", None), ("0", None)])
def test_the_objective_comes_last(power: str, expected: float | None):
    properties = {"openslide.objective-power": power}
    if expected is None:
        with pytest.raises(ScaleError, match=r"set mpp in slides\.tsv"):
            find_scale(properties, None)
    else:
        scale = find_scale(properties, None)
        assert (scale.mpp, scale.source) == (expected, "objective")


@pytest.mark.parametrize("nonsense", ["352.8", "0", "-1", "nan", "inf", ""])
def test_an_implausible_mpp_is_not_believed(nonsense: str):
    properties = {"openslide.mpp-x": nonsense, "openslide.mpp-y": nonsense}
    assert find_scale(properties, 0.5).source == "sheet"


def test_oblong_pixels_keep_their_area():
    assert find_scale(mpp(0.24, 0.26), None).mpp ** 2 == pytest.approx(0.24 * 0.26)


@pytest.mark.parametrize(("real", "nominal"), [(0.2527, 0.25), (0.499, 0.5), (0.17, 10 / 60), (1.1, 1.0)])
def test_trident_rounds_to_magnifications(real: float, nominal: float):
    assert trident_mpp(real) == pytest.approx(nominal)


def test_trident_knows_nothing_coarse():
    with pytest.raises(ScaleError, match="exact"):
        trident_mpp(3.0)


def test_patches_finer_than_the_scan_are_refused():
    check_resolution(0.5046, 0.5)
    with pytest.raises(ScaleError, match="coarser"):
        check_resolution(1.0, 0.5)
