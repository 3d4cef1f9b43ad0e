"""Maps of a slide's patches: which prototype each goes to most, how surely, and the share that one prototype has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mirrorflow.figures.style import GREY, LIGHT, PALETTE, new_figure, styled

NAMED = len(PALETTE)
"""Prototypes of a map that have a colour of their own; no reader tells 32 apart."""
COLOURS = "viridis"
"""Of shares: even steps for every kind of colour vision."""
PIXELS = 400
"""Of the longer side of a map."""


@dataclass(frozen=True)
class Tiles:
    """Where a slide's patches lie: upper left corners [patch, 2] and side, in level-0 pixels.

    width, height: of the slide, where known. mpp: micrometres a level-0 pixel, where known. thumbnail: RGB [h, w, 3] of
    the whole slide. inferred: whether the side is told from the corners, since no file says it.
    """

    corners: np.ndarray
    side: float
    width: float | None = None
    height: float | None = None
    mpp: float | None = None
    thumbnail: np.ndarray | None = None
    inferred: bool = False

    @property
    def side_said(self) -> str:
        """A sentence where the side is inferred; "" where it is known."""
        if not self.inferred:
            return ""
        return (
            f"The files do not say how large the patches are: {self.side:.0f} level-0 pixels is inferred, the step "
            "that most neighbours have (of overlapping patches less than their side)."
        )

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom, top of the maps: of the slide, or of the patches where its size is unknown."""
        if self.width and self.height:
            return 0.0, float(self.width), float(self.height), 0.0
        (left, top), (right, bottom) = self.corners.min(0), self.corners.max(0) + self.side
        return float(left), float(right), float(bottom), float(top)

    def covering(self, longest: int = PIXELS) -> np.ndarray:
        """Which patch covers each pixel of a picture of :attr:`extent`: [h, w], -1 where none does.

        A pixel belongs to the patch that its centre lies in, of overlapping ones to the later; a patch smaller than a
        pixel keeps the pixel of its corner.
        """
        left, right, bottom, top = self.extent
        scale = longest / max(right - left, bottom - top)
        return self.covering_in((max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale))))

    def covering_in(self, shape: tuple[int, int]) -> np.ndarray:
        """As :meth:`covering`, of a picture of this shape (h, w), which spans :attr:`extent`."""
        left, right, bottom, top = self.extent
        scale = np.array([shape[1] / (right - left), shape[0] / (bottom - top)])
        found = np.full(shape, -1)
        first = (self.corners - (left, top)) * scale
        from_, to = np.ceil(first - 0.5).astype(int), np.ceil(first + self.side * scale - 0.5).astype(int)
        from_ = np.clip(from_, 0, (shape[1] - 1, shape[0] - 1))
        for number, ((x, y), (x_end, y_end)) in enumerate(zip(from_, np.maximum(to, from_ + 1), strict=True)):
            found[y:y_end, x:x_end] = number
        return found


