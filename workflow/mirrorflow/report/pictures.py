"""The figures of a run, in their sections: those of the methods that are ahead first, all others behind a fold."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from mirrorflow.report.blocks import (
    Block,
    Details,
    Gallery,
    Heading,
    Listing,
    Picture,
    Section,
    Text,
    counted,
    data_uri,
)

SIDE_BY_SIDE = ("survival_curves", "classification", "over_time")
"""Kinds of which there is one a method."""
EXPLAINED = "explained"
FIGURE_BYTES = 24_000_000
"""Drawings of all figures together."""
NONE = "This run has none."


@dataclass(frozen=True)
class Drawn:
    """A figure: its SVG bytes and its record (kind, title, alt, caption), of one cohort.

    ``files``: addresses from the page's folder, the drawing first; none where it lies elsewhere. ``folder``: what tells
    figures of one name apart.
    """

    cohort: str
    kind: str
    title: str
    alt: str
    caption: str
    svg: bytes
    name: str = ""
    folder: str = ""
    files: Sequence[str] = ()


@dataclass(frozen=True)
class NotDrawn:
    """A figure that the data did not allow."""

    cohort: str
    kind: str
    name: str
    why: str
    where: str = ""
    """Of which protocol, cohort, encoder and method, where its name does not say."""


def picture(drawn: Drawn) -> Picture:
    """A figure as a picture of the page, under its title where the drawing itself has none."""
    if not drawn.svg:
        return Picture(
            "",
            f"Left to its file, as this page would grow too large: {drawn.alt}",
            drawn.caption,
            drawn.title,
            files=drawn.files,
        )
    title = drawn.title if drawn.kind in ("forest", "ranks") else ""
    return Picture(data_uri(drawn.svg, "image/svg+xml"), drawn.alt, drawn.caption, title=title, files=drawn.files)


def within(drawn: Sequence[Drawn], first: Mapping[str, Collection[str]], budget: int = FIGURE_BYTES) -> list[Drawn]:
    """The figures, those beyond ``budget`` bytes without their drawing: what stands behind folds goes first.

    first: cohort -> ends of the names of the figures that are shown (:func:`figures_section`).
    """
    behind = [_is_behind(one, first) for one in drawn]
    kept = list(drawn)
    for place in sorted(range(len(drawn)), key=lambda place: behind[place]):
        budget -= len(drawn[place].svg)
        if budget < 0:
            kept[place] = replace(drawn[place], svg=b"")
    return kept


def _is_behind(one: Drawn, first: Mapping[str, Collection[str]]) -> bool:
    if one.kind == EXPLAINED:
        return "_1_" not in one.name
    return one.kind in SIDE_BY_SIDE and not one.name.endswith(tuple(first.get(one.cohort, ())))


def figures_section(
    anchor: str,
    title: str,
    kind: str,
    drawn: Sequence[Drawn],
    left_out: Sequence[NotDrawn],
    *,
    first: Mapping[str, Collection[str]] | None = None,
    none: str = NONE,
) -> Section:
    """All figures of a kind, cohort by cohort, and those that could not be drawn, with the reason.

    first: cohort -> ends of the names of the figures that are shown; its others are behind a fold. none: what is said
    of a run without such figures.
    """
    blocks: list[Block] = []
    mine, missing = [one for one in drawn if one.kind == kind], [one for one in left_out if one.kind == kind]
    cohorts = [one.cohort for one in mine] + [one.cohort for one in missing]
    for cohort in dict.fromkeys(cohorts):
        blocks.append(Heading(cohort))
        own = [one for one in mine if one.cohort == cohort]
        blocks += _patients(own) if kind == EXPLAINED else _of_cohort(own, kind, (first or {}).get(cohort, ()))
        lines = [_missing(one) for one in missing if one.cohort == cohort]
        blocks += [Listing(lines)] if lines else []
    return Section(anchor, title, blocks or [Text(none)])


def _missing(one: NotDrawn) -> str:
    return f"{one.where}: {one.name} is not drawn: {one.why}" if one.where else f"{one.name} is not drawn: {one.why}"


def _of_cohort(own: Sequence[Drawn], kind: str, first: Collection[str]) -> list[Block]:
    if kind not in SIDE_BY_SIDE:
        return list(map(picture, own))
    shown = [one for one in own if one.name.endswith(tuple(first))] if first else list(own)
    others = [one for one in own if one not in shown]
    if not shown:
        shown, others = list(own), []
    blocks = _gallery(shown)
    return [*blocks, Details(f"{counted(len(others), 'further figure')}", _gallery(others))] if others else blocks


def _gallery(own: Iterable[Drawn]) -> list[Block]:
    pictures = list(map(picture, own))
    return [Gallery("", pictures, wide=True)] if len(pictures) > 1 else [*pictures]


def _patients(own: Sequence[Drawn]) -> list[Block]:
    """Explained patients: the first of each method and task, the others behind a fold."""
    blocks: list[Block] = []
    groups = [list(group) for _, group in groupby(own, key=lambda one: (one.folder, one.name.rpartition("_")[0]))]
    for _, of_task in groupby(groups, key=lambda group: (group[0].folder, group[0].name.partition("_")[0])):
        first, *others = of_task
        blocks += [Heading(" · ".join(first[0].title.split(" · ")[:3])), *_patient(first)]
        if others:
            inside = [block for group in others for block in _patient(group)]
            blocks.append(Details(f"{counted(len(others), 'further patient')} of this method and task", inside))
    return blocks


def _patient(group: Sequence[Drawn]) -> list[Block]:
    """The maps across the page, what belongs to them side by side below."""
    wide, others = group[0], group[1:]
    return [picture(wide), *(_gallery(others) if others else [])]
