"""Forest plot: mean and interval of every method, protocols side by side, published values hollow or crossed out."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mirrorflow.figures.style import BLACK, GREY, LIGHT, PALETTE, light_grid, new_figure, shorten, styled
from mirrorflow.tables.main import TITLES

MARKERS = ("o", "s", "^", "v", "P", "X", "p")
PUBLISHED: dict[str, dict[str, Any]] = {
    "published": {"marker": "D", "markerfacecolor": "white", "markersize": 5, "linestyle": ""},
    "published, suspect": {"marker": "x", "markeredgewidth": 1.5, "markersize": 5, "linestyle": ""},
}
"""How published values are drawn, by what the legend calls them."""
CHANCE = {"c_index": 0.5, "auroc": 0.5}
"""Metrics whose value by chance does not depend on the cohort (for accuracy see the row `majority`)."""


@styled
def draw_forest(
    results: pd.DataFrame, metrics: Sequence[str], methods: Sequence[str], titles: Mapping[str, str]
) -> Figure:
    """Rows of results.csv of one cohort and task: a column of panels per protocol, a row per metric.

    ``methods`` gives their order; ``titles`` maps them to their labels. A line on the vertical axis is a method
    with an encoder; settings (all, k-shot) differ in colour and marker. ``suspect`` is text, empty where a published
    value is not.
    """
    lines = _lines(results, methods)
    protocols = list(dict.fromkeys(results["protocol"]))
    settings = list(dict.fromkeys(results["setting"]))
    height = 1.1 + len(metrics) * (0.7 + 0.3 * len(lines) * max(1.0, 0.62 * len(settings)))
    figure = new_figure(max(5.8, 2.6 + 2.7 * len(protocols)), height)
    grid = figure.subplots(len(metrics), len(protocols), sharey=True, sharex="row", squeeze=False)
    for row, metric in enumerate(metrics):
        for column, protocol in enumerate(protocols):
            cells = results[(results["metric"] == metric) & (results["protocol"] == protocol)]
            _draw_panel(grid[row, column], cells, lines, settings, metric)
            grid[row, column].set_title(f"{TITLES.get(metric, metric)} · {shorten(protocol, 30)}")
    _label_lines(grid[0, 0], lines, titles)
    kinds = {_kind(cell) for cell in results[results["published_mean"].notna()].to_dict("records")}
    figure.legend(handles=_legend(settings, kinds), loc="outside lower left", ncols=4)
    return figure


def _lines(results: pd.DataFrame, methods: Sequence[str]) -> list[tuple[str, str]]:
    """(method, encoder) from top to bottom: in the order of the methods, then of the encoders."""
    pairs = set(zip(results["method"], results["encoder"], strict=True))
    order = {name: number for number, name in enumerate(methods)}
    return sorted(pairs, key=lambda pair: (order.get(pair[0], len(order)), pair))


def _draw_panel(
    axes: Axes, cells: pd.DataFrame, lines: Sequence[tuple[str, str]], settings: Sequence[str], metric: str
) -> None:
    place = {line: -number for number, line in enumerate(lines)}
    for number, setting in enumerate(settings):
        shift = (0.5 - (number + 0.5) / len(settings)) * 0.7
        colour, marker = PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
        for cell in cells[cells["setting"] == setting].to_dict("records"):
            _draw_cell(axes, cell, place[(cell["method"], cell["encoder"])] + shift, colour, marker)
    if metric in CHANCE:
        axes.axvline(CHANCE[metric], color=GREY, linewidth=0.9, linestyle=":")
    for number in range(1, len(lines)):
        axes.axhline(0.5 - number, color=LIGHT, linewidth=0.6)
    axes.set_ylim(-len(lines) + 0.5, 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    light_grid(axes, "x")


def _draw_cell(axes: Axes, cell: Mapping[Hashable, Any], y: float, colour: str, marker: str) -> None:
    """An undefined mean leaves its place empty."""
    mean, low, high, published = (float(cell[key]) for key in ("mean", "ci_low", "ci_high", "published_mean"))
    if np.isfinite(low) and np.isfinite(high):
        axes.plot([low, high], [y, y], color=colour, linewidth=1.5, solid_capstyle="butt")
    if np.isfinite(mean):
        axes.plot([mean], [y], marker=marker, color=colour, markersize=5, linestyle="")
    if np.isfinite(published):
        axes.plot([published], [y], color=colour, **PUBLISHED[_kind(cell)])


def _kind(cell: Mapping[Hashable, Any]) -> str:
    return "published, suspect" if cell["suspect"] else "published"


def _label_lines(axes: Axes, lines: Sequence[tuple[str, str]], titles: Mapping[str, str]) -> None:
    several = len({encoder for _, encoder in lines} - {"none"}) > 1
    labels = [
        shorten(titles.get(method, method)) + (f"\n{shorten(encoder)}" if several and encoder != "none" else "")
        for method, encoder in lines
    ]
    axes.set_yticks([-float(number) for number in range(len(lines))], labels)


def _legend(settings: Sequence[str], published: Collection[str]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=PALETTE[n % len(PALETTE)], marker=MARKERS[n % len(MARKERS)], markersize=5, label=name)
        for n, name in enumerate(settings)
    ]
    shown = [(kind, style) for kind, style in PUBLISHED.items() if kind in published]
    return handles + [Line2D([], [], color=BLACK, label=kind, **style) for kind, style in shown]
