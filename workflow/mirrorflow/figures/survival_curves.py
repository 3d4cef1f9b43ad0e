"""Survival of the predicted high- and low-risk groups, with bands and numbers at risk.

Kaplan-Meier curves; cumulative incidences where other deaths compete with the outcome.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mirrorflow.figures.cumulative_incidence import Incidence, estimate_incidence
from mirrorflow.figures.kaplan_meier import (
    HIGH,
    LOW,
    Curve,
    HazardRatio,
    estimate_curve,
    hazard_ratio,
    hazard_ratio_text,
    numbers_at_risk,
)
from mirrorflow.figures.style import BLUE, VERMILLION, light_grid, new_figure, styled
from mirrorflow.units import DAYS_PER_MONTH

LOOKS = {HIGH: (VERMILLION, "-"), LOW: (BLUE, (0, (5, 1.5)))}
YEARS_FROM_DAYS = 3 * 365.25
"""Follow-up longer than this is shown in years, shorter in months."""


@styled
def draw_survival_curves(
    groups: pd.DataFrame, title: str, endpoint: str = "", p_value: str = "", ratio: HazardRatio | None = None
) -> Figure:
    """Curves of ``groups`` (fold, time_days, event, group; see :func:`kaplan_meier.split_by_risk`).

    endpoint: what a cause-specific outcome is called: ``groups`` then have ``cause``
    (:func:`.cumulative_incidence.with_causes`), and the curves are its cumulative incidence, competing deaths dotted.
    p_value: what is said of a test (:func:`.kaplan_meier.beside_published`); nothing where none was published.
    ratio: the groups' hazard ratio, where it is known already.
    """
    figure = new_figure(5.4, 4.8)
    axes, table = figure.subplots(2, 1, height_ratios=[5, 1], sharex=True)
    longest = float(groups["time_days"].max())
    unit_days, unit = (365.25, "years") if longest > YEARS_FROM_DAYS else (DAYS_PER_MONTH, "months")
    for name in (HIGH, LOW):
        members = groups[groups["group"] == name]
        if not len(members):
            continue
        times = members["time_days"].to_numpy(float)
        if endpoint:
            _draw_incidence(axes, estimate_incidence(times, members["cause"].to_numpy(int)), name, unit_days)
        else:
            _draw_curve(axes, estimate_curve(times, members["event"].to_numpy(bool)), name, unit_days)
    _finish_curves(axes, title, longest / unit_days)
    axes.set_ylabel(f"Cumulative incidence, {endpoint}" if endpoint else "Share without event")
    handles, labels = axes.get_legend_handles_labels()
    handles, labels = (
        [*handles, Line2D([], [], linestyle="")],
        [*labels, hazard_ratio_text(ratio or hazard_ratio(groups))],
    )
    figure.legend(handles, labels, loc="outside lower left", title=p_value, alignment="left", title_fontsize=8.5)
    _write_numbers_at_risk(table, groups, axes.get_xticks(), longest, unit_days)
    table.set_xlabel(f"Time ({unit})")
    return figure


def _draw_curve(axes: Axes, curve: Curve, name: str, unit_days: float) -> None:
    colour, line = LOOKS[name]
    time = curve.time_days / unit_days
    label = f"{name} risk: {curve.patients} patients, {curve.events} events"
    axes.step(time, curve.survival, where="post", color=colour, linestyle=line, linewidth=1.6, label=label)
    axes.fill_between(time, curve.low, curve.high, step="post", color=colour, alpha=0.16, linewidth=0)


def _draw_incidence(axes: Axes, found: Incidence, name: str, unit_days: float) -> None:
    colour, line = LOOKS[name]
    time = found.time_days / unit_days
    label = f"{name} risk: {found.patients} patients, {found.events} events, {found.others} other deaths"
    axes.step(time, found.outcome, where="post", color=colour, linestyle=line, linewidth=1.6, label=label)
    axes.step(time, found.other, where="post", color=colour, linestyle=":", linewidth=1.0)
    axes.fill_between(time, found.low, found.high, step="post", color=colour, alpha=0.16, linewidth=0)


def _finish_curves(axes: Axes, title: str, longest: float) -> None:
    axes.set_title(title)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, longest * 1.02)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, min_n_ticks=3))
    light_grid(axes, "y")


def _write_numbers_at_risk(
    table: Axes, groups: pd.DataFrame, ticks: np.ndarray, longest: float, unit_days: float
) -> None:
    shown = np.array([tick for tick in ticks if 0 <= tick <= longest / unit_days])
    for row, name in enumerate((HIGH, LOW)):
        members = groups.loc[groups["group"] == name, "time_days"].to_numpy(float)
        for tick, count in zip(shown, numbers_at_risk(members, shown * unit_days), strict=True):
            table.text(tick, 1 - row, str(count), ha="center", va="center", fontsize=8.5, color=LOOKS[name][0])
    table.set_yticks([1, 0], ["high", "low"])
    table.set_ylim(-0.6, 1.6)
    table.set_title("At risk", fontsize=8.5)
    table.tick_params(axis="y", length=0, pad=12)
    table.spines["left"].set_visible(False)
