"""Which genes models look at: the figure of each method, what agrees with what, gene sets among its own genes."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from mirrorflow.report.blocks import Block, Details, Section, Table, cells
from mirrorflow.report.pictures import Drawn, NotDrawn, figures_section

KIND = "attributions"
SETS_SHOWN = 10
MEASURES = (
    "What holds of the shares: how many patients are kept by baseline, and Spearman's rank agreement over genes (0 by "
    "chance), means over folds; genes that two folds share, with what chance shares and the largest p of the pairs "
    "(hypergeometric, among the genes of both folds; folds share training patients). A null is a model of no meaning: "
    "what it shares with the model is not learned from labels. File {task}_measures.csv of {where}."
)
SETS = (
    "Gene sets among the method's own genes, smallest p first: above is how often a gene of the set has a larger share "
    "than one outside (0.5 by chance); one-sided rank-sum test, q after Benjamini and Hochberg. Genes of a set go "
    "together, so p is too small. File {task}_sets.csv of {where}."
)


def attributions_sections(
    folders: Sequence[Path], drawn: Sequence[Drawn], left_out: Sequence[NotDrawn]
) -> list[Section]:
    """One section, none where no method was asked. folders: those of all figures."""
    if KIND not in {one.kind for one in drawn} | {one.kind for one in left_out}:
        return []
    section = figures_section(KIND, "Which genes models look at", KIND, drawn, left_out)
    mine = [one for one in folders if KIND in one.parts[-5:]]
    return [Section(section.anchor, section.title, [*section.blocks, *map(_details, mine)])]


def _details(folder: Path) -> Details:
    where, blocks = "/".join(folder.parts[-4:]), list[Block]()
    for task in ("subtyping", "survival"):
        if (path := folder / f"{task}_measures.csv").exists():
            blocks.append(_measures(_read(path, "of"), MEASURES.format(task=task, where=where)))
        if (path := folder / f"{task}_sets.csv").exists():
            blocks.append(_sets(_read(path, "name"), SETS.format(task=task, where=where)))
    return Details(f"Agreement and gene sets of {where}", blocks)


def _read(path: Path, names: str) -> pd.DataFrame:
    """A table whose column ``names`` is text as it stands: a name may be of digits, or ``NA``."""
    return pd.read_csv(path, converters={names: str})


def _measures(found: pd.DataFrame, caption: str) -> Table:
    """Means over folds, a row a measure."""
    mean = found.groupby(["measure", "of"], sort=False)[["value", "by_chance", "p", "n"]].mean().reset_index()
    rows = [cells(*row) for row in mean.itertuples(index=False)]
    return Table(caption, ("measure", "of", "value", "by chance", "p", "n"), rows, frozenset(range(2, 6)))


def _sets(found: pd.DataFrame, caption: str) -> Table:
    rows = [cells(*row) for row in found.head(SETS_SHOWN).itertuples(index=False)]
    return Table(caption, ("set", "genes", "of", "above", "p", "q"), rows, frozenset(range(1, 6)))
