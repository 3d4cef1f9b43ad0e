"""How many patients and slides are left after each step of building the cohort."""

import pandas as pd
from matplotlib.figure import Figure

from mirrorflow.figures.style import BLACK, BLUE, SKY, new_figure, shorten, styled


@styled
def draw_cohort_flow(flow: pd.DataFrame, title: str) -> Figure:
    """Bars from top to bottom. ``flow``: step, patients, slides, in order."""
    figure = new_figure(7.4, 0.7 + 0.42 * len(flow))
    axes = figure.subplots()
    for row, step in enumerate(flow.to_dict("records")):
        # the tasks' lines are parts of the one before, not further losses
        part = str(step["step"]).startswith("of these")
        axes.barh(-row, step["patients"], color=SKY if part else BLUE, height=0.62)
        text = f" {step['patients']} patients, {step['slides']} slides"
        axes.text(step["patients"], -row, text, va="center", ha="left", fontsize=8.5, color=BLACK)
    axes.set_yticks([-float(row) for row in range(len(flow))], [shorten(str(s), 48) for s in flow["step"]])
    axes.set_xlim(0, max(1.0, float(flow["patients"].max())) * 1.75)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.set_title(title)
    return figure
