"""Figures 7 to 11 of TTA from one fold's model: what each shows, and what its caption says."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mirrorflow.cohorts.splits import left_out_said
from mirrorflow.errors import InputError
from mirrorflow.figures.embedding import Panel, draw_maps, perplexity_of, placed
from mirrorflow.figures.slide_maps import assigned, draw_assignment, draw_single_maps
from mirrorflow.figures.top_prototypes import TOP, counts_of, draw_top_prototypes, top_prototypes
from mirrorflow.plan.prototypes import PrototypesFolder
from mirrorflow.steps.prototypes.evaluated import Evaluated, Seen
from mirrorflow.steps.prototypes.slide_tiles import SlidePart
from mirrorflow.steps.results.figure_tasks import FigureSpec, Task

SEED = 0
"""Of every t-SNE."""
KIND = "prototypes"
MODALITIES = ("slides", "RNA")
MAP_MEANS_NOTHING = "Distances and sizes on the map mean nothing: nothing is measured on it."
NOT_WHY = "Where a patch's weight goes, not why."


@dataclass(frozen=True)
class Case:
    """A method's model under a protocol on a cohort; ``chosen``: half of the risks -> position of the unit shown.

    maps: half -> position of the unit whose slide is shown, and the slide; or why there is none.
    """

    place: PrototypesFolder
    evaluated: Evaluated
    chosen: dict[str, int]
    maps: dict[str, tuple[int, SlidePart] | str]
    trained_on: int = 0
    """Evaluation units that are left out, on whose patients the fold was trained, too."""

    @property
    def title(self) -> str:
        """Method, encoder, protocol."""
        return f"{self.place.method} · {self.place.encoder} · {self.place.protocol}"

    @property
    def whose(self) -> str:
        """Which model, and whom it saw."""
        place, found = self.place, self.evaluated
        return (
            f"{place.method} on {place.cohort}, protocol {place.protocol}, encoder {place.encoder}: the model of fold "
            f"{found.fold}, seed {found.seed}, on evaluation patients of that fold alone (n = {len(found.units)} "
            f"units), whom it was not trained on.{left_out_said(self.trained_on)}"
        )

    def unit(self, half: str, at: int) -> str:
        """Who a unit is, and why it was chosen."""
        name = self.evaluated.units["unit"].iloc[at]
        return f"{name}, nearest to the median risk of the {half}-risk half"


def tasks_of(case: Case) -> Iterator[Task]:
    """A task a figure."""
    yield Task("prototypes", KIND, lambda: prototypes_figure(case))
    yield Task("tokens", KIND, lambda: tokens_figure(case))
    yield Task("pathways", KIND, lambda: pathways_figure(case))
    for half in case.maps:
        yield Task(f"slide_{half}", KIND, _of_half(slide_figure, case, half))
    for kind in ("softmax", "plan"):
        yield Task(f"single_{kind}", KIND, _of_kind(case, kind))


def _of_half(draw: Callable[[Case, str], FigureSpec], case: Case, half: str) -> Callable[[], FigureSpec]:
    return lambda: draw(case, half)


def _of_kind(case: Case, kind: str) -> Callable[[], FigureSpec]:
    return lambda: single_figure(case, next(iter(case.maps)), kind)


def prototypes_figure(case: Case) -> FigureSpec:
    """Figure 7: t-SNE of the prototypes."""
    banks, count, _ = case.evaluated.prototypes.shape
    vectors = case.evaluated.prototypes.reshape(banks * count, -1)
    numbers = [str(one + 1) for one in range(count)] * banks
    kinds = np.repeat(MODALITIES if banks > 1 else ["shared"], count).tolist()
    places = placed(vectors, SEED)
    title = f"Prototypes of {case.title}"
    caption = (
        f"t-SNE of {_counted(banks, count)} as vectors of length 1. {case.whose} {_map_caption(len(vectors))} The "
        "numbers are those of the other figures. After Figure 7 of TTA."
    )
    table = _table({"bank": kinds, "prototype": numbers}, places, vectors)
    panel = Panel(f"fold {case.evaluated.fold}", places, kinds, numbers)
    return FigureSpec(
        draw_maps([panel], title), title, f"Map of {_counted(banks, count)}.", caption, table, parquet=True
    )


def _counted(banks: int, count: int) -> str:
    return f"the {count} shared prototypes" if banks == 1 else f"the {count} prototypes of slides and {count} of RNA"


def _map_caption(vectors: int) -> str:
    return f"Perplexity {perplexity_of(vectors)}, seed {SEED}, fitted on all points shown. {MAP_MEANS_NOTHING}"


def _table(named: dict[str, list[str]], places: np.ndarray, vectors: np.ndarray) -> pd.DataFrame:
    """Names, places on the map, and the vectors themselves."""
    values = pd.DataFrame(vectors, columns=[f"v{number}" for number in range(vectors.shape[1])])
    return pd.DataFrame({**named, "x": places[:, 0], "y": places[:, 1]}).join(values)


def tokens_figure(case: Case) -> FigureSpec:
    """Figure 9: t-SNE of the prototype tokens of both modalities, before and after the refiner."""
    half, at = next(iter(case.chosen.items()))
    seen = case.evaluated.seen[at]
    if seen.refined is None:
        message = f"{case.place.method} has no refiner (anchors off, contrast_weight 0): there is no before and after"
        raise InputError(message)
    stages = {"before the refiner": seen.pooled, "after the refiner": seen.refined}
    count = len(seen.pooled[0])
    numbers = [str(one + 1) for one in range(count)] * 2
    kinds = np.repeat(MODALITIES, count).tolist()
    panels, tables = [], []
    for stage, pair in stages.items():
        vectors = np.concatenate(pair)
        places = placed(vectors, SEED)
        panels.append(Panel(stage, places, kinds))
        tables.append(_table({"stage": [stage] * len(kinds), "modality": kinds, "prototype": numbers}, places, vectors))
    apart = ", ".join(f"{cosine_of_means(pair):.2f} {stage}" for stage, pair in stages.items())
    title = f"Prototype tokens of {case.title}"
    caption = (
        f"t-SNE of the {count} prototype tokens of each modality, of {case.unit(half, at)}, a map fitted for each "
        f"panel. {case.whose} {_map_caption(2 * count)} In the tokens' own space the cosine between the mean "
        f"tokens of the modalities is {apart}. After Figure 9 of TTA."
    )
    alt = f"Two maps of {2 * count} tokens. Cosine between the modalities' mean tokens: {apart}."
    table = pd.concat(tables, ignore_index=True)
    return FigureSpec(draw_maps(panels, title), title, alt, caption, table, parquet=True)


def cosine_of_means(pair: Sequence[np.ndarray]) -> float:
    """Cosine between the mean tokens of two modalities, each [token, width]."""
    one, other = (tokens.mean(0) for tokens in pair)
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12))


def pathways_figure(case: Case) -> FigureSpec:
    """Figure 10: the top prototypes of each pathway token, and the pathways of each prototype."""
    found = case.evaluated
    table = top_prototypes(found.weights, found.pathways)
    counts = counts_of(table)
    top = min(TOP, len(counts))
    title = f"Top {top} prototypes of each pathway, {case.title}"
    caption = (
        f"Weights with which each pathway's token goes into the prototypes (Eq. 12: softmax and plan mixed), mean over "
        f"{len(found.weights)} units; coloured: the {top} largest of each pathway. Below: pathways that have a "
        f"prototype among their {top} largest, and first. {case.whose} After Figure 10 of TTA, which shows one sample."
    )
    most = counts.sort_values("top", ascending=False, kind="stable").index[0]
    alt = (
        f"Heatmap of {len(found.pathways)} pathways by {len(counts)} prototypes. Prototype {most} is among the top "
        f"{top} of most pathways: {counts.loc[most, 'top']}."
    )
    return FigureSpec(draw_top_prototypes(table, title), title, alt, caption, table)


def shares_of(seen: Seen, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Kind -> shares [patch, prototype] of the slide's patches: of the softmax and, where there is one, the plan."""
    plan = {} if seen.plan is None else {"plan": seen.plan[rows]}
    return {"softmax": seen.softmax[rows], **plan}


