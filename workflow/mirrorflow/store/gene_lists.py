"""Curated cancer genes of a cohort: the census the user gives, or the open list that stands in for it."""

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.config.cells import require_all_closed
from mirrorflow.errors import InputError
from mirrorflow.expression.census import CensusGene, match_census, parse_census

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Curated:
    """Rows of the curated genes and where they come from: "census", "drivers" or "" for none."""

    source: str
    rows: list[int]
    record: dict[str, Any]


def curated_genes(
    settings: Mapping[str, Any], census: Path | None, drivers: Path, cohort: str, symbols: Sequence[str]
) -> Curated:
    """Census genes among the rows' ``symbols``, or the stand-in where no census file is given.

    settings: ``census`` (false for none), ``tumour_types`` and ``tiers``; cohort: the stand-in's list to take.
    Raises InputError for files that cannot be read.
    """
    if settings.get("census", "auto") is False:
        return Curated("", [], {"source": None})
    if census:
        genes = parse_census(
            read_list(census, "expression.census"),
            where=str(census),
            tumour_types=settings.get("tumour_types") or (),
            tiers=settings.get("tiers") or (1, 2),
        )
        source, path, note = "census", census, f"tumour types {settings.get('tumour_types') or 'all'}"
    else:
        genes, note = _drivers(drivers, cohort)
        source, path = "drivers", drivers
        logger.warning("no census file given: %s stands in for it (%s)", drivers, note)
    match = match_census(genes, symbols)
    if not match.positions:
        first = ", ".join(list(symbols)[:3])
        logger.warning(
            "%s: none of its %d genes is in the expression, whose genes are named %s: are these ids? A probe map "
            "(expression.sources.<name>.probemap) gives them symbols",
            path,
            len(genes),
            first,
        )
    elif match.unmatched:
        logger.warning("%s: %d genes are not in the expression", path, len(match.unmatched))
    record = {
        "source": source,
        "stand_in": source == "drivers",
        "file": path.name,
        "note": note,
        "genes": len(genes),
        "transcripts": len(match.positions),
        "unmatched": match.unmatched,
    }
    return Curated(source, match.positions, record)


def _drivers(path: Path, cohort: str) -> tuple[list[CensusGene], str]:
    """The stand-in's genes for a cohort; those of all cohorts where it is not among them."""
    text = read_list(path, "expression.drivers")
    require_all_closed(text, "\t", str(path))
    try:
        table = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        message = f"{path}: not readable as a list of drivers: {error}"
        raise InputError(message) from error
    if missing := {"cohort", "gene"} - set(table.columns):
        message = f"{path}: no column {', '.join(sorted(missing))}; the list of drivers has cohort and gene"
        raise InputError(message)
    own = table[table["cohort"].str.lower() == cohort.lower()]
    note = f"drivers of {cohort}" if len(own) else f"{cohort} is not among its cohorts: drivers of all of them"
    return [CensusGene(symbol) for symbol in dict.fromkeys((own if len(own) else table)["gene"])], note


def read_list(path: Path, key: str) -> str:
    """Text of a file that the setting ``key`` names. Raises InputError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); {key} names it"
        raise InputError(message) from error
