"""The figure of the selected genes: which genes and patients it shows, and what its caption says."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from mirrorflow.cohorts.patients import who_has
from mirrorflow.errors import InputError
from mirrorflow.figures.gene_heatmap import arrange, draw_gene_heatmap, most_variable
from mirrorflow.plan.paths import GeneManifest
from mirrorflow.steps.results.figure_tasks import FigureSpec, Task
from mirrorflow.store.expression import read_expression
from mirrorflow.store.genes import read_genes
from mirrorflow.store.tables import read_cohort

SHOWN = 300
"""Genes of the heatmap at most: more rows than a page has pixels say nothing."""

BARS = 10
CURATED = ("census", "drivers", "both")
"""Reasons of the manifest that stand for curated genes."""


def gene_tasks(
    cohort: str, frame: Path, expression: Path, manifests: Sequence[Path], clip: float | None
) -> Iterator[Task]:
    """One figure a scope. ``frame``: the cohort's parquet; ``manifests``: <model scope>/<cohort>/genes/fold<k>.tsv.

    clip: values beyond +-clip are cut first, as for the models.
    """
    by_scope: dict[str, list[Path]] = {}
    for manifest in manifests:
        by_scope.setdefault(GeneManifest.parse(manifest).scope, []).append(manifest)
    for scope, paths in by_scope.items():
        yield Task(f"genes_{scope}", "genes", partial(_draw, cohort, scope, frame, expression, paths, clip))


def _draw(
    cohort: str, scope: str, frame: Path, expression: Path, manifests: Sequence[Path], clip: float | None
) -> FigureSpec:
    everybody, classes = read_cohort(frame)
    people = who_has(everybody, ["rna"])
    people = people[people["label"].isin(classes)]
    if people["label"].nunique() < 2:
        message = f"{cohort} has no two classes with patients: there is nothing to set side by side"
        raise InputError(message)
    folds = [read_genes(path) for path in manifests]
    shown = steady_genes(folds, SHOWN)
    curated = sorted({gene for fold in folds for gene in fold.loc[fold["reason"].isin(CURATED), "id"]})
    values = read_expression(expression, people["patient"].tolist(), list(dict.fromkeys([*shown, *curated])))
    measured = values.values if clip is None else np.clip(values.values, -clip, clip)
    column = {name: at for at, name in enumerate(values.ids)}
    picked, bars = ([column[name] for name in names] for names in (shown, curated))
    heatmap = arrange(measured[:, picked], shown, people["label"].tolist(), classes)
    variances = most_variable(measured[:, bars], [values.symbols[at] for at in bars], BARS) if bars else {}
    title = f"Genes of {cohort} · {scope}"
    figure = draw_gene_heatmap(heatmap, variances, title)
    return FigureSpec(
        figure, title, _alt(heatmap.classes, variances), _caption(cohort, scope, folds, shown, people, variances)
    )


def steady_genes(folds: Sequence[pd.DataFrame], count: int) -> list[str]:
    """Ids of the genes that most folds kept, the better mean rank first; genes without a rank come last."""
    kept = Counter(name for fold in folds for name in fold["id"])
    ranks = pd.concat(folds).assign(rank=lambda table: table["rank"].astype("Float64")).groupby("id")["rank"].mean()
    rank = ranks.fillna(float("inf")).to_dict()
    return sorted(kept, key=lambda name: (-kept[name], rank[name], name))[:count]


def _alt(classes: Mapping[str, int], variances: Mapping[str, float]) -> str:
    sides = ", ".join(f"{name}: {count} patients" for name, count in classes.items())
    bars = ", ".join(f"{gene} {value:.2f}" for gene, value in variances.items())
    return f"Heatmap of the selected genes, patients by class ({sides})." + (f" Variances: {bars}." if bars else "")


def _caption(
    cohort: str,
    scope: str,
    folds: Sequence[pd.DataFrame],
    shown: Sequence[str],
    people: pd.DataFrame,
    variances: Mapping[str, float],
) -> str:
    everything = {name for fold in folds for name in fold["id"]}
    in_all = set.intersection(*(set(fold["id"]) for fold in folds))
    stand_in = any("drivers" in set(fold["reason"]) for fold in folds)
    caption = (
        f"Expression of {len(shown)} of the {len(everything)} genes (or transcripts) that some fold of scope {scope} "
        f"kept, those kept by most folds and ranked best first ({len(in_all)} are kept by all {len(folds)}), in n = "
        f"{len(people)} labelled patients of {cohort}, standardised over them; evaluation patients are among them: the "
        "picture describes the cohort, it tests nothing. Genes stand by the class that expresses them most."
    )
    if variances:
        whose = "curated genes (the open list that stands in for the census)" if stand_in else "census genes"
        caption += f" Below: the {len(variances)} most variable {whose}, of several transcripts the most variable one."
    return f"{caption} After Figure 3 of MIRROR."
