"""Gene families and pathways: one column a set, gene symbols below its name."""

from collections.abc import Mapping, Sequence

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
