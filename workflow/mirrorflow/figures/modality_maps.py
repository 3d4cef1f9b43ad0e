"""UMAP of slide and RNA vectors, a panel a method: all points of a panel are fitted together, and nothing is measured.

McInnes, Healy & Melville 2018, "UMAP". A fit follows from its seed and the order of its rows.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mirrorflow.errors import InputError
from mirrorflow.figures.style import GREY, PALETTE, new_figure, shorten, styled

ACROSS = 3
"""Panels in a row."""
MARKS = {"slide": "o", "RNA": "^"}
FEWEST = 4
"""Points that UMAP can place."""


def placed(vectors: np.ndarray, neighbors: int, seed: int) -> np.ndarray:
    """Places [vector, 2] of ``vectors`` [vector, value]; n_neighbors is cut to the other points there are.

    Raises InputError for fewer than 4, for NaN, and where all are the same.
    """
    if len(vectors) < FEWEST:
        message = f"{len(vectors)} vectors: UMAP places {FEWEST} at least"
        raise InputError(message)
    if not np.isfinite(vectors).all():
        message = "a vector holds NaN or infinity; embed again"
        raise InputError(message)
    if np.ptp(vectors, axis=0).max() <= 1e-12:
        message = f"all {len(vectors)} vectors are the same: there is no map of them"
        raise InputError(message)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # of its form for Tensorflow, which nobody asks for
        import umap

    made = umap.UMAP(n_neighbors=min(neighbors, len(vectors) - 1), random_state=seed, n_jobs=1)
    return made.fit_transform(np.asarray(vectors, np.float32))


@dataclass(frozen=True)
class MapPanel:
    """A method's map: places [point, 2], and of each point its modality and its group."""

    title: str
    places: np.ndarray
    modality: Sequence[str]
    group: Sequence[str]


@styled
def draw_modality_maps(panels: Sequence[MapPanel], title: str) -> Figure:
    """Panels side by side, ACROSS in a row; groups are told by colour, modalities by mark."""
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = new_figure(0.6 + 3.1 * across, 1.1 + 3.0 * down)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    groups = sorted({group for panel in panels for group in panel.group})
    colours = {group: PALETTE[number % len(PALETTE)] for number, group in enumerate(groups)}
    grid = figure.subplots(down, across, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        _draw(axes, panel, colours)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    handles = [_mark(colour, "s", group) for group, colour in colours.items()]
    handles += [_mark(GREY, mark, name) for name, mark in MARKS.items()]
    figure.legend(handles=handles, loc="outside lower left", ncols=min(6, len(handles)), fontsize=8)
    return figure


def _mark(colour: str, mark: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, marker=mark, linestyle="none", markersize=5, label=shorten(label, 24))


def _draw(axes: Axes, panel: MapPanel, colours: Mapping[str, str]) -> None:
    modality, group = np.array(panel.modality), np.array(panel.group)
    for name, mark in MARKS.items():
        for one, colour in colours.items():
            places = panel.places[(modality == name) & (group == one)]
            axes.scatter(places[:, 0], places[:, 1], s=17, color=colour, marker=mark, linewidths=0, alpha=0.8)
    axes.set_title(shorten(panel.title, 34), fontsize=8.5)
    axes.set_xticks([])
    axes.set_yticks([])
