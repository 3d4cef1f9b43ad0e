"""Reading slides: OpenSlide, the direct way to its tiles, TIFFs and plain images."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.dicom_factory import EXPLICIT_LITTLE_ENDIAN, write_dicom
from tests.slide_factory import REAL_SLIDE, corrupt_tile, simple, write_svs

from mirrorflow.slides.openslide_source import OpenSlideSource, on_white
from mirrorflow.slides.reader import SlideError, best_level, open_slide, resample, source_bytes
from mirrorflow.slides.scale import find_scale
from mirrorflow.slides.sources import Level, RegionError
from mirrorflow.slides.tiff_source import TileCache

real_slide = pytest.mark.skipif(not REAL_SLIDE.exists(), reason=f"{REAL_SLIDE} is not here")


@real_slide
def test_tiles_decoded_directly_equal_openslide():
    source = OpenSlideSource(REAL_SLIDE)
    assert list(source._tiles) == [0]
    region = 0, 100, 77, 2000, 1500
    assert np.array_equal(source.read(*region), source._read_openslide(*region))
    source.close()


def test_generated_pyramid(tmp_path: Path):
    image = simple(1000, 700)
    with open_slide(write_svs(tmp_path / "a.svs", image)) as slide:
        assert [(level.width, level.height) for level in slide.levels] == [(1000, 700), (250, 175)]
        assert find_scale(slide.properties, None).mpp == 0.5
        region = slide.read(0, 900, 600, 100, 100).astype(int)
        assert np.abs(region - image[600:, 900:]).max() < 12
        assert slide.read(1, 10, 10, 40, 30).shape == (30, 40, 3)


@pytest.mark.parametrize(("downsample", "expected"), [(1.0, 0), (3.9, 0), (3.95, 1), (4.0, 1), (100.0, 2), (0.5, 0)])
def test_best_level(downsample: float, expected: int):
    levels = [Level(1600, 1600, 1.0), Level(400, 400, 4.0), Level(100, 100, 16.0)]
    assert best_level(levels, downsample) == expected


def test_a_patch_is_resampled_by_area(tmp_path: Path):
    image = np.zeros((512, 512, 3), np.uint8)
    image[:, ::2] = 255  # every other column: by area a flat grey
    path = tmp_path / "stripes.png"
    cv2.imwrite(str(path), image)
    with open_slide(path) as slide:
        assert np.unique(slide.read_patch(0, 0, 512.0, 0, 256)).tolist() == [128]


def test_a_patch_at_the_edge_stays_inside(tmp_path: Path):
    with open_slide(write_svs(tmp_path / "a.svs", simple(1000, 700))) as slide:
        assert slide.read_patch(494, 194, 506.5, 1, 224).shape == (224, 224, 3)


def test_a_corrupt_tile_loses_its_region_alone(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(1024, 1024))
    corrupt_tile(path, 5)  # second row, second column
    with open_slide(path) as slide:
        for _ in range(2):
            with pytest.raises(RegionError):
                slide.read(0, 300, 300, 50, 50)
            assert slide.read(0, 0, 0, 256, 256).shape == (256, 256, 3)
            assert slide.read(0, 512, 512, 256, 256).shape == (256, 256, 3)


def test_a_corrupt_tile_where_the_readers_are_compared(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(1024, 1024), downsamples=(1,))
    for index in (10, 5):  # the tiles at 0.5 and 0.3
        corrupt_tile(path, index)
    with open_slide(path) as slide:
        assert slide.read(0, 0, 0, 256, 256).shape == (256, 256, 3)


def test_a_closed_slide_opens_again(tmp_path: Path):
    slide = open_slide(write_svs(tmp_path / "a.svs", simple(512, 512)))
    before = slide.read(0, 0, 0, 20, 20)
    slide.close()
    assert np.array_equal(slide.read(0, 0, 0, 20, 20), before)
    slide.close()


def test_ome_tiff(tmp_path: Path):
    path = tmp_path / "a.ome.tif"
    image = simple(600, 400)
    with tifffile.TiffWriter(path, ome=True) as tiff:
        meta = {"axes": "YXS", "PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.25}
        options = {"tile": (128, 128), "compression": "deflate", "photometric": "rgb"}
        tiff.write(image, subifds=1, metadata=meta, **options)
        tiff.write(image[::2, ::2], subfiletype=1, **options)
    with open_slide(path) as slide:
        assert [tuple(level) for level in slide.levels] == [(600, 400, 1.0), (300, 200, 2.0)]
        assert find_scale(slide.properties, None).mpp == pytest.approx(0.25)
        assert np.array_equal(slide.read(0, 100, 90, 300, 200), image[90:290, 100:400])


@pytest.mark.parametrize("scan_first", [True, False])
def test_the_scan_of_an_ome_tiff_with_several_series(tmp_path: Path, scan_first: bool):  # noqa: FBT001
    path = tmp_path / "a.ome.tif"
    scan, label = simple(600, 400), np.full((90, 120, 3), 7, np.uint8)
    fluorescence = np.zeros((500, 700), np.uint16)  # larger, but no image for us
    options = {"tile": (128, 128), "compression": "jpeg", "photometric": "rgb"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for image, mpp in [(scan, 0.25), (label, 20.0)] if scan_first else [(label, 20.0), (scan, 0.25)]:
            tiff.write(image, metadata={"axes": "YXS", "PhysicalSizeX": mpp, "PhysicalSizeY": mpp}, **options)
        tiff.write(fluorescence, metadata={"axes": "YX"})
    with open_slide(path) as slide:
        assert [(level.width, level.height) for level in slide.levels] == [(600, 400)]
        assert find_scale(slide.properties, None).mpp == pytest.approx(0.25)
        assert np.abs(slide.read(0, 0, 0, 600, 400).astype(int) - scan).mean() < 3


UNREAD_SCANS = {
    "focal planes": (np.stack([simple(600, 400)] * 3), {"axes": "ZYXS"}, "rgb", "neither one image nor"),
    "16 bits": (np.zeros((400, 600), np.uint16), {"axes": "YX"}, "minisblack", "16 bits a sample"),
    "channels": (np.zeros((4, 400, 600), np.uint8), {"axes": "CYX"}, "minisblack", "neither one image nor"),
}


@pytest.mark.parametrize("macro_first", [True, False])
@pytest.mark.parametrize("kind", UNREAD_SCANS)
def test_a_macro_never_stands_in_for_a_scan_that_is_not_read(tmp_path: Path, kind: str, macro_first: bool):  # noqa: FBT001
    pixels, axes, photometric, why = UNREAD_SCANS[kind]
    path, images = tmp_path / "a.ome.tif", [(pixels, axes, photometric), (simple(300, 360), {"axes": "YXS"}, "rgb")]
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for image, metadata, colours in reversed(images) if macro_first else images:
            tiff.write(image, metadata=metadata, photometric=colours, tile=(128, 128))
    with pytest.raises(SlideError, match=rf"{why}.*\(label, macro\) are not the scan"):
        open_slide(path)


@pytest.mark.parametrize("kind", ["strips", "grey", "planes"])
def test_plain_tiffs(tmp_path: Path, kind: str):
    path = tmp_path / "a.tif"
    image = simple(300, 200)
    if kind == "grey":
        tifffile.imwrite(path, image[..., 0], rowsperstrip=7)
        image = np.repeat(image[..., :1], 3, axis=2)
    elif kind == "planes":
        tifffile.imwrite(path, np.moveaxis(image, 2, 0), ome=True, metadata={"axes": "CYX"}, photometric="minisblack")
    else:
        tifffile.imwrite(path, image, rowsperstrip=16, compression="lzw")
    with open_slide(path) as slide:
        assert np.array_equal(slide.read(0, 10, 20, 200, 150), image[20:170, 10:210])
        with pytest.raises(SlideError):
            find_scale(slide.properties, None) if slide.properties else open_slide(tmp_path / "none.tif")


def test_a_generic_tiled_tiff_is_openslides(tmp_path: Path):
    path, image = tmp_path / "a.tif", simple(600, 400)
    options = {"tile": (128, 128), "compression": "jpeg", "photometric": "rgb", "metadata": None}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(image, resolution=(20000, 20000), resolutionunit=3, **options)  # 20,000 px a cm
        tiff.write(image[::2, ::2], subfiletype=1, **options)
    with open_slide(path) as slide:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        assert [tuple(level) for level in slide.levels] == [(600, 400, 1.0), (300, 200, 2.0)]
        assert find_scale(slide.properties, None).mpp == pytest.approx(0.5)


def test_a_dicom_slide_by_its_folder_or_a_file_of_it(tmp_path: Path):
    image = simple(700, 500)
    folder = write_dicom(tmp_path / "scan", image, 0.25)
    for path in (folder, folder / "level1.dcm"):
        with open_slide(path) as slide:
            assert [tuple(level) for level in slide.levels] == [(700, 500, 1.0), (175, 125, 4.0)]
            assert find_scale(slide.properties, None).mpp == pytest.approx(0.25)
            assert np.array_equal(slide.read(0, 100, 90, 300, 200), image[90:290, 100:400])
    with pytest.raises(SlideError, match="a folder without a DICOM slide"):
        open_slide(tmp_path)


def test_a_folder_of_several_dicom_slides_is_refused_by_name(tmp_path: Path):
    """Both rows of a sheet got the one whose file comes first; renaming a file changed the scale."""
    fine, coarse = simple(700, 500), simple(300, 200)
    folder = write_dicom(tmp_path / "scan", fine, 0.25, name="b", series="1.2.3.9")
    write_dicom(folder, coarse, 0.5, name="a", series="1.2.3.7", levels=(1,))
    with pytest.raises(SlideError, match=r"scan: a folder of 2 DICOM slides, of which one is meant") as caught:
        open_slide(folder)
    assert "a0.dcm (1 files, series 1.2.3.7); b0.dcm (2 files, series 1.2.3.9)" in str(caught.value)
    for name, mpp, size in (("b1.dcm", 0.25, (700, 500)), ("a0.dcm", 0.5, (300, 200))):
        with open_slide(folder / name) as slide:
            assert find_scale(slide.properties, None).mpp == pytest.approx(mpp)
            assert (slide.width, slide.height) == size


@pytest.mark.parametrize("kind", ["LABEL", "OVERVIEW", "THUMBNAIL"])
@pytest.mark.parametrize("series", ["1.2.3.7", "1.2.3.9"])
def test_label_and_overview_of_a_dicom_slide_are_left_aside(tmp_path: Path, kind: str, series: str):
    folder = write_dicom(tmp_path / "scan", simple(700, 500), 0.25)
    write_dicom(folder, simple(100, 80), 5.0, name="a", kind=kind, series=series, levels=(1,))
    with open_slide(folder) as slide:
        assert (slide.width, slide.height) == (700, 500)
        assert find_scale(slide.properties, None).mpp == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("syntax", "said"),
    [
        (
            "1.2.840.10008.1.2",
            r"Implicit VR little endian .* rewrite it as Explicit VR, which decodes nothing: dcmconv",
        ),
        ("1.2.840.10008.1.2.4.80", r"JPEG-LS .* decode it once, as with pydicom"),
        ("1.2.840.10008.1.2.4.201", r"HTJ2K .* decode it once"),
    ],
)
@pytest.mark.parametrize("every", [True, False])
def test_dicom_that_openslide_refuses_is_named_with_the_fix(tmp_path: Path, syntax: str, said: str, *, every: bool):
    folder = write_dicom(tmp_path / "scan", simple(300, 200), 0.25, syntax=syntax if every else EXPLICIT_LITTLE_ENDIAN)
    bad = "level0" if every else "odd0"
    if not every:  # one such file refuses the whole series
        write_dicom(folder, simple(300, 200), 0.25, name="odd", syntax=syntax, levels=(1,))
    for path in (folder, folder / "level0.dcm"):
        with pytest.raises(SlideError, match=rf"{bad}\.dcm is DICOM in {said}") as caught:
            open_slide(path)
        assert "is the file complete" not in str(caught.value)


def test_a_slide_of_several_files_has_the_bytes_of_all(tmp_path: Path):
    folder = write_dicom(tmp_path / "scan", simple(300, 200), 0.25)
    (tmp_path / "b.mrxs").write_bytes(b"12")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/Data0001.dat").write_bytes(b"12345")
    assert source_bytes(folder) == sum(path.stat().st_size for path in folder.iterdir())
    assert source_bytes(tmp_path / "b.mrxs") == 7
    assert source_bytes(tmp_path / "none.svs") is None


def test_png_as_a_slide(tmp_path: Path):
    image = simple(120, 90)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    with open_slide(tmp_path / "a.png") as slide:
        assert np.array_equal(slide.read(0, 5, 6, 70, 60), image[6:66, 5:75])
        assert len(slide.levels) == 1


@pytest.mark.parametrize("kind", ["rgba", "16 bits", "grey", "palette", "webp"])
def test_what_is_transparent_in_an_image_is_white(tmp_path: Path, kind: str):
    path = tmp_path / ("a.webp" if kind == "webp" else "a.png")
    colour = (128, 128, 128) if kind == "grey" else (180, 60, 200)
    image = Image.new("RGBA", (40, 30), (0, 0, 0, 0))  # black, were it to be seen
    image.paste((*colour, 255), (10, 10, 30, 20))
    if kind == "16 bits":
        wide = np.asarray(image).astype(np.uint16)[..., [2, 1, 0, 3]] * 257
        cv2.imwrite(str(path), wide)
    elif kind == "palette":
        palette = Image.new("P", (40, 30), 0)
        palette.putpalette([0, 0, 0, *colour])
        palette.paste(1, (10, 10, 30, 20))
        palette.save(path, transparency=0)
    else:
        (image.convert("LA") if kind == "grey" else image).save(path, lossless=True)
    with open_slide(path) as slide:
        assert slide.read(0, 0, 0, 1, 1).tolist() == [[[255, 255, 255]]]
        assert slide.read(0, 15, 15, 1, 1).tolist() == [[list(colour)]]


def test_half_transparent_is_half_white_and_an_opaque_image_is_as_it_is(tmp_path: Path):
    half = np.full((8, 8, 4), (0, 100, 200, 102), np.uint8)  # alpha 0.4
    cv2.imwrite(str(tmp_path / "half.png"), half)
    with open_slide(tmp_path / "half.png") as slide:
        assert slide.read(0, 0, 0, 1, 1).tolist() == [[[233, 193, 153]]]
    image = simple(120, 90)
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([image[..., ::-1], np.full(image.shape[:2], 255, np.uint8)]))
    with open_slide(tmp_path / "a.png") as slide:
        assert np.array_equal(slide.read(0, 0, 0, 120, 90), image)


def focal_planes(path: Path, place: slice) -> None:
    """Two pages of one size, the second out of focus, with tissue at ``place`` and bare glass elsewhere."""
    first = np.full((2048, 2048, 3), 255, np.uint8)
    first[place, place] = np.random.default_rng(0).integers(60, 220, first[place, place].shape)
    with tifffile.TiffWriter(path) as tiff:
        for page in (first, cv2.blur(first, (9, 9))):
            options = {"tile": (256, 256), "compression": "jpeg", "photometric": "rgb", "metadata": None}
            tiff.write(page, resolution=(40000, 40000), resolutionunit=3, **options)


@pytest.mark.parametrize("place", [slice(100, 300), slice(900, 1300)])
def test_of_focal_planes_the_one_is_read_that_openslide_shows(tmp_path: Path, place: slice):
    focal_planes(tmp_path / "a.tif", place)
    with open_slide(tmp_path / "a.tif") as slide:
        source = OpenSlideSource(tmp_path / "a.tif")
        region = 0, place.start, place.start, 150, 150
        assert np.array_equal(slide.read(*region), source._read_openslide(*region))
        assert slide.read(*region).std() > 30
        source.close()


def test_a_tile_of_one_colour_is_no_proof_that_readers_agree(tmp_path: Path):
    image = np.full((2048, 2048, 3), 255, np.uint8)
    path = write_svs(tmp_path / "glass.svs", image, downsamples=(1,))
    glass = OpenSlideSource(path)
    assert glass._tiles == {}
    glass.close()
    image[1230:1500, 1230:1500] = simple(270, 270)  # at 0.6 alone
    some = OpenSlideSource(write_svs(tmp_path / "some.svs", image, downsamples=(1,)))
    assert list(some._tiles) == [0]
    some.close()


@pytest.mark.parametrize("axes", ["ZYX", "TYX"])
def test_three_focal_planes_or_times_are_no_colours(tmp_path: Path, axes: str):
    path = tmp_path / "a.ome.tif"
    planes = np.stack([np.full((256, 256), value, np.uint8) for value in (10, 120, 240)])
    tifffile.imwrite(path, planes, ome=True, metadata={"axes": axes}, photometric="minisblack", tile=(128, 128))
    with pytest.raises(SlideError, match=f"{axes} .* neither one image nor one a colour"):
        open_slide(path)


@pytest.mark.parametrize(("content", "message"), [(b"", "0 bytes"), (b"II*\0rubbish", "cannot be opened")])
def test_what_is_no_slide(tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "a.svs"
    path.write_bytes(content)
    with pytest.raises(SlideError, match=message):
        open_slide(path)


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(SlideError, match=r"slides\.tsv"):
        open_slide(tmp_path / "no.svs")


@real_slide
def test_a_truncated_slide(tmp_path: Path):
    path = tmp_path / "cut.svs"
    path.write_bytes(REAL_SLIDE.read_bytes()[:500_000])
    with pytest.raises(SlideError, match="is the file complete"):
        open_slide(path)


def test_a_truncated_slide_whose_first_level_is_whole(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(600, 500), downsamples=(1, 4))
    with tifffile.TiffFile(path) as tiff:
        second = tiff.pages[1].aspage().offset
    path.write_bytes(path.read_bytes()[: second - 10])
    with pytest.raises(SlideError, match="the file is cut off"):
        open_slide(path)


def test_transparent_is_white():
    bgra = np.array([[[0, 0, 0, 0], [10, 20, 30, 255], [50, 40, 30, 100]]], np.uint8)  # premultiplied
    assert on_white(bgra).tolist() == [[[255, 255, 255], [30, 20, 10], [185, 195, 205]]]


def test_enlarging_keeps_the_colour():
    image = np.full((3, 3, 3), 77, np.uint8)
    assert (resample(image, 8, 8) == 77).all()


def test_the_cache_forgets_the_oldest():
    cache = TileCache(250)
    tiles = {key: np.full((10, 10), key, np.uint8) for key in (1, 2, 3)}
    for key in (1, 2):
        cache.put(key, tiles[key])
    assert cache.get(1) is tiles[1]
    cache.put(3, tiles[3])
    assert cache.get(2) is None
    assert cache.get(1) is tiles[1]
    assert cache.get(3) is tiles[3]
