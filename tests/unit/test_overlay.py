"""Thumbnails with tissue and patches."""

import numpy as np

from mirrorflow.slides.overlay import GRID, OUTLINE, draw_overlay


def test_outline_and_grid_are_where_they_belong():
    view = np.full((100, 200, 3), 255, np.uint8)
    mask = np.zeros((100, 200), bool)
    mask[20:60, 100:180] = True
    picture = draw_overlay(view, mask, np.array([[0, 400]]), 400.0, 2000)  # a view pixel is 10 of level 0
    assert picture.shape == view.shape
    assert tuple(picture[20, 140]) == OUTLINE
    assert tuple(picture[40, 140]) == (255, 255, 255)
    corner = picture[40, 0].astype(int)
    assert np.abs(corner - (np.array(GRID) * 0.6 + 255 * 0.4)).max() <= 1
    assert tuple(picture[79, 100]) == (255, 255, 255)


def test_large_views_are_shrunk_and_tiny_ones_left():
    mask, corners = np.ones((900, 1600), bool), np.empty((0, 2), np.int64)
    assert draw_overlay(np.zeros((900, 1600, 3), np.uint8), mask, corners, 5.0, 9999).shape == (225, 400, 3)
    assert draw_overlay(np.zeros((1, 1, 3), np.uint8), mask[:1, :1], corners, 5.0, 1).shape == (1, 1, 3)
