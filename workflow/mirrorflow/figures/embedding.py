"""t-SNE of a few vectors: the perplexity they allow, where they are placed, and panels of points with names.

Nothing is measured on such a map: distances between groups, their sizes and their density mean nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mirrorflow.errors import InputError
from mirrorflow.figures.style import BLUE, GREY, VERMILLION, new_figure, styled

MOST = 30
"""scikit-learn's own perplexity."""
LOOKS = ((BLUE, "o"), (VERMILLION, "^"))
"""Colour and marker of the first and the second kind of points."""


def perplexity_of(points: int) -> int:
    """The largest whole perplexity below (points - 1) / 3, the bound of openTSNE and others; 30 at most.

    32 prototypes have 10. Raises InputError for fewer than 5 points: no perplexity is left.
    """
    found = min(MOST, -(-(points - 1) // 3) - 1)
    if found < 1:
        message = f"{points} vectors are too few for t-SNE: 5 at least, so that a perplexity is below (n - 1) / 3"
        raise InputError(message)
    return found


def placed(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Places [vector, 2] of ``vectors`` [vector, value] by exact t-SNE from PCA's; equal for equal seeds.

    Raises InputError for too few vectors, and where they are all the same.
    """
    from sklearn.manifold import TSNE

    perplexity = perplexity_of(len(vectors))
    if np.ptp(vectors, axis=0).max() <= 1e-12:
        message = f"all {len(vectors)} vectors are the same: there is no map of them"
        raise InputError(message)
    made = TSNE(perplexity=perplexity, init="pca", method="exact", random_state=seed)
    return made.fit_transform(np.asarray(vectors, np.float64))


@dataclass(frozen=True)
class Panel:
    """One map: points [point, 2], a kind each, and the names written beside them, if any."""

    title: str
    places: np.ndarray
    kinds: Sequence[str]
    names: Sequence[str] = ()


@styled
def draw_maps(panels: Sequence[Panel], title: str) -> Figure:
    """Maps side by side; kinds (two at most) are told by colour and marker, points by the names beside them."""
    figure = new_figure(4.4 * len(panels), 4.7)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    kinds = list(dict.fromkeys(kind for panel in panels for kind in panel.kinds))
    looks = dict(zip(kinds, LOOKS, strict=False))
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        _draw_panel(axes, panel, looks)
    if len(kinds) > 1:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=2)
    return figure


def _draw_panel(axes: Axes, panel: Panel, looks: Mapping[str, tuple[str, str]]) -> None:
    of_kind = np.array(panel.kinds)
    for kind, (colour, marker) in looks.items():
        places = panel.places[of_kind == kind]
        axes.scatter(places[:, 0], places[:, 1], s=26, color=colour, marker=marker, label=kind, linewidths=0)
    for (x, y), name in zip(panel.places, panel.names, strict=False):
        axes.annotate(name, (x, y), xytext=(3, 3), textcoords="offset points", fontsize=6.5, color=GREY)
    axes.set_title(panel.title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.08)
