"""Shares of genes as bars, with what folds have and models of no meaning give, and each gene's rank among all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from mirrorflow.figures.style import BLUE, GREY, VERMILLION, light_grid, new_figure, shorten, styled

MARKS = (("o", VERMILLION), ("x", GREY))


@dataclass(frozen=True)
class GeneBars:
    """Names [gene] with ranks among ``all_genes``; share, least and most over folds [gene]; nulls: kind -> share."""

    names: Sequence[str]
    ranks: Sequence[int]
    all_genes: int
    share: np.ndarray
    least: np.ndarray
    most: np.ndarray
    nulls: Mapping[str, np.ndarray]
    equal: float
    """What each gene of a fold would have, were all the same."""


@styled
def draw_gene_bars(found: GeneBars, title: str) -> Figure:
    """The first gene on top. Dotted: an equal share of a fold's genes."""
    figure = new_figure(6.4, 1.5 + 0.3 * len(found.names))
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    axes, places = figure.subplots(), -np.arange(len(found.names), dtype=float)
    share = found.share * 100
    axes.barh(places, share, height=0.62, color=BLUE, alpha=0.85)
    axes.hlines(places, found.least * 100, found.most * 100, color="black", linewidth=1)
    for (marker, colour), (kind, values) in zip(MARKS, found.nulls.items(), strict=False):
        axes.plot(values * 100, places, marker, color=colour, markersize=5, linestyle="none", label=kind)
    axes.axvline(100 * found.equal, color=GREY, linewidth=0.9, linestyle=":", label="an equal share")
    ends = np.max([share, found.most * 100, *(values * 100 for values in found.nulls.values())], axis=0)
    most = float(ends.max())
    for place, rank, end in zip(places, found.ranks, ends, strict=True):
        axes.text(end + 0.025 * most, place, f"rank {rank} of {found.all_genes}", va="center", fontsize=7.5)
    axes.set_xlim(0, most * 1.3)
    axes.set_yticks(places, [shorten(name, 28) for name in found.names])
    axes.set_xlabel("Share of the absolute attributions of all genes, % (line: folds)")
    figure.legend(loc="outside lower left", ncols=3, fontsize=7.5)
    light_grid(axes, "x")
    return figure
