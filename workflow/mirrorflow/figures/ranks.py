"""Rank plot: the place of every method among the others in each evaluation fold, and the mean place."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mirrorflow.figures.style import BLUE, GREY, light_grid, new_figure, shorten, styled

Line = tuple[str, str]
"""Method and encoder."""


def fold_ranks(rows: pd.DataFrame) -> pd.DataFrame:
    """Ranks [line, fold] of the methods within each fold, 1 for the highest value, ties at their mean.

    ``rows`` of results.csv: one protocol, cohort, setting and metric (higher is better). The index is (method,
    encoder), by mean rank. Methods that lack a fold that others have are left out: their places would not compare.
    """
    values = {
        (row.method, row.encoder): [float(value) for value in str(row.by_fold).split()] for row in rows.itertuples()
    }
    folds = max((len(line) for line in values.values()), default=0)
    whole = {name: line for name, line in values.items() if len(line) == folds and not np.isnan(line).any()}
    if not whole:
        return pd.DataFrame()
    frame = pd.DataFrame(list(whole.values()), index=pd.MultiIndex.from_tuples(whole, names=["method", "encoder"]))
    ranks = frame.rank(ascending=False)
    return ranks.loc[ranks.mean(axis=1).sort_values(kind="stable").index]


@styled
def draw_ranks(by_protocol: Mapping[str, pd.DataFrame], titles: Mapping[str, str]) -> Figure:
    """A panel a protocol, from :func:`fold_ranks`: small marks the folds, large ones the means; best on top."""
    most = max(len(ranks) for ranks in by_protocol.values())
    figure = new_figure(max(5.0, 1.0 + 3.6 * len(by_protocol)), 1.1 + 0.32 * most)
    grid = figure.subplots(1, len(by_protocol), squeeze=False)[0]
    for axes, (protocol, ranks) in zip(grid, by_protocol.items(), strict=True):
        _draw_panel(axes, ranks, titles)
        axes.set_title(shorten(protocol, 30))
        axes.set_xlabel("Rank within a fold (1: best)")
    return figure


def _draw_panel(axes: Axes, ranks: pd.DataFrame, titles: Mapping[str, str]) -> None:
    places = -np.arange(len(ranks), dtype=float)
    for column in range(ranks.shape[1]):
        shift = 0.3 * (column / max(ranks.shape[1] - 1, 1) - 0.5)
        axes.plot(ranks.iloc[:, column], places + shift, "o", color=GREY, markersize=3, alpha=0.7)
    axes.plot(ranks.mean(axis=1), places, "D", color=BLUE, markersize=6)
    axes.set_yticks(places, _labels(list(ranks.index), titles))
    axes.set_xlim(0.5, len(ranks) + 0.5)
    axes.set_ylim(-len(ranks) + 0.4, 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    light_grid(axes, "x")


def _labels(lines: Sequence[Line], titles: Mapping[str, str]) -> list[str]:
    several = len({encoder for _, encoder in lines} - {"none"}) > 1
    return [
        shorten(titles.get(method, method)) + (f" · {shorten(encoder)}" if several and encoder != "none" else "")
        for method, encoder in lines
    ]
