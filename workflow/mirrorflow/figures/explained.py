"""Pictures of an explained slide: maps of patches over the tissue, highest and lowest patches, deletion curves."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mirrorflow.figures.slide_maps import Tiles, scale_bar
from mirrorflow.figures.style import BLUE, GREY, LIGHT, VERMILLION, new_figure, styled

DPI = 160
"""Of the PNG: a pixel of the tissue's picture is a pixel of the file."""
LONGEST = 480
"""Pixels of the longer side of a map, at most."""
OVER = 0.65
"""Share of a map's colour over the tissue, which is grey there."""
MARGIN, HEAD, BAR, LABELS = 14, 62, 12, 86
"""Pixels around maps, above them, of a colour bar, of its labels."""


@dataclass(frozen=True)
class Backdrop:
    """The tissue: RGB [h, w, 3] of :attr:`Tiles.extent`, white where unknown; how many level-0 pixels one spans."""

    picture: np.ndarray
    spans: float

    def scale_said(self, mpp: float | None) -> str:
        """How much a pixel of the maps spans."""
        return f"{self.spans * mpp:.3g} µm" if mpp else f"{self.spans:.3g} level-0 pixels"


@dataclass(frozen=True)
class Layer:
    """Values [patch] of a map, its title, what its colour bar counts; ``signed``: colours are even around 0."""

    title: str
    label: str
    values: np.ndarray
    colours: str = "viridis"
    bounds: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def signed(cls, title: str, label: str, values: np.ndarray) -> "Layer":
        """Colours from -most to most, white at 0."""
        most = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
        return cls(title, label, values, "PuOr", (-most, most))


def canvas_of(tiles: Tiles) -> tuple[int, int, float]:
    """Height and width of the maps in pixels, and how many level-0 pixels one spans: of 1, 2 or 5 times a power of ten
    micrometres (level-0 pixels where the scale is unknown) the least that keeps the longer side within LONGEST.
    """
    left, right, bottom, top = tiles.extent
    unit = tiles.mpp or 1.0
    least = max(right - left, bottom - top) * unit / LONGEST
    power = 10.0 ** np.floor(np.log10(least))
    spans = next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9)) / unit
    return max(1, round((bottom - top) / spans)), max(1, round((right - left) / spans)), float(spans)


def painted(backdrop: np.ndarray, covering: np.ndarray, layer: Layer) -> np.ndarray:
    """The tissue [h, w, 3] in grey with the layer's colours over its patches; NaN stays grey. RGB uint8."""
    grey = backdrop.mean(2, keepdims=True).repeat(3, 2) * 0.5 + 127.5
    there = covering >= 0
    values = np.where(there, layer.values[covering], np.nan)
    colours = mpl.colormaps[layer.colours](Normalize(*layer.bounds)(values))[..., :3] * 255
    mixed = np.where(np.isfinite(values)[..., None], OVER * colours + (1 - OVER) * grey, grey)
    return mixed.round().astype(np.uint8)


@styled
def draw_layers(tiles: Tiles, backdrop: Backdrop, layers: Sequence[Layer], title: str) -> Figure:
    """The tissue, then a map a layer, side by side: a pixel of the tissue's picture is one of the PNG at DPI."""
    height, width = backdrop.picture.shape[:2]
    covering = tiles.covering_in((height, width))
    each = width + BAR + LABELS + MARGIN
    across, down = width + 2 * MARGIN + len(layers) * each, height + HEAD + 2 * MARGIN
    figure = Figure(figsize=(across / DPI, down / DPI), facecolor="white")
    figure.text(MARGIN / across, 1 - 8 / down, title, va="top", fontsize=8)

    def panel(left: float, width_px: float) -> Axes:
        return figure.add_axes((left / across, MARGIN / down, width_px / across, height / down))

    _show(panel(MARGIN, width), backdrop.picture, "tissue")
    _draw_bar(figure.axes[0], tiles, backdrop)
    for number, layer in enumerate(layers):
        left = 2 * MARGIN + width + number * each
        _show(panel(left, width), painted(backdrop.picture, covering, layer), layer.title)
        colours = ScalarMappable(Normalize(*layer.bounds), layer.colours)
        bar = figure.colorbar(colours, cax=panel(left + width + 4, BAR))
        bar.ax.tick_params(labelsize=5.5, pad=1, length=2)
        bar.set_label(layer.label, fontsize=5.5)
    return figure


def _show(axes: Axes, picture: np.ndarray, title: str) -> None:
    axes.imshow(picture, interpolation="none", aspect="auto")
    axes.set_title(title, fontsize=7, pad=3)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(LIGHT)


def _draw_bar(axes: Axes, tiles: Tiles, backdrop: Backdrop) -> None:
    length, label = scale_bar(tiles)
    height = len(backdrop.picture)
    axes.plot([8, 8 + length / backdrop.spans], [height - 10] * 2, color="black", linewidth=2, solid_capstyle="butt")
    axes.annotate(label, (8, height - 12), xytext=(0, 2), textcoords="offset points", fontsize=6)


@dataclass(frozen=True)
class Shown:
    """A patch of the strip: RGB [side, side, 3] and what stands below it."""

    picture: np.ndarray
    label: str


GAP, LINE = 8, 22
"""Pixels between the patches of a strip, and of the line of numbers above them."""


@styled
def draw_strip(highest: Sequence[Shown], lowest: Sequence[Shown], title: str) -> Figure:
    """Patches of highest weight above, of lowest below, a number over each; all one picture."""
    side = len(highest[0].picture)
    canvas = np.full((2 * (side + LINE + GAP), max(len(highest), len(lowest)) * (side + GAP), 3), 255, np.uint8)
    across, down = canvas.shape[1] + MARGIN + LINE, canvas.shape[0] + HEAD
    figure = Figure(figsize=(across / DPI, down / DPI), facecolor="white")
    figure.text(MARGIN / across, 1 - 8 / down, title, va="top", fontsize=8)
    axes = figure.add_axes((LINE / across, 0, canvas.shape[1] / across, canvas.shape[0] / down))
    axes.set_axis_off()
    for row, (name, patches) in enumerate({"highest": highest, "lowest": lowest}.items()):
        top = row * (side + LINE + GAP) + LINE
        axes.text(-4, top + side / 2, name, rotation=90, ha="right", va="center", fontsize=7)
        for column, patch in enumerate(patches):
            left = column * (side + GAP)
            canvas[top : top + side, left : left + side] = patch.picture
            axes.text(left, top - 4, patch.label, fontsize=6)
    axes.imshow(canvas, interpolation="none", aspect="auto")
    return figure


@styled
def draw_deletion(left_out: np.ndarray, ordered: np.ndarray, random: np.ndarray, answer: str, title: str) -> Figure:
    """Answers [step] with shares ``left_out`` of the patches gone: largest weight first, and random [order, step]."""
    figure = new_figure(4.6, 2.9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=8)
    axes = figure.subplots()
    share = left_out * 100
    if len(random):
        axes.fill_between(share, random.min(0), random.max(0), color=GREY, alpha=0.25, linewidth=0)
        axes.plot(
            share, random.mean(0), color=GREY, linestyle="--", label=f"random order (mean, range of {len(random)})"
        )
    axes.plot(share, ordered, color=VERMILLION, marker="o", markersize=3, label="largest weight first")
    axes.axhline(ordered[0], color=BLUE, linewidth=0.7, linestyle=":")
    axes.set_xlabel("% of the patches left out")
    axes.set_ylabel(answer)
    axes.legend(fontsize=7)
    return figure
