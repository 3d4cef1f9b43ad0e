"""Gene families and pathways: one column a set, gene symbols below its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mirrorflow.config.cells import lines_of, rows_of
from mirrorflow.errors import InputError


def parse_gene_sets(text: str, *, where: str) -> dict[str, list[str]]:
    """Symbols by set name, in the file's order. Raises InputError for an empty file or a set named twice."""
    rows = [cells for _, cells in rows_of(lines_of(text), ",", where)]
    names = [name.strip() for name in rows[0]] if rows else []
    if not any(names) or len(rows) < 2:
        message = f"{where}: no gene sets; give a CSV with one column a set, its name on top, symbols below"
        raise InputError(message)
    if repeated := sorted({name for name in names if name and names.count(name) > 1}):
        message = f"{where}: sets named twice: {', '.join(repeated[:3])}"
        raise InputError(message)
    columns = {name: [row[at].strip() for row in rows[1:] if at < len(row)] for at, name in enumerate(names) if name}
    return {name: [symbol for symbol in symbols if symbol] for name, symbols in columns.items()}


def genes_of_sets(sets: Mapping[str, Sequence[str]], symbols: Sequence[str]) -> tuple[list[int], list[str]]:
    """Positions of the rows whose symbol is in any set, and the sets' symbols that no row has."""
    wanted = {symbol for members in sets.values() for symbol in members}
    present = set(symbols)
    return [at for at, symbol in enumerate(symbols) if symbol in wanted], sorted(wanted - present)


@dataclass(frozen=True)
class SetCounts:
    """How much of gene sets a matrix holds."""

    genes: Mapping[str, int]
    """Set -> its symbols."""
    present: Mapping[str, int]
    """Set -> those of them that a row of the matrix has."""
    symbols: int
    """Symbols of all sets, each once."""
    found: int
    """Those of them that a row has."""

    @property
    def kept(self) -> list[str]:
        """Sets with a gene in the matrix."""
        return [name for name, count in self.present.items() if count]

    @property
    def lost(self) -> list[str]:
        """Sets without any: they are left out."""
        return [name for name, count in self.present.items() if not count]

    @property
    def smallest(self) -> str:
        """The kept set with fewest genes; "" where none is kept."""
        return min(self.kept, key=lambda name: self.present[name], default="")

    def said(self) -> str:
        """All of it in words, the first of the lost sets by name."""
        text = (
            f"{len(self.kept)} of {len(self.genes)} sets have genes in the matrix, {self.found:,} of {self.symbols:,} "
            f"symbols; smallest set {self.smallest or 'none'}"
        )
        if self.smallest:
            text += f" with {self.present[self.smallest]} of {self.genes[self.smallest]}"
        if not self.lost:
            return f"{text}; no set left out"
        return f"{text}; left out without a gene: {', '.join(self.lost[:3])}{', ...' if len(self.lost) > 3 else ''}"


def count_sets(sets: Mapping[str, Sequence[str]], symbols: Sequence[str]) -> SetCounts:
    """How much of ``sets`` a matrix with rows of these ``symbols`` holds."""
    there, every = set(symbols), {symbol for members in sets.values() for symbol in members}
    genes = {name: len(set(members)) for name, members in sets.items()}
    present = {name: len(set(members) & there) for name, members in sets.items()}
    return SetCounts(genes, present, len(every), len(every & there))


def nothing_matches(sets: Mapping[str, Sequence[str]], symbols: Sequence[str], where: str) -> str:
    """What to say where no set has a gene among the rows: both sides' names, and the fix."""
    members = [symbol for names in sets.values() for symbol in names]
    return (
        f"{where}: none of its {len(sets)} sets has a gene in the expression matrix: the sets name "
        f"{', '.join(members[:3]) or 'nothing'}, the matrix {', '.join(list(symbols)[:3]) or 'nothing'}; symbols or "
        "ids? Both must be symbols: a probe map (expression.sources.<name>.probemap) gives ids their symbols"
    )
