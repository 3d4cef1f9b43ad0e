"""Expression of the selected genes by subtype, and the most variable curated genes (Figure 3 of MIRROR)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mirrorflow.figures.style import BLUE, GREY, PALETTE, VERMILLION, light_grid, new_figure, shorten, styled

LIMIT = 2.5
"""Standardised values beyond +-LIMIT have the last colour."""

DIVERGING = LinearSegmentedColormap.from_list("expression", [BLUE, "#ffffff", VERMILLION])


@dataclass(frozen=True)
class Heatmap:
    """values [gene, patient] standardised, in the order they are drawn; classes: name -> patients, left to right."""

    values: NDArray[np.float32]
    genes: list[str]
    classes: dict[str, int]


def arrange(values: NDArray, genes: Sequence[str], labels: Sequence[str], classes: Sequence[str]) -> Heatmap:
    """Patients by class, genes by the class that expresses them most; standardised over the patients shown.

    values [patient, gene], NaN where not measured (drawn white); labels: one of ``classes`` a patient. Within a
    class patients are ordered by their mean over the genes that the class expresses most.
    """
    standard = _standardised(values)
    number = np.array([list(classes).index(label) for label in labels])
    means = np.stack([standard[number == k].mean(axis=0) for k in sorted(set(number))])
    highest, lead = means.argmax(axis=0), np.ptp(means, axis=0)
    of_class = sorted(set(number))
    high = np.array([of_class[k] for k in highest])
    gene_order = np.lexsort((np.asarray(genes, dtype=str), -lead, high))
    own = [
        standard[row, high == number[row]].mean() if (high == number[row]).any() else 0.0 for row in range(len(number))
    ]
    patient_order = np.lexsort((-np.asarray(own), number))
    return Heatmap(
        standard[np.ix_(patient_order, gene_order)].T,
        [genes[at] for at in gene_order],
        {classes[k]: int((number == k).sum()) for k in of_class},
    )


def most_variable(values: NDArray, genes: Sequence[str], count: int) -> dict[str, float]:
    """The ``count`` genes of largest variance over patients, of several transcripts the most variable one."""
    best: dict[str, float] = {}
    for gene, variance in zip(genes, _centred(values)[1], strict=True):
        best[gene] = max(best.get(gene, 0.0), float(variance))
    return dict(sorted(best.items(), key=lambda item: (-item[1], item[0]))[:count])


@styled
def draw_gene_heatmap(heatmap: Heatmap, variances: Mapping[str, float], title: str) -> Figure:
    """The heatmap with its classes above it; below it, where there are any, bars of ``variances``, largest first."""
    figure = new_figure(8.2, 6.4 if variances else 4.2)
    heights = [0.16, 3.4, *([1.5] if variances else [])]
    panels = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    figure.suptitle(shorten(title, 90), x=0.01, ha="left", fontsize=9.5)
    _draw_classes(panels[0], heatmap.classes)
    image = panels[1].imshow(
        heatmap.values, aspect="auto", interpolation="nearest", cmap=DIVERGING, vmin=-LIMIT, vmax=LIMIT
    )
    panels[1].set_ylabel(f"{len(heatmap.genes)} genes")
    panels[1].set_xlabel(f"{heatmap.values.shape[1]} patients")
    panels[1].set_xticks([])
    panels[1].set_yticks([])
    bar = figure.colorbar(image, ax=panels[1], pad=0.01, fraction=0.03)
    bar.set_label("standardised expression")
    if variances:
        _draw_bars(panels[2], variances)
    return figure


def _draw_classes(axes: Axes, classes: Mapping[str, int]) -> None:
    left = 0
    for colour, (name, count) in zip(_colours(len(classes)), classes.items(), strict=True):
        axes.barh(0, count, left=left, height=1, color=colour, edgecolor="white")
        axes.text(left + count / 2, 0.6, f"{name} ({count})", ha="center", va="bottom", fontsize=8.5)
        left += count
    axes.set_xlim(0, left)
    axes.set_ylim(-0.5, 0.5)
    axes.set_axis_off()


def _colours(count: int) -> list[str]:
    return [PALETTE[number % len(PALETTE)] for number in range(count)]


def _draw_bars(axes: Axes, variances: Mapping[str, float]) -> None:
    axes.bar(range(len(variances)), list(variances.values()), color=GREY, width=0.7)
    axes.set_xticks(range(len(variances)), [shorten(gene, 14) for gene in variances], rotation=30, ha="right")
    axes.set_ylabel("variance of\nexpression")
    light_grid(axes, "y")


def _standardised(values: NDArray) -> NDArray[np.float32]:
    """Each gene over the patients shown; a constant gene, or a missing value, is 0."""
    centred, variance = _centred(values)
    return (centred / np.sqrt(np.where(variance > 0, variance, 1))).astype(np.float32)


def _centred(values: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values less their gene's mean (missing ones 0), and the variance of each gene's known values."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.sum(values, axis=0, where=known, dtype=np.float64) / count
    centred = np.where(known, values - mean, 0.0)
    return centred, np.square(centred).sum(axis=0) / count
