"""How all figures look: palette, sizes, and the bytes of a finished figure."""

import io
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#E69F00",
    "#CC79A7",
    "#56B4E9",
    "#000000",
)
PALETTE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
"""Okabe and Ito's colours: told apart by colour-blind readers too; lines differ in style or marker as well."""

GREY = "#5f6b76"
LIGHT = "#d9dee3"

SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # no ticks are on top, so that nobody has to measure them at every draw
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "text.parse_math": False,  # names are shown as they are, a $ is a $
    "svg.fonttype": "path",
    "svg.hashsalt": "mirrorflow",  # equal figures are equal files
}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make ``draw`` work under our settings, whatever the user's matplotlibrc says, and leave no trace."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(SETTINGS)
            return draw(*args, **kwargs)

    return wrapper


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """An empty figure that lays itself out."""
    return Figure(figsize=(width_inches, height_inches), layout="constrained", facecolor="white")


def fixed_figure(width_inches: float, height_inches: float) -> Figure:
    """An empty figure whose margins are given with its panels: laying out takes as long as drawing."""
    return Figure(figsize=(width_inches, height_inches), facecolor="white")


SAVED: dict[Any, Any] = {key: SETTINGS[key] for key in ("svg.fonttype", "svg.hashsalt", "text.parse_math")}
SVG_DPI = 72
"""Of letters, where SVG lays them out."""


def to_svg(figure: Figure) -> bytes:
    """The figure as SVG: letters as outlines (the same everywhere), no date, so that equal figures are equal.

    How it is laid out stays for what is made of it next. It is found first: `savefig` draws a figure that lays itself
    out twice.
    """
    with mpl.rc_context(SAVED):
        if engine := figure.get_layout_engine():
            FigureCanvasSVG(figure)
            figure.set_dpi(SVG_DPI)
            engine.execute(figure)
        figure.set_layout_engine(None)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        return stream.getvalue()


def to_png(figure: Figure, dpi: int = 160) -> bytes:
    """The figure as PNG, for slides and messages."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None})
    return stream.getvalue()


def light_grid(axes: Axes, which: str) -> None:
    """Thin lines behind the data along ``which`` axis (x, y or both)."""
    axes.grid(visible=True, axis=which, color=LIGHT, linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def shorten(text: str, letters: int = 38) -> str:
    """``text``, cut in the middle where it is longer than ``letters``: both ends of a name tell it apart."""
    if len(text) <= letters:
        return text
    head = (letters - 1) // 2
    return f"{text[:head]}…{text[-(letters - 1 - head) :]}"
