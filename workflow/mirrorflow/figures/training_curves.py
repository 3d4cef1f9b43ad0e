"""Pretraining's loss terms by epoch: every fold and seed a thin line, their mean a thick one."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mirrorflow.figures.style import BLACK, BLUE, light_grid, new_figure, styled

MEASURES = ("epoch", "learning_rate", "samples_per_second", "seconds", "waited_seconds", "peak_memory_mb")
"""Columns of history.csv that say how training went, not what it minimised."""
TITLES = {
    "total": "Total (weighted sum)",
    "evaluation_total": "Total on evaluation patients",
    "alignment": "Alignment",
    "slide_retention": "Slide retention",
    "rna_retention": "RNA retention",
    "style": "Style",
    "cluster": "Cluster",
    "tau": "tau (scale of the logits)",
}
PANELS_A_ROW = 4


def curve_names(histories: Sequence[pd.DataFrame]) -> list[str]:
    """Columns to draw, in the order they are stored: the loss terms and tau, where any value is defined."""
    names = dict.fromkeys(name for history in histories for name in map(str, history) if name not in MEASURES)
    return [name for name in names if any(h[name].notna().any() for h in histories if name in h)]


@styled
def draw_training_curves(histories: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Small multiples, a loss term each. ``histories``: label of the fold and seed -> history.csv's rows."""
    frames = list(histories.values())
    names = curve_names(frames)
    rows = -(-len(names) // PANELS_A_ROW)
    figure = new_figure(10.0, 0.5 + 1.9 * rows)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    panels = figure.subplots(rows, PANELS_A_ROW, sharex=True, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        _draw_panel(axes, [frame for frame in frames if name in frame], name)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    for axes in panels[max(0, len(names) - PANELS_A_ROW) : len(names)]:
        axes.set_xlabel("Epoch")
        axes.tick_params(axis="x", labelbottom=True)
    return figure


def _draw_panel(axes: Axes, frames: Sequence[pd.DataFrame], name: str) -> None:
    for frame in frames:
        axes.plot(frame["epoch"], frame[name], color=BLUE, alpha=0.45, linewidth=0.9, marker=_marker(frame))
    mean = pd.concat(frames).groupby("epoch")[name].mean()
    axes.plot(mean.index, mean.to_numpy(), color=BLACK, linewidth=1.6, marker=_marker(frames[0]))
    axes.set_title(TITLES.get(name, name.replace("_", " ")))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.margins(x=0.03)
    light_grid(axes, "y")


def _marker(frame: pd.DataFrame) -> str:
    """A line needs two points; a single epoch is a dot."""
    return "." if len(frame) == 1 else ""


def last_values(histories: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Mean over folds and seeds of every loss term after the last epoch."""
    frames = list(histories.values())
    return {
        name: float(np.mean([frame[name].iloc[-1] for frame in frames if name in frame]))
        for name in curve_names(frames)
    }