def assigned(shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Prototype with the largest share of each patch (from 0) and that share, rows made to add up to 1.

    shares [patch, prototype]. A patch without any mass has -1 and NaN.
    """
    total = shares.sum(1)
    there = total > 1e-9
    parts = shares / np.where(there, total, 1.0)[:, None]
    return np.where(there, parts.argmax(1), -1), np.where(there, parts.max(1), np.nan)


def most_frequent(assignments: Sequence[np.ndarray], count: int = NAMED) -> list[int]:
    """The ``count`` prototypes that most patches of all ``assignments`` go to, most patches first."""
    together = np.concatenate(list(assignments))
    numbers, patches = np.unique(together[together >= 0], return_counts=True)
    return [int(number) for number in numbers[np.lexsort((numbers, -patches))][:count]]


@styled
def draw_assignment(tiles: Tiles, shares: Mapping[str, np.ndarray], title: str) -> Figure:
    """The stored thumbnail, then for each kind of ``shares`` (name -> [patch, prototype]) two maps: the prototype with
    the largest share, and that share.
    """
    found = {name: assigned(each) for name, each in shares.items()}
    named, covering = most_frequent([each for each, _ in found.values()]), tiles.covering()
    wide = 1 if tiles.thumbnail is None else 2
    figure = new_figure(3.2 * (1 + wide), 3.1 * len(found) * _aspect(tiles) + 1.3)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    rows = figure.subplots(len(found), 1 + wide, squeeze=False)
    for row, (name, (prototypes, largest)) in zip(rows, found.items(), strict=True):
        _draw_prototypes(row[-2], tiles, covering, prototypes, named)
        row[-2].set_title(f"{name}: prototype")
        _draw_values(figure, row[-1], tiles, covering, largest, (1 / shares[name].shape[1], None))
        row[-1].set_title(f"{name}: its share")
    if tiles.thumbnail is not None:
        _draw_thumbnails([row[0] for row in rows], tiles)
    handles = [Patch(color=colour, label=str(one + 1)) for one, colour in zip(named, PALETTE, strict=False)]
    figure.legend(handles=[*handles, Patch(color=GREY, label="another")], loc="outside lower left", ncols=8)
    return figure


@styled
def draw_single_maps(tiles: Tiles, shares: np.ndarray, title: str) -> Figure:
    """A map for each prototype: its share [patch, prototype] of every patch, all on one scale; a bar on the first."""
    count, covering = shares.shape[1], tiles.covering(160)
    across = min(8, count)
    down = -(-count // across)
    figure = new_figure(1.25 * across + 0.8, (1.25 * _aspect(tiles) + 0.2) * down + 0.5)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    panels = figure.subplots(down, across, squeeze=False)
    drawn = None
    for number, axes in enumerate(panels.ravel()):
        axes.set_axis_off()
        if number < count:
            values, most = _values(covering, shares[:, number]), float(shares.max())
            drawn = axes.imshow(values, cmap=COLOURS, vmin=0, vmax=most, extent=tiles.extent)
            axes.set_title(str(number + 1), fontsize=7.5, pad=2)
    _draw_bar(panels[0, 0], tiles)
    if drawn is not None:
        figure.colorbar(drawn, ax=panels, label="share of the patch", shrink=0.6, aspect=30)
    return figure


def _aspect(tiles: Tiles) -> float:
    left, right, bottom, top = tiles.extent
    return float(np.clip((bottom - top) / (right - left), 0.3, 2.0))


def _values(covering: np.ndarray, values: np.ndarray) -> np.ndarray:
    """``values`` [patch] as a picture, NaN where no patch lies."""
    return np.where(covering >= 0, values[covering], np.nan)


def _draw_values(
    figure: Figure,
    axes: Axes,
    tiles: Tiles,
    covering: np.ndarray,
    values: np.ndarray,
    bounds: tuple[float, float | None],
) -> None:
    drawn = axes.imshow(
        _values(covering, values), cmap=COLOURS, vmin=bounds[0], vmax=bounds[1], extent=tiles.extent,
        interpolation="nearest",
    )  # fmt: skip
    _finish(axes, tiles)
    figure.colorbar(drawn, ax=axes, shrink=0.7, aspect=14)


def _draw_prototypes(
    axes: Axes, tiles: Tiles, covering: np.ndarray, prototypes: np.ndarray, named: Sequence[int]
) -> None:
    """Colours of the named ones, grey for the others, white where no patch is or one without mass."""
    place = {one: number for number, one in enumerate(named)}
    codes = np.array([place.get(int(one), NAMED) if one >= 0 else np.nan for one in prototypes])
    colours = ListedColormap([*PALETTE, GREY])
    picture = _values(covering, codes)
    axes.imshow(picture, cmap=colours, vmin=-0.5, vmax=NAMED + 0.5, extent=tiles.extent, interpolation="nearest")
    _finish(axes, tiles)


def _draw_thumbnails(panels: Sequence[Axes], tiles: Tiles) -> None:
    first, *others = panels
    assert tiles.thumbnail is not None
    first.imshow(tiles.thumbnail, extent=tiles.extent)
    first.set_title("stored thumbnail")
    _finish(first, tiles)
    for axes in others:
        axes.set_axis_off()


def _finish(axes: Axes, tiles: Tiles) -> None:
    """No ticks, a light frame, a scale bar at the lower left."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(LIGHT)
    _draw_bar(axes, tiles)


def _draw_bar(axes: Axes, tiles: Tiles) -> None:
    length, label = scale_bar(tiles)
    left, right, bottom, top = tiles.extent
    x, y = left + 0.03 * (right - left), bottom - 0.03 * (bottom - top)
    axes.plot([x, x + length], [y, y], color="black", linewidth=2, solid_capstyle="butt")
    axes.annotate(label, (x, y), xytext=(0, 3), textcoords="offset points", fontsize=6.5)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def scale_bar(tiles: Tiles) -> tuple[float, str]:
    """Length in level-0 pixels and label of a bar of 1, 2 or 5 times a power of ten, a quarter of the width at most."""
    left, right, _, _ = tiles.extent
    unit = tiles.mpp or 1.0
    most = (right - left) * unit / 4
    power = 10.0 ** np.floor(np.log10(most))
    length = max(step * power for step in (1, 2, 5) if step * power <= most)
    if tiles.mpp is None:
        return length, f"{length:g} px"
    return length / unit, f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
