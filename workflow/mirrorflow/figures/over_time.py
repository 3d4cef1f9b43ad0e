"""Survival predictions by day: AUC, Brier score beside a curve that knows no patient, and promises beside deaths."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mirrorflow.evaluation.bands import Band
from mirrorflow.evaluation.over_time import GROUPS, OverTime, Promised
from mirrorflow.figures.kaplan_meier import estimate_curve
from mirrorflow.figures.style import BLUE, GREY, VERMILLION, fixed_figure, light_grid, styled
from mirrorflow.figures.survival_curves import YEARS_FROM_DAYS
from mirrorflow.units import DAYS_PER_MONTH


@styled
def draw_over_time(found: OverTime, title: str) -> Figure:
    """One panel, or three where the method has survival functions."""
    unit_days, unit = (365.25, "years") if found.auc.where[-1] > YEARS_FROM_DAYS else (DAYS_PER_MONTH, "months")
    panels = 3 if found.brier is not None else 1
    width = 3.6 * panels + 0.6
    figure = fixed_figure(width, 3.6)
    margins = {"left": 0.5 / width, "right": 1 - 0.15 / width, "top": 0.82, "bottom": 0.135, "wspace": 0.24}
    all_axes = np.atleast_1d(figure.subplots(1, panels, gridspec_kw=margins))
    figure.suptitle(title, x=0.1 / width, y=0.98, ha="left", fontsize=10)
    _draw_band(all_axes[0], found.auc, unit_days, BLUE, "-", "")
    all_axes[0].axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    _finish(all_axes[0], "Time-dependent AUC", f"Time ({unit})", (0, 1.02))
    if found.brier is None or found.of_everyone is None or found.promised is None:
        return figure
    _draw_band(all_axes[1], found.brier, unit_days, BLUE, "-", "this method")
    _draw_band(all_axes[1], found.of_everyone, unit_days, GREY, (0, (5, 1.5)), "Kaplan-Meier of training patients")
    _finish(all_axes[1], "Brier score (lower is better)", f"Time ({unit})", (0, None))
    all_axes[1].legend(loc="lower right")
    _draw_promised(all_axes[2], found.promised, f"{found.promised.day / unit_days:.1f} {unit}")
    return figure


def _draw_band(axes: Axes, one: Band, unit_days: float, colour: str, line: object, label: str) -> None:
    time = one.where / unit_days
    axes.plot(time, one.mean, color=colour, linestyle=line, linewidth=1.6, label=label)
    axes.fill_between(time, one.low, one.high, color=colour, alpha=0.14, linewidth=0)


def _finish(axes: Axes, title: str, across: str, limits: tuple[float, float | None]) -> None:
    axes.set(title=title, xlabel=across, ylim=limits)
    light_grid(axes, "both")


def _draw_promised(axes: Axes, found: Promised, when: str) -> None:
    groups = found.groups()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    for number in range(GROUPS):
        own = groups == number
        if not own.any():
            continue
        curve = estimate_curve(found.time_days[own], found.event[own])
        at = int(np.searchsorted(curve.time_days, found.day, side="right")) - 1
        said = float(found.said[own].mean())
        axes.vlines(said, curve.low[at], curve.high[at], color=VERMILLION, linewidth=1)
        axes.scatter([said], [curve.survival[at]], s=28, color=VERMILLION, zorder=3)
    axes.set(xlim=(0, 1), xlabel=f"Predicted survival at {when}", ylabel="Kaplan-Meier survival then")
    _finish(axes, "Calibration by fifths", axes.get_xlabel(), (0, 1.02))
