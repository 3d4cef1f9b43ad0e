"""The figures of an explained unit: maps, highest and lowest patches, deletion curve; what their captions say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mirrorflow.cohorts.splits import left_out_said
from mirrorflow.errors import InputError
from mirrorflow.figures.explained import Layer, draw_deletion, draw_layers, draw_strip
from mirrorflow.plan.explained import ExplainedFolder
from mirrorflow.steps.explained.cases import Case
from mirrorflow.steps.explained.files import rank_of
from mirrorflow.steps.explained.on_unit import Explained
from mirrorflow.steps.explained.slides import Placed, SlideFile, cut, opened, tissue_of
from mirrorflow.steps.prototypes.slide_tiles import SlidePart
from mirrorflow.steps.results.figure_tasks import FigureSpec, Task

__all__ = ["KIND", "Subject", "tasks_of"]

KIND = "explained"
TOP = 8
"""Patches of each end in the strip."""
NOT_WHY = "A weight says where the pooling's weight lies, not why, and not that the patch matters."


@dataclass(frozen=True)
class Subject:
    """A unit that was explained; places: its slides whose patches have places; slide_files: files by name."""

    place: ExplainedFolder
    case: Case
    found: Explained
    places: Sequence[Placed]
    slide_files: Mapping[str, SlideFile]

    @property
    def title(self) -> str:
        """Task, unit, what is asked."""
        return f"{self.place.method} · {self.case.task} · {self.case.unit_name}"

    @property
    def whose(self) -> str:
        """Which model, whose unit, why that."""
        place, case = self.place, self.case
        return (
            f"{case.unit_name} ({case.why}) by {place.method} on {place.cohort}, protocol {place.protocol}, encoder "
            f"{place.encoder}: the model of fold {case.stored['fold']}, seed {case.stored['seed']}, which was not "
            f"trained on this patient. {self.outcome} {self.found.said}{left_out_said(case.trained_on)}"
        )

    @property
    def outcome(self) -> str:
        """What is known of the unit, and what was predicted."""
        stored, asked = self.case.stored, self.found.asked.name
        if self.case.classes:
            shares = ", ".join(f"{name} {stored[f'prob_{name}']:.2f}" for name in self.case.classes)
            return f"Its class is {stored['label']}; predicted: {shares}."
        ended = "had the event" if stored["event"] == 1 else "was censored"
        return f"The patient {ended} at day {stored['time_days']:.0f}; predicted {asked}: {stored['risk']:.3g}."

    def slide(self, name: str) -> SlideFile:
        """The file of a slide."""
        return self.slide_files.get(name, SlideFile())

    @property
    def shown(self) -> Placed:
        """The slide that is shown. Raises InputError where none has places."""
        if not self.places:
            message = (
                f"{self.case.unit_name}: the features of its slides have no coords in level-0 pixels, so that nothing "
                "can be drawn in its place; raw values are in the parquet beside"
            )
            raise InputError(message)
        return self.places[0]


def tasks_of(of: Subject) -> Iterator[Task]:
    """Maps, strip, curve."""
    for name, draw in (("map", map_figure), ("patches", strip_figure), ("deletion", deletion_figure)):
        yield Task(f"{of.case.name}_{name}", KIND, partial(draw, of))


def map_figure(of: Subject) -> FigureSpec:
    """The slide with the main weights (and their deviation over draws) and the effect of removal."""
    place = of.shown
    with opened(of.slide(place.part.slide)) as slide:
        backdrop, said = tissue_of(place, slide)
    layers = [_shown(one, place.part) for one in layers_of(of)]
    title = f"{of.title} · {place.part.slide}"
    figure = draw_layers(place.part.tiles, backdrop, layers, title)
    names = ", ".join(layer.title for layer in layers)
    scale = backdrop.scale_said(place.part.tiles.mpp)
    return FigureSpec(figure, title, f"Maps over the slide: {names}.", map_caption(of, place, scale, said))


def _shown(layer: Layer, part: SlidePart) -> Layer:
    return Layer(layer.title, layer.label, layer.values[part.rows], layer.colours, layer.bounds)


def layers_of(of: Subject) -> list[Layer]:
    """The maps: rank of the main weights, their deviation, the effect of removal."""
    found, layers = of.found, []
    if found.weights:
        main = found.weights[0]
        layers.append(Layer(f"{main.name}: rank", "share of the patches below", rank_of(main.values)))
        if main.deviation is not None and np.isfinite(main.deviation).any():
            most = float(np.nanmax(main.deviation)) or 1.0
            layers.append(Layer("deviation over draws", "x equal share", main.deviation, "magma", (0.0, most)))
    return [*layers, Layer.signed("removal", f"loss of {found.asked.name} by removal", found.effect)]


def map_caption(of: Subject, place: Placed, scale: str, tissue: str) -> str:
    """Whose, what the maps are, their scale and range, what is below them."""
    found, more = of.found, len(of.places) - 1
    bounds = "Its bounds are not known: a MIRAX or Leica slide is to be opened in QuPath with --no-crop."
    parts = [
        of.whose,
        f"A pixel of the PNG's maps spans {scale}.",
        place.part.tiles.side_said,
        *_weights_said(found),
        f"Removal: {found.asked.name} of all patches ({found.whole:.3g}) less that without the patch's group of "
        f"neighbours ({found.group.max() + 1} groups); from {np.nanmin(found.effect):.3g} to "
        f"{np.nanmax(found.effect):.3g}. What one group brings another may bring, too: effects do not add up.",
        f"{tissue} {bounds}" if place.gone else "",
        f"Of the bag's other slides with places ({more}) values are in the parquet and in GeoJSON." if more else "",
    ]
    return " ".join(part for part in parts if part)


def _weights_said(found: Explained) -> list[str]:
    if not found.weights:
        return ["The method has no weights of patches: only removal is shown."]
    main = found.weights[0]
    more = ", ".join(one.name for one in found.weights[1:])
    others = f" The parquet has {more}, too." if more else ""
    return [
        f"Weights: {main.said}; {main.values.min():.3g} to {main.values.max():.3g} times an equal share, coloured by "
        f"rank. {NOT_WHY}{others}"
    ]


def strip_figure(of: Subject) -> FigureSpec:
    """Patches of highest and of lowest weight (of effect, where there are no weights) of the slide shown."""
    part, found = of.shown.part, of.found
    values = (found.weights[0].values if found.weights else found.effect)[part.rows]
    by = found.weights[0].name if found.weights else f"loss of {found.asked.name} by removal"
    what = f"{by}, times an equal share" if found.weights else by
    order = np.argsort(-values, kind="stable")
    count = min(TOP, max(1, len(order) // 2))
    labels = {int(at): f"{values[at]:.2g}" for at in order}
    with opened(of.slide(part.slide)) as slide:
        highest, lowest = (cut(slide, part, map(int, ends), labels) for ends in (order[:count], order[::-1][:count]))
    title = f"{of.title} · patches"
    caption = (
        f"The {count} patches of {part.slide} of highest and of lowest {by} (numbers: {what}; side {_side(part)}). "
        + " ".join(filter(None, (NOT_WHY if found.weights else "", part.tiles.side_said, of.whose)))
    )
    return FigureSpec(draw_strip(highest, lowest, title), title, f"{count} patches of each end.", caption)


def _side(part: SlidePart) -> str:
    tiles = part.tiles
    return f"{tiles.side * tiles.mpp:.0f} µm" if tiles.mpp else f"{tiles.side:.0f} level-0 pixels"


def deletion_figure(of: Subject) -> FigureSpec:
    """The answer as patches are left out, largest weight first, against random orders."""
    curve, asked = of.found.curve, of.found.asked.name
    title = f"{of.title} · patches left out"
    by = of.found.weights[0].name if of.found.weights else "effect of removal"
    caption = (
        f"{asked[0].upper()}{asked[1:]} as patches are left out, those of largest {by} first, and in "
        f"{len(curve.random)} random orders (band: their range). Random less ordered, mean over the curve: "
        f"{curve.area:.3g}. Bags of few patches are unlike those that the model was trained on. {of.whose}"
    )
    figure = draw_deletion(curve.left_out, curve.ordered, curve.random, asked, title)
    return FigureSpec(figure, title, f"Curve of {asked} against the share left out.", caption)
