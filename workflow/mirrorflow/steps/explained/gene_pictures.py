"""The figure of a method's genes, and what its caption says of baseline, target, patients and folds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.cohorts.splits import left_out_said
from mirrorflow.errors import InputError
from mirrorflow.figures.gene_bars import GeneBars, draw_gene_bars
from mirrorflow.plan.attributions import AttributionsFolder
from mirrorflow.steps.explained.fold_models import MEAN, PERMUTED, RANDOM
from mirrorflow.steps.explained.gene_attributions import FoldFound
from mirrorflow.steps.explained.gene_tables import NULLS, census_table
from mirrorflow.steps.results.figure_tasks import FigureSpec

KIND = "attributions"
ASKED = {"subtyping": "log-odds of the class that a patient is predicted to be of", "survival": "risk"}
CURATED = {"census": "census genes", "drivers": "genes of the open list of drivers, which stands in for a census,"}
OPEN = (
    "MIRROR's Figure 7 names neither baseline, target, patients nor fold; these are ours. A share says how much the "
    "model's answer moves along the gene, not that the gene matters in the disease."
)


def bars_figure(
    place: AttributionsFolder,
    task: str,
    genes: pd.DataFrame,
    folds: Sequence[FoldFound],
    settings: Mapping[str, Any],
    source: str,
) -> FigureSpec:
    """The census genes of largest share. Raises InputError where the method has none, or no patient is left."""
    top = census_table(genes, settings["top"])
    if not any(len(one.signed[MEAN]) for one in folds):
        raise InputError(nobody_left(folds, settings["bound"]))
    if top.empty:
        message = f"none of the {len(genes)} genes of {place.method} is in the census; {task}_genes.csv ranks them all"
        raise InputError(message)
    nulls = {kind: top[name].to_numpy() for kind, name in NULLS.items() if name in top and top[name].notna().all()}
    bars = GeneBars(
        _names(top),
        top["rank"].tolist(), len(genes), top["share"].to_numpy(), top["share_least"].to_numpy(),
        top["share_most"].to_numpy(), nulls, equal_share(folds),
    )  # fmt: skip
    title = f"{place.method} · {task} · {place.cohort}"
    first = f"{bars.names[0]} {bars.share[0]:.2%}, rank {bars.ranks[0]} of {bars.all_genes}"
    kind = "driver" if source == "drivers" else "census"
    alt = f"Bars of the {len(top)} {kind} genes of largest share. First: {first}."
    said = caption(place, task, genes, folds, {**settings, "top": len(top)}, source)
    return FigureSpec(draw_gene_bars(bars, title), title, alt, said, top)


def equal_share(folds: Sequence[FoldFound]) -> float:
    """What each gene would have if all genes of a fold had the same share: a mean over the folds that count."""
    return float(np.mean([1 / len(one.ids) for one in folds if len(one.signed[MEAN])]))


def _names(top: pd.DataFrame) -> list[str]:
    """Symbols; of several rows of one symbol the id beside it, of a row without one the id."""
    twice = set(top.loc[top["symbol"].duplicated(keep=False), "symbol"])
    pairs = zip(top["symbol"], top["id"], strict=True)
    return [(f"{symbol} {name}" if symbol in twice else symbol) if symbol else name for symbol, name in pairs]


def nobody_left(folds: Sequence[FoldFound], bound: float) -> str:
    """Why nothing can be said."""
    asked = sum(len({row["unit"] for row in one.patients}) for one in folds)
    return (
        f"the attributions of all {asked} patients miss the change of the answer by more than {bound:g} of it, at 400 "
        "steps; raise explain.genes.bound if you can bear that"
    )


def caption(
    place: AttributionsFolder,
    task: str,
    genes: pd.DataFrame,
    folds: Sequence[FoldFound],
    settings: Mapping[str, Any],
    source: str,
) -> str:
    """Which genes, asked of whom, from which baseline, who is left out, what stands beside."""
    mine = [row for one in folds for row in one.patients if row["baseline"] == MEAN]
    left, steps = sum(row["left_out"] for row in mine), max(row["steps"] for row in mine)
    nulls = {kind for one in folds for kind, _ in one.nulls}
    marks = [RANDOM] * (RANDOM in nulls) + [PERMUTED] * (PERMUTED in nulls)
    beside = f" Marks: models of no meaning ({'; '.join(marks)})." if marks else ""
    bags = "".join(f" {said}" for said in dict.fromkeys(one.said for one in folds if one.said))
    return (
        f"The {settings['top']} {CURATED.get(source, 'census genes')} of largest share for {place.method} on "
        f"{place.cohort}, protocol {place.protocol}, encoder {place.encoder}, with their ranks among all {len(genes)} "
        f"genes of the method. Integrated gradients of the {ASKED[task]}, slide and genes together, from the mean of "
        f"the fold's training patients; n = {len(mine) - left} evaluation patients in {len(folds)} folds, each by the "
        f"model that was not trained on it; {left} left out, whose attributions miss more than "
        f"{settings['bound']:g} of the change of the answer (at most {steps} steps)."
        f"{left_out_said(settings.get('trained_on', 0))} Bars: mean absolute share, a mean "
        f"over the folds that have the gene; lines: folds; dotted: an equal share of a fold's genes.{beside}{bags} "
        f"{OPEN}"
    )