def _map(case: Case, half: str) -> tuple[int, SlidePart]:
    found = case.maps[half]
    if isinstance(found, str):
        raise InputError(found)
    return found


def slide_figure(case: Case, half: str) -> FigureSpec:
    """Figure 8: the prototype that each patch goes to, and how surely, by the softmax and by the plan."""
    at, part = _map(case, half)
    seen = case.evaluated.seen[at]
    shares = shares_of(seen, part.rows)
    title = f"Prototypes on slide {part.slide} · {case.title}"
    caption = (
        f"Slide {part.slide} of {case.unit(half, at)}, among those whose slides have places: {len(part.rows)} patches. "
        f"{case.whose} Prototype: the one with the largest share of the patch, by the softmax over prototypes and by "
        "the transport plan (rows made to add up to 1); the share itself beside it, from 1/K up, on its own scale. "
        f"The most frequent prototypes have colours, the others are grey. {_no_plan(seen)}{_thumbnail(part)}"
        f"{_side(part)}{NOT_WHY} "
        "After Figure 8 of TTA, which names both softmax and plan."
    )
    alt = "; ".join(f"{name}: {_in_words(each)}" for name, each in shares.items())
    table = map_table(part, shares)
    return FigureSpec(draw_assignment(part.tiles, shares, title), title, f"{alt}.", caption, table, parquet=True)


