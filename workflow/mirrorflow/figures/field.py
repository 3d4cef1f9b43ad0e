"""The field as a picture: each method's difference to one, and how often it is at each rank."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mirrorflow.figures.style import BLACK, BLUE, GREY, LIGHT, light_grid, new_figure, shorten, styled


@styled
def draw_field(rows: pd.DataFrame, reference: str, titles: Mapping[str, str]) -> Figure:
    """Rows of survival_field.csv over all cohorts, of one protocol and encoder; best mean on top.

    Left: mean and difference's interval (columns difference, difference_low, difference_high); the reference is the
    line at 0. Right: share of resamples at each rank (rank_shares), darker where it is more.
    """
    rows = rows.sort_values("mean", ascending=False, kind="stable")
    names = [titles.get(name, name) for name in rows["method"]]
    figure = new_figure(8.4, 1.4 + 0.28 * len(rows))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    places = -np.arange(len(rows), dtype=float)
    for place, (_, row) in zip(places, rows.iterrows(), strict=True):
        itself = row["method"] == reference
        value = 0.0 if itself else row["difference"]
        colour = BLACK if itself else BLUE
        if np.isfinite(row["difference_low"]):
            left.plot([row["difference_low"], row["difference_high"]], [place, place], color=colour, linewidth=1.5)
        if np.isfinite(value):
            left.plot([value], [place], "D" if itself else "o", color=colour, markersize=5)
        left.annotate(f"{row['mean']:.3f}", (1.0, place), xycoords=("axes fraction", "data"), va="center", color=GREY)
    left.axvline(0.0, color=GREY, linewidth=0.9, linestyle=":")
    left.set_yticks(places, [shorten(name, 30) for name in names])
    left.set_xlabel(f"C-index less that of {titles.get(reference, reference)}, mean of the cohorts")
    light_grid(left, "x")
    shares = np.array([[float(one) for one in text.split()] for text in rows["rank_shares"]])
    right.imshow(
        shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto", extent=(0.5, len(rows) + 0.5, 0.5 - len(rows), 0.5)
    )
    for number in range(1, len(rows)):
        right.axhline(0.5 - number, color=LIGHT, linewidth=0.6)
    right.set_xlabel("rank (share of resamples)")
    right.set_xticks(range(1, len(rows) + 1))
    return figure
