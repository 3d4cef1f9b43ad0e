"""Genes of every fold: how many and why, how alike the folds' lists are, how many labels they saw."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from mirrorflow.report.blocks import Block, Section, Table, cells


@dataclass(frozen=True)
class FoldGenes:
    """A fold's manifest of genes (columns id, reason, ...) and the patients whose labels chose them."""

    manifest: pd.DataFrame
    label_patients: Sequence[str]


def mean_jaccard(lists: Sequence[Sequence[str]]) -> float:
    """Mean over pairs of folds of shared genes over all genes of the two; NaN with fewer than two folds."""
    sets = [set(names) for names in lists]
    values = [len(a & b) / len(a | b) if a | b else 1.0 for a, b in combinations(sets, 2)]
    return sum(values) / len(values) if values else float("nan")


def stability_text(lists: Sequence[Sequence[str]]) -> str:
    """How stable the signature is: the folds' overlap, what all of them keep, and what only one does."""
    if len(lists) < 2:
        return "One fold: its stability is unknown."
    kept = Counter(name for names in lists for name in set(names))
    everywhere, once = (sum(count == number for count in kept.values()) for number in (len(lists), 1))
    return (
        f"Overlap between two folds, mean Jaccard index: {mean_jaccard(lists):.2f}; of the {len(kept)} genes that any "
        f"fold kept, {everywhere} are kept by all {len(lists)} folds and {once} by one alone."
    )


def genes_section(
    genes: Mapping[tuple[str, str], Sequence[FoldGenes]], used_by: Mapping[str, Sequence[str]]
) -> Section:
    """One table a (model scope, cohort). ``used_by``: model scope -> protocols."""
    blocks: list[Block] = [
        _table(scope, cohort, folds, used_by.get(scope, ())) for (scope, cohort), folds in genes.items()
    ]
    return Section("genes", "Genes", blocks)


def _table(scope: str, cohort: str, folds: Sequence[FoldGenes], protocols: Sequence[str]) -> Table:
    counts = [fold.manifest["reason"].value_counts() for fold in folds]
    reasons = sorted({str(reason) for count in counts for reason in count.index})
    rows = [
        cells(
            number,
            len(fold.manifest),
            *(int(count.get(reason, 0)) for reason in reasons),
            len(fold.label_patients),
        )
        for number, (fold, count) in enumerate(zip(folds, counts, strict=True))
    ]
    stand_in = " drivers: no census file was given, the open list of known drivers stands in." * ("drivers" in reasons)
    caption = (
        f"Genes (or transcripts) of {cohort}, scope {scope} (protocol {', '.join(protocols)}), n = {len(folds)} folds: "
        f"all, by the reason they were kept, and the patients whose labels the choice saw.{stand_in} "
        f"{stability_text([fold.manifest['id'].tolist() for fold in folds])} Rule select_genes."
    )
    header = ("fold", "genes", *(f"reason {reason}" for reason in reasons), "labels seen")
    return Table(caption, header, rows, frozenset(range(1, len(header))))
