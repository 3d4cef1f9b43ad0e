"""The low-resolution view: the same whatever level it comes from, and honest about damage."""

from pathlib import Path

import numpy as np
import pytest
from tests.slide_factory import corrupt_tile, simple, write_svs

from mirrorflow.slides import view as view_module
from mirrorflow.slides.reader import open_slide
from mirrorflow.slides.view import read_view


@pytest.mark.parametrize("downsamples", [(1,), (1, 4), (1, 2, 8)])
def test_levels_agree(tmp_path: Path, downsamples: tuple[int, ...]):
    image = simple(1024, 768)
    with open_slide(write_svs(tmp_path / "a.svs", image, downsamples=downsamples)) as slide:
        view = read_view(slide, 16.0)
    assert view.rgb.shape == (48, 64, 3)
    assert (view.scale_x, view.scale_y) == (16.0, 16.0)
    expected = image.reshape(48, 16, 64, 16, 3).mean(axis=(1, 3))
    assert np.abs(view.rgb - expected).max() < 14  # JPEG's coarse colour at the tissue's edge
    assert not view.unknown.any()


def test_blocks_make_no_seams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with open_slide(write_svs(tmp_path / "a.svs", simple(1000, 700), downsamples=(1,))) as slide:
        whole = read_view(slide, 7.3).rgb.astype(int)
        monkeypatch.setattr(view_module, "BLOCK", 128)
        assert np.abs(read_view(slide, 7.3).rgb - whole)[:, :60].max() < 40  # edges of tissue may shift a pixel
        assert np.abs(read_view(slide, 7.3).rgb - whole).mean() < 1.0


def test_damage_at_the_only_level_is_marked(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(1024, 768), downsamples=(1,))
    corrupt_tile(path, 5)
    with open_slide(path) as slide:
        view = read_view(slide, 16.0)
    expected = np.zeros((48, 64), bool)
    expected[16:32, 16:32] = True
    assert np.array_equal(view.unknown, expected)
    assert (view.rgb[expected] == 255).all()


def test_a_finer_level_stands_in(tmp_path: Path):
    path = write_svs(tmp_path / "a.svs", simple(2048, 2048), downsamples=(1, 4))
    with open_slide(path) as slide:
        whole = read_view(slide, 16.0).rgb
    corrupt_tile(path, 0, page=1)
    with open_slide(path) as slide:
        view = read_view(slide, 16.0)
    assert not view.unknown.any()
    assert np.abs(view.rgb.astype(int) - whole).max() < 12
