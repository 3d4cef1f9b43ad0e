"""Colours and scale of TIFFs and OME-TIFFs: as OpenSlide reads the same samples, where it reads them."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from tests.slide_factory import simple

from mirrorflow.slides.openslide_source import OpenSlideSource
from mirrorflow.slides.reader import SlideError, open_slide
from mirrorflow.slides.scale import find_scale

IMAGE = simple(200, 150)
GREY = np.ascontiguousarray(IMAGE[..., 0])
INK = np.random.default_rng(0).integers(0, 256, (3, 256), dtype=np.uint16) * 257
RGB = {"photometric": "rgb", "tile": (64, 64)}


def with_alpha(alpha: int, *, multiplied: bool = False) -> NDArray[np.uint8]:
    """The image with this alpha, and a corner of transparent black."""
    colour = IMAGE.astype(int) * alpha // 255 if multiplied else IMAGE
    rgba = np.dstack([colour, np.full(GREY.shape, alpha)]).astype(np.uint8)
    rgba[:40, :50] = 0
    return rgba


def ycbcr() -> NDArray[np.uint8]:
    return np.ascontiguousarray(cv2.cvtColor(IMAGE, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]])


LAYOUTS: dict[str, tuple[NDArray[Any], str, dict[str, Any]]] = {
    "interleaved": (IMAGE, "YXS", {}),
    "planar": (np.moveaxis(IMAGE, 2, 0), "SYX", {"planarconfig": "separate"}),
    "planar jpeg": (np.moveaxis(IMAGE, 2, 0), "SYX", {"planarconfig": "separate", "compression": "jpeg"}),
    "opaque": (with_alpha(255), "YXS", {"extrasamples": ["unassalpha"]}),
    "half transparent": (with_alpha(128), "YXS", {"extrasamples": ["unassalpha"]}),
    "multiplied": (with_alpha(128, multiplied=True), "YXS", {"extrasamples": ["assocalpha"]}),
    "unspecified": (with_alpha(255), "YXS", {"extrasamples": ["unspecified"]}),
    "white is zero": (255 - GREY, "YX", {"photometric": "miniswhite"}),
    "palette": (GREY, "YX", {"photometric": "palette", "colormap": INK}),
    "cmyk": (np.dstack([255 - IMAGE, np.full(GREY.shape, 30, np.uint8)]), "YXS", {"photometric": "separated"}),
    "ycbcr": (ycbcr(), "YXS", {"photometric": "ycbcr", "subsampling": (1, 1), "compression": "deflate"}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.filterwarnings("ignore:.*<tifffile")
def test_an_ome_tiff_has_the_colours_that_openslide_sees_without_the_ome(tmp_path: Path, layout: str) -> None:
    data, axes, options = LAYOUTS[layout]
    tifffile.imwrite(tmp_path / "a.tif", data, metadata=None, **RGB | options)
    tifffile.imwrite(tmp_path / "a.ome.tif", data, ome=True, metadata={"axes": axes}, **RGB | options)
    openslide = OpenSlideSource(tmp_path / "a.tif")
    expected = openslide._read_openslide(0, 10, 20, 150, 100)
    openslide.close()
    with open_slide(tmp_path / "a.ome.tif") as slide:
        found = slide.read(0, 10, 20, 150, 100)
    assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha", "unspecified"])
def test_transparent_is_white(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, with_alpha(255), ome=True, metadata={"axes": "YXS"}, extrasamples=[kind], **RGB)
    with open_slide(path) as slide:
        assert (slide.read(0, 0, 0, 50, 40) == 255).all()
        assert np.array_equal(slide.read(0, 60, 50, 50, 40), IMAGE[50:90, 60:110])


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, GREY.astype(np.uint16), ome=True, metadata={"axes": "YX"}, tile=(64, 64))
    with pytest.raises(SlideError, match="not an 8-bit RGB or grey image: 16 bits a sample"):
        open_slide(path)


def scale_of(path: Path, sizes: dict[str, Any], **options: Any) -> Any:
    tifffile.imwrite(path, IMAGE, ome=True, metadata={"axes": "YXS", **sizes}, **RGB | options)
    with open_slide(path) as slide:
        return find_scale(slide.properties, None)


def test_resolution_tags_where_ome_has_no_physical_size(tmp_path: Path) -> None:
    tags = {"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}
    assert scale_of(tmp_path / "a.ome.tif", {}, **tags).mpp == pytest.approx(0.25)
    both = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    assert scale_of(tmp_path / "b.ome.tif", both, **tags).mpp == pytest.approx(0.5)
    assert scale_of(tmp_path / "c.ome.tif", {"PhysicalSizeX": 0.5}, **tags).mpp == pytest.approx(0.5)
    pixels = both | {"PhysicalSizeXUnit": "pixel", "PhysicalSizeYUnit": "reference frame"}
    assert scale_of(tmp_path / "d.ome.tif", pixels, **tags).mpp == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("size", "unit"),
    [(0.25, "µm"), (250, "nm"), (250000, "pm"), (2500, "Å"), (2.5e-4, "mm"), (2.5e-5, "cm"), (2.5e-6, "dm"),
     (2.5e-7, "m"), (2.5e-10, "km"), (0.25 / 25.4, "thou"), (0.25 / 25400, "in"), (0.25 * 72 / 25400, "pt"),
     (0.25 * 12 / 25400, "li")],
)  # fmt: skip
def test_units_of_the_ome_schema(tmp_path: Path, size: float, unit: str) -> None:
    sizes = {"PhysicalSizeX": size, "PhysicalSizeXUnit": unit, "PhysicalSizeY": size, "PhysicalSizeYUnit": unit}
    assert scale_of(tmp_path / "a.ome.tif", sizes).mpp == pytest.approx(0.25)