def _no_plan(seen: Seen) -> str:
    return "" if seen.plan is not None else "This slide has no plan: its weights are the softmax. "


def _side(part: SlidePart) -> str:
    return f"{part.tiles.side_said} " if part.tiles.inferred else ""


def _thumbnail(part: SlidePart) -> str:
    if part.tiles.thumbnail is None:
        return "The store has no thumbnail of it. "
    return "The thumbnail is the one in the store, its patches outlined. "


def _in_words(shares: np.ndarray) -> str:
    prototypes, largest = assigned(shares)
    there = prototypes[prototypes >= 0]
    if not len(there):
        return "no patch has mass"
    return f"{len(set(there.tolist()))} prototypes are some patch's largest, mean share {np.nanmean(largest):.2f}"


def map_table(part: SlidePart, shares: dict[str, np.ndarray]) -> pd.DataFrame:
    """A row a patch: its corner in level-0 pixels, then for each kind prototype (from 1; 0: none), share, all shares.

    Shares of the plan are given as they are, times the number of tokens: a row adds up to its patch's mass.
    """
    parts = [pd.DataFrame(part.tiles.corners, columns=["x", "y"])]
    for name, each in shares.items():
        prototypes, largest = assigned(each)
        parts.append(pd.DataFrame({f"{name}_prototype": prototypes + 1, f"{name}_share": largest}))
        parts.append(pd.DataFrame(each, columns=[f"{name}_{number + 1}" for number in range(each.shape[1])]))
    return pd.concat(parts, axis=1)


def single_figure(case: Case, half: str, kind: str) -> FigureSpec:
    """Figure 11: the map of every single prototype on one slide."""
    at, part = _map(case, half)
    shares = shares_of(case.evaluated.seen[at], part.rows)
    if kind not in shares:
        message = f"slide {part.slide} has no plan: its weights are the softmax"
        raise InputError(message)
    values = shares[kind]
    said = {"softmax": "softmax over prototypes", "plan": "transport plan, times the number of tokens"}[kind]
    title = f"Single prototypes ({kind}) on slide {part.slide} · {case.title}"
    caption = (
        f"Share of each prototype in every patch, by the {said}; all {values.shape[1]} maps on one scale, 0 to "
        f"{values.max():.3g}. Slide {part.slide} of {case.unit(half, at)}. {case.whose} {_side(part)}{NOT_WHY} "
        f"The values are in slide_{half}.parquet. After Figure 11 of TTA."
    )
    alt = f"{values.shape[1]} maps of {len(values)} patches; the largest share is {values.max():.3g}."
    return FigureSpec(draw_single_maps(part.tiles, values, title), title, alt, caption)


def no_places(half: str, units: int, index: Path) -> str:
    """Why a half has no map."""
    return f"no slide of the {units} evaluation units of the {half}-risk half has coords of its patches ({index})"
