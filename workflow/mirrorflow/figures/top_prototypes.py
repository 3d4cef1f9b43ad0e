"""Which prototypes pathway tokens go to: the top ones of each pathway, and how many pathways each prototype has."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from mirrorflow.figures.style import BLUE, GREY, LIGHT, SKY, light_grid, new_figure, shorten, styled

TOP = 8
"""As in Figure 10 of TTA."""


def top_prototypes(weights: np.ndarray, pathways: list[str], top: int = TOP) -> pd.DataFrame:
    """Every pathway's weight to every prototype, as rows: pathway, prototype (from 1), weight, deviation, rank, top.

    weights [patient, pathway, prototype]; weight and deviation (ddof 1) are over patients. The rank is by weight, of
    equal ones the lower number first; ``top``: whether it is among the first ``top``.
    """
    mean = weights.mean(0)
    spread = weights.std(0, ddof=1) if len(weights) > 1 else np.full_like(mean, np.nan)
    order = np.argsort(-mean, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(mean.shape[1])[None].repeat(len(mean), 0), axis=1)
    return pd.DataFrame(
        {
            "pathway": np.repeat(pathways, mean.shape[1]),
            "prototype": np.tile(np.arange(1, mean.shape[1] + 1), len(mean)),
            "weight": mean.ravel(),
            "deviation": spread.ravel(),
            "rank": rank.ravel() + 1,
            "top": rank.ravel() < top,
        }
    )


def counts_of(table: pd.DataFrame) -> pd.DataFrame:
    """Of each prototype: ``top``, pathways that have it among their top ones, and ``first``, those that have it first.

    table: :func:`top_prototypes`. Indexed by prototype; one without a pathway has 0.
    """
    first = table.assign(first=table["rank"] == 1)
    return first.groupby("prototype")[["top", "first"]].sum().astype(int)


@styled
def draw_top_prototypes(table: pd.DataFrame, title: str) -> Figure:
    """Pathways down, prototypes across: the weight of each pathway's top ones, the others grey; below, their counts."""
    pathways = list(dict.fromkeys(table["pathway"]))
    counts = counts_of(table)
    figure = new_figure(3.6 + 0.22 * len(counts), 2.4 + 0.15 * len(pathways))
    heights = [0.15 * len(pathways) + 0.4, 1.3]
    upper, lower = figure.subplots(2, 1, height_ratios=heights, sharex=True)
    shown = table["weight"].where(table["top"]).to_numpy(float).reshape(len(pathways), -1)
    upper.set_facecolor(LIGHT)
    least, most = float(np.nanmin(shown)), float(np.nanmax(shown))
    scale = LogNorm(least, most) if 0 < least < most else None
    drawn = upper.imshow(shown, cmap="viridis", aspect="auto", interpolation="nearest", norm=scale)
    upper.set_yticks(range(len(pathways)), [shorten(name, 40) for name in pathways], fontsize=6.5)
    upper.tick_params(length=0)
    upper.set_title(title)
    label = "weight (log scale)" if scale else "weight"
    bar = figure.colorbar(drawn, ax=upper, label=label, shrink=min(1.0, 12 / len(pathways)), aspect=12)
    if scale:
        ticks = np.geomspace(least, most, 5)
        bar.set_ticks(list(ticks), labels=[f"{tick:.2g}" for tick in ticks])
        bar.minorticks_off()
    _draw_counts(lower, counts)
    figure.legend(*lower.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    return figure


def _draw_counts(axes: Axes, counts: pd.DataFrame) -> None:
    places = np.arange(len(counts))
    axes.bar(places, counts["top"], color=SKY, width=0.8, label="among the top")
    axes.bar(places, counts["first"], color=BLUE, width=0.4, label="first")
    axes.set_xticks(places, [str(name) for name in counts.index], fontsize=6)
    axes.set_xlabel("prototype")
    axes.set_ylabel("pathways", color=GREY)
    light_grid(axes, "y")
