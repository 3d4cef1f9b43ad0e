"""Curated cancer genes: COSMIC's Cancer Gene Census in both formats, or a list of one's own."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mirrorflow.config.cells import lines_of, mappings_of, rows_of
from mirrorflow.errors import InputError

COLUMNS = {
    "symbol": ("GENE_SYMBOL", "Gene Symbol"),
    "tumours": ("TUMOUR_TYPES_SOMATIC", "Tumour Types(Somatic)"),
    "tier": ("TIER", "Tier"),
    "synonyms": ("SYNONYMS", "Synonyms"),
}
"""The new TSV's and the old CSV's header of each column."""

SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@/-]*\Z")


@dataclass(frozen=True)
class CensusGene:
    """A gene by its symbol, and the other names it goes by."""

    symbol: str
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class CensusMatch:
    """Positions of the census genes among the expression's rows, and the symbols found nowhere."""

    positions: list[int]
    unmatched: list[str]


def parse_census(
    text: str, *, where: str, tumour_types: Sequence[str] = (), tiers: Collection[int] = (1, 2)
) -> list[CensusGene]:
    """Genes of a census: COSMIC's CSV or TSV (told apart by the header), or one symbol a line.

    tumour_types: beginnings of words of COSMIC's somatic tumour types ("breast" matches "lobular breast", "renal" does
    not match "adrenal"), none for all;
    tiers: those kept (files without a tier column keep all). Both pass over a plain list.
    Raises InputError when the file is neither, or holds no gene that passes.
    """
    lines = lines_of(text)
    header = lines[0] if lines else ""
    if any(name in header for name in COLUMNS["symbol"]):
        rows = mappings_of(list(rows_of(lines, "\t" if "\t" in header else ",", where)))
        genes = [_gene(row) for row in rows if _passes(row, tumour_types, tiers)]
        if rows and not genes:
            raise InputError(_nothing_passes(rows, where, tumour_types, tiers))
    else:
        genes = [CensusGene(symbol) for symbol in _plain(lines, where)]
    if not genes:
        message = f"{where}: no genes; give COSMIC's Cancer Gene Census (CSV or TSV) or one symbol a line"
        raise InputError(message)
    return list({gene.symbol: gene for gene in genes}.values())


def match_census(genes: Sequence[CensusGene], symbols: Sequence[str]) -> CensusMatch:
    """Find ``genes`` among the rows' ``symbols``: by symbol, else by the first synonym that is there."""
    rows: dict[str, list[int]] = {}
    for position, symbol in enumerate(symbols):
        rows.setdefault(symbol.upper(), []).append(position)
    positions: set[int] = set()
    unmatched = []
    for gene in genes:
        names = (gene.symbol, *gene.synonyms)
        found = next((rows[name.upper()] for name in names if name.upper() in rows), None)
        if found is None:
            unmatched.append(gene.symbol)
        else:
            positions.update(found)
    return CensusMatch(sorted(positions), unmatched)


def _cell(row: dict[str, str], column: str) -> str:
    return next((row[name].strip() for name in COLUMNS[column] if row.get(name)), "")


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,;]", cell.strip('"')) if part.strip()]


def _gene(row: dict[str, str]) -> CensusGene:
    return CensusGene(_cell(row, "symbol"), tuple(_parts(_cell(row, "synonyms"))))


def _passes(row: dict[str, str], tumour_types: Sequence[str], tiers: Collection[int]) -> bool:
    tier = _cell(row, "tier")
    if not _cell(row, "symbol") or (tier and tier not in {str(wanted) for wanted in tiers}):
        return False
    tumours = "; ".join(_parts(_cell(row, "tumours")))
    return not tumour_types or any(_at_a_words_start(wanted, tumours) for wanted in tumour_types)


def _at_a_words_start(wanted: str, tumours: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(wanted)}", tumours, re.IGNORECASE) is not None


def _nothing_passes(rows: list[dict[str, str]], where: str, tumour_types: Sequence[str], tiers: Collection[int]) -> str:
    known = sorted({part for row in rows for part in _parts(_cell(row, "tumours"))})
    return (
        f"{where}: none of {len(rows)} genes has a somatic tumour type among {list(tumour_types)} and a tier among "
        f"{sorted(tiers)}; its tumour types begin with {', '.join(known[:8])}"
    )


def _plain(lines: Sequence[str], where: str) -> list[str]:
    symbols = []
    for number, line in enumerate(lines, start=1):
        symbol = line.split("#")[0].strip()
        if symbol and not SYMBOL.match(symbol):
            message = (
                f"{where}, line {number}: {symbol[:60]!r} is no gene symbol; "
                "a list has one a line, COSMIC's files a header with GENE_SYMBOL or Gene Symbol"
            )
            raise InputError(message)
        if symbol:
            symbols.append(symbol)
    return symbols
