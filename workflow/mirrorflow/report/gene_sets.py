"""How much of the pathways and gene families each cohort's expression holds."""

from collections.abc import Mapping

from mirrorflow.expression.gene_sets import SetCounts
from mirrorflow.report.blocks import Block, Cell, Details, Section, Table, cells

SHOWN_LOST = 8


def sets_sections(counts: Mapping[tuple[str, str], SetCounts]) -> list[Section]:
    """One section, none without gene sets. ``counts``: (file, cohort) -> what is there."""
    if not counts:
        return []
    header = ("sets", "cohort", "with a gene", "of", "genes there", "of", "smallest", "its genes", "of", "left out")
    rows = [_row(file, cohort, one) for (file, cohort), one in counts.items()]
    caption = (
        "Gene sets that methods see, counted in each cohort's expression: a set's genes that the matrix lacks are no "
        "input, and a set without any is left out. Rules select_genes and train_supervised."
    )
    blocks: list[Block] = [Table(caption, header, rows, frozenset(range(2, 9)) - {6})]
    blocks += [_every_set(file, cohort, one) for (file, cohort), one in counts.items()]
    return [Section("gene-sets", "Gene sets", blocks)]


def _row(file: str, cohort: str, one: SetCounts) -> list[Cell]:
    lost = ", ".join(one.lost[:SHOWN_LOST]) + (", ..." if len(one.lost) > SHOWN_LOST else "")
    least = (one.present[one.smallest], one.genes[one.smallest]) if one.smallest else ("", "")
    named = Cell(f"{len(one.lost)}: {lost}", badge="warning") if one.lost else Cell("none")
    counted = (len(one.kept), len(one.genes), one.found, one.symbols)
    return [*cells(file, cohort, *counted, one.smallest, *least), named]


def _every_set(file: str, cohort: str, one: SetCounts) -> Details:
    rows = [cells(name, one.present[name], genes) for name, genes in one.genes.items()]
    caption = f"Genes of each set of {file} in the expression of {cohort}."
    table = Table(caption, ("set", "genes there", "of"), rows, frozenset({1, 2}), filterable=True)
    return Details(f"Every set of {file} in {cohort}", (table,))
