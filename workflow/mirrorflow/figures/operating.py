"""A classifier at every threshold: ROC, precision by recall, confusion matrix, reliability, side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mirrorflow.evaluation.bands import Band
from mirrorflow.evaluation.operating import Operating, Reliability
from mirrorflow.figures.style import BLUE, GREY, PALETTE, fixed_figure, light_grid, shorten, styled

LINES = ("-", (0, (5, 1.5)), (0, (2, 1.2)), (0, (7, 1.5, 1.5, 1.5)), (0, (1, 1)))
MARGINS = {"left": 0.075, "right": 0.98, "top": 0.915, "bottom": 0.07, "wspace": 0.2, "hspace": 0.3}
DARK = 0.6
"""Cells of a larger share than this have white letters."""


@styled
def draw_operating(found: Operating, title: str) -> Figure:
    """Four panels; classes differ in colour and line. Text sizes are those of a page's width."""
    figure = fixed_figure(8.6, 7.2)
    (roc, precision), (matrix, reliability) = figure.subplots(2, 2, gridspec_kw=MARGINS)
    figure.suptitle(title, x=0.012, y=0.985, ha="left", fontsize=10)
    looks = {name: (PALETTE[i % len(PALETTE)], LINES[i % len(LINES)]) for i, name in enumerate(found.classes)}
    _draw_bands(roc, found.roc, looks)
    roc.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    _finish(roc, "ROC", "False positive rate", "True positive rate")
    roc.legend(loc="lower right")
    _draw_bands(precision, found.precision, looks)
    for name, share in found.shares.items():
        precision.axhline(share, color=looks[name][0], linewidth=0.8, linestyle=":")
    _finish(precision, "Precision by recall", "Recall", "Precision")
    precision.legend(loc="lower left")
    _draw_matrix(matrix, found.confusion, found.classes)
    _draw_reliability(reliability, found.reliability)
    return figure


def _draw_bands(axes: Axes, bands: Mapping[str, Band], looks: Mapping[str, tuple]) -> None:
    for name, one in bands.items():
        colour, line = looks[name]
        axes.plot(one.where, one.mean, color=colour, linestyle=line, linewidth=1.6, label=shorten(name, 24))
        axes.fill_between(one.where, one.low, one.high, color=colour, alpha=0.14, linewidth=0)


def _finish(axes: Axes, title: str, across: str, up: str) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=across, ylabel=up, title=title)
    light_grid(axes, "both")


def _draw_matrix(axes: Axes, counts: np.ndarray, classes: Sequence[str]) -> None:
    total = counts.sum(1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        text = f"{_count(float(counts[row, column]))}\n{shares[row, column]:.0%}"
        colour = "white" if shares[row, column] > DARK else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8.5)
    names = [shorten(name, 16) for name in classes]
    axes.set_xticks(range(len(classes)), names)
    axes.set_yticks(range(len(classes)), names, rotation=90, va="center")
    axes.set(title="Confusion: units, share of the true class", xlabel="Predicted", ylabel="True")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _count(value: float) -> str:
    """A whole number, or with one digit where seeds are averaged."""
    return f"{value:.0f}" if abs(value - round(value)) < 1e-9 else f"{value:.1f}"


def _draw_reliability(axes: Axes, found: Reliability) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    axes.vlines(found.said, found.low, found.high, color=BLUE, linewidth=1)
    axes.plot(found.said, found.right, color=BLUE, linewidth=0.8)
    axes.scatter(found.said, found.right, s=10 + 120 * found.units / found.units.sum(), color=BLUE, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="Probability of the predicted class", ylabel="Share that is right")
    axes.set_title("Reliability")
    light_grid(axes, "both")
