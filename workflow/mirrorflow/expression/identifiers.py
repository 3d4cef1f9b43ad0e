"""Names of samples, genes and transcripts, and what the sources make of them."""

import io
import re
from collections.abc import Iterable, Mapping
from typing import BinaryIO

import pandas as pd

from mirrorflow.config.cells import require_all_closed
from mirrorflow.config.unknown import is_unknown
from mirrorflow.errors import InputError

TCGA_BARCODE = re.compile(r"(?P<patient>[A-Z0-9]{4}-[A-Z0-9]{2}-[A-Z0-9]{4})(?:-(?P<type>\d{2})[A-Z]?(?:-.*)?)?\Z")
ENSEMBL_VERSION = re.compile(r"(?P<stem>ENS[A-Z]*[GTP]\d{11})\.\d+(?P<par>_PAR_Y)?\Z")
SAMPLE_TYPE = re.compile(r"-\d{2}[A-Z]?\Z")

PRIMARY_TUMOUR = "01"


def tcga_sample(barcode: str) -> tuple[str, str] | None:
    """Patient and sample type code of a TCGA barcode, None for other names.

    ``TCGA-3C-AALI-01A-11R`` -> ``("TCGA-3C-AALI", "01")``; a bare patient counts as primary tumour.
    """
    match = TCGA_BARCODE.match(barcode)
    return (match["patient"], match["type"] or PRIMARY_TUMOUR) if match else None


def named_sample(name: str, known: frozenset[str] | None) -> tuple[str, str]:
    """Patient and sample type code of a column that is named after a patient, with or without a sample type.

    With ``known`` patients a type is cut only where the name itself is unknown and the rest is known;
    without them only TCGA's barcodes are cut: another source's ``P-01`` may be a patient. The type is that of a
    TCGA barcode; any other name, and one that is a known patient as it stands, counts as primary tumour.
    """
    if known is not None and name in known:
        return name, PRIMARY_TUMOUR
    barcode = tcga_sample(name)
    patient, code = barcode or (SAMPLE_TYPE.sub("", name), PRIMARY_TUMOUR)
    certain = barcode is not None if known is None else patient in known
    return patient if certain else name, code


def without_version(identifier: str) -> str:
    """An Ensembl id without its version: ``ENST00000373020.8`` -> ``ENST00000373020``; others as they are."""
    match = ENSEMBL_VERSION.match(identifier)
    return match["stem"] + (match["par"] or "") if match else identifier


def read_probemap(stream: BinaryIO, where: str) -> dict[str, str]:
    """Symbols by transcript (or probe) from Xena's tab-separated probe map: columns ``id`` and ``gene``.

    A gene that is unknown (?, NA, ...) is "": all such probes would else be one gene.

    Raises InputError when a column is missing, where an id has two genes, and for a quote that swallows lines.
    """
    text = stream.read().decode("utf-8-sig", errors="replace")
    require_all_closed(text, "\t", where)
    try:
        table = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False).fillna("")
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        message = f"{where}: not readable as a probe map: {error}"
        raise InputError(message) from error
    table.columns = table.columns.str.lstrip("#")
    if missing := {"id", "gene"} - set(table.columns):
        message = f"{where}: no column {', '.join(sorted(missing))}; a probe map is tab-separated with id and gene"
        raise InputError(message)
    symbols: dict[str, str] = {}
    for key, gene in zip(table["id"], ("" if is_unknown(gene) else gene for gene in table["gene"]), strict=True):
        if gene and symbols.get(key, gene) not in ("", gene):
            message = f"{where}: {key} has two genes, {symbols[key]} and {gene}; keep one line of it"
            raise InputError(message)
        symbols[key] = gene or symbols.get(key, "")
    return symbols


class SymbolMap:
    """Symbols of ids: by the id itself, else by the id without its version, else the id."""

    def __init__(self, probemap: Mapping[str, str] | None) -> None:
        self.exact = dict(probemap or {})
        self.by_stem = {without_version(key): symbol for key, symbol in self.exact.items()}
        self.unmapped = 0

    def symbols(self, ids: Iterable[str]) -> list[str]:
        """One symbol an id; ids that the map lacks stand for themselves and are counted in ``unmapped``."""
        return [self._symbol(identifier) for identifier in ids]

    def _symbol(self, identifier: str) -> str:
        symbol = self.exact.get(identifier) or self.by_stem.get(without_version(identifier))
        if symbol:
            return symbol
        self.unmapped += bool(self.exact)
        return identifier
