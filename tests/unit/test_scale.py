"""Where a slide's scale comes from."""

from pathlib import Path

import pytest
from tests.slide_factory import simple, write_svs

from mirrorflow.commands.preflight.encoders import seconds_per_patch
from mirrorflow.commands.preflight.slides import SlideCheck
from mirrorflow.slides.reader import Slide
from mirrorflow.slides.scale import Scale, ScaleError, check_resolution, find_scale, trident_mpp
from mirrorflow.store.slide_sheet import SlideRow


def mpp(x: float, y: float | None = None) -> dict[str, str]:
    return {"openslide.mpp-x": str(x), "openslide.mpp-y": str(x if y is None else y)}


def tags(x: float, y: float, unit: str = "centimeter") -> dict[str, str]:
    return {"tiff.XResolution": str(x), "tiff.YResolution": str(y), "tiff.ResolutionUnit": unit}


def power(objective: str) -> dict[str, str]:
    return {"openslide.objective-power": objective}


def test_the_sheet_outranks_the_file_and_a_contradiction_is_noted():
    scale = find_scale(mpp(0.2527), 0.5)
    assert (scale.mpp, scale.source) == (0.5, "sheet")
    assert scale.note == "slides.tsv says mpp 0.5, the slide's metadata 0.2527: slides.tsv was used"
    assert find_scale(mpp(0.2527), 0.25) == Scale(0.25, "sheet")  # 1 % apart
    assert find_scale(mpp(0.2527), 0.2590).note  # 2.5 %
    assert find_scale(power("40"), 0.23) == Scale(0.23, "sheet")


def test_a_sheet_that_repeats_the_file_leaves_it_the_source():
    assert find_scale(mpp(0.2527), 0.2527) == Scale(pytest.approx(0.2527), "metadata")


def test_the_metadata_come_second_before_tags_and_objective():
    assert find_scale(mpp(0.2527) | tags(20000, 20000) | power("40"), None).source == "metadata"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (tags(40000, 40000), 0.25),
        (tags(50800, 50800, "inch"), 0.5),
        (tags(72, 72, "inch"), None),
        (tags(40000, 40000, ""), None),
        (tags(1, 1), None),
    ],
)
def test_resolution_tags_come_before_the_objective_where_they_are_a_microscopes(found, expected):
    scale = find_scale(found | power("20"), None)
    assert (scale.mpp, scale.source) == ((expected, "resolution") if expected else (0.5, "objective"))


@pytest.mark.parametrize(
    ("objective", "scale", "odd"),
    [("40", 0.2527, False), ("40", 0.22, False), ("20", 0.46, False), ("40", 0.5, True), ("20", 0.25, True)],
)
def test_an_objective_that_says_otherwise_is_noted(objective: str, scale: float, *, odd: bool):
    for found in (find_scale(mpp(scale) | power(objective), None), find_scale(power(objective), scale)):
        assert (f"an objective of {objective}x usually gives" in found.note) == odd
        assert found.mpp == pytest.approx(scale)


@pytest.mark.parametrize("found", [mpp(0.25, 0.5), mpp(0.5, 0.25), tags(40000, 20000)])
def test_oblong_pixels_are_refused(found: dict[str, str]):
    """Patches of 0.354 um/px were 90.5 x 181 um."""
    with pytest.raises(ScaleError, match=r"pixels are oblong, 0\.\d+ x 0\.\d+ um: square patches would be 2 times"):
        find_scale(found | power("40"), None)
    assert find_scale(found, 0.25).source == "sheet"


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
    scale = find_scale(mpp(0.24, 0.26), None)
    assert scale.mpp**2 == pytest.approx(0.24 * 0.26)
    assert scale.note == "pixels of 0.24 x 0.26 um are taken for square ones of equal area"
    assert find_scale(mpp(0.2499, 0.2502), None).note == ""


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


@pytest.mark.parametrize(("mpp", "sheet", "expected"), [(0.5, None, 256), (0.5, 0.25, 512), (None, 0.25, 512)])
def test_patches_are_timed_at_the_scale_they_are_read_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mpp: float | None, sheet: float | None, expected: float
):
    sizes: list[float] = []
    monkeypatch.setattr(Slide, "read_patch", lambda self, x, y, size, level, side: sizes.append(size))
    row = SlideRow("a", "P", write_svs(tmp_path / "a.svs", simple(), mpp=mpp, power=None), sheet)
    assert seconds_per_patch([SlideCheck(row, mpp_source="sheet")], 256, 0.5, 224) is not None
    assert set(sizes) == {expected}
