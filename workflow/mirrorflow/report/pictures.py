"""The figures of rule draw_figures, in their sections."""

from collections.abc import Sequence
from dataclasses import dataclass

from mirrorflow.report.blocks import Block, Gallery, Heading, Listing, Picture, Section, Text, data_uri

SIDE_BY_SIDE = ("survival_curves", "classification")
"""Kinds of which there is one a method."""


@dataclass(frozen=True)
class Drawn:
    """A figure: its SVG bytes and its record (kind, title, alt, caption), of one cohort."""

    cohort: str
    kind: str
    title: str
    alt: str
    caption: str
    svg: bytes


@dataclass(frozen=True)
class NotDrawn:
    """A figure that the data did not allow."""

    cohort: str
    kind: str
    name: str
    why: str


def picture(drawn: Drawn) -> Picture:
    """A figure as a picture of the page, under its title where the drawing itself has none."""
    title = drawn.title if drawn.kind in ("forest", "ranks") else ""
    return Picture(data_uri(drawn.svg, "image/svg+xml"), drawn.alt, drawn.caption, title=title)


def figures_section(
    anchor: str, title: str, kind: str, drawn: Sequence[Drawn], left_out: Sequence[NotDrawn]
) -> Section:
    """All figures of a kind, cohort by cohort, and those that could not be drawn, with the reason."""
    blocks: list[Block] = []
    mine, missing = [one for one in drawn if one.kind == kind], [one for one in left_out if one.kind == kind]
    cohorts = [one.cohort for one in mine] + [one.cohort for one in missing]
    for cohort in dict.fromkeys(cohorts):
        blocks.append(Heading(cohort))
        pictures = [picture(one) for one in mine if one.cohort == cohort]
        blocks += [Gallery("", pictures, wide=True)] if len(pictures) > 1 and kind in SIDE_BY_SIDE else pictures
        lines = [f"{one.name} is not drawn: {one.why}" for one in missing if one.cohort == cohort]
        blocks += [Listing(lines)] if lines else []
    return Section(anchor, title, blocks or [Text("This run has none.")])
