"""Rows and columns of a matrix that are no genes and no samples: what counting programs write beside their counts."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mirrorflow.config.unknown import is_unknown
from mirrorflow.errors import InputError

SPECIAL = re.compile(
    r"__(no_feature|ambiguous|too_low_a?qual|not_aligned|alignment_not_unique)"  # htseq-count
    r"|N_(unmapped|multimapping|noFeature|ambiguous)"  # STAR --quantMode GeneCounts, GDC
    r"|(Una|A)ssigned(_\w+)?"  # featureCounts' summary
    r"|ERCC-\d{5}|SIRV\d{3,}",  # spike-ins
    re.IGNORECASE,
)

ANNOTATION = frozenset(
    {
        "Chr", "Start", "End", "Strand", "Length",  # featureCounts
        "gene_name", "gene_type", "gene_biotype", "Description", "Entrez_Gene_Id",  # GDC, GCT, cBioPortal
    }
)  # fmt: skip
"""Columns that describe a gene."""

CLINICAL = re.compile(
    r"label|subtype|outcome|event|time|time_days|vital_status|status|site|stage|grade|age|sex|gender|race|ethnicity"
    r"|age_at_\w+|days_to_\w+|cens(or(ed|ing|ship)?|ure)?|zens(ur|iert|ierung)|alive|dead|am[._ ]?leben"
    r"|(os|dss|pfs|pfi|dfs|dfi|rfs|efs)[._ ]?(time|event|status|days|months|years|cens\w*|zens\w*)",
    re.IGNORECASE,
)
"""Columns of a clinical sheet, in a matrix that was joined with it; no gene has such a symbol."""

SHOWN = 20


def is_no_gene(identifier: object) -> bool:
    """Whether the id of a row is empty or unknown, a counter of reads without a gene, a spike-in or an annotation."""
    text = str(identifier).strip()
    return is_unknown(identifier) or text in ANNOTATION or SPECIAL.fullmatch(text) is not None


def require_genes(ids: Sequence[str], where: str) -> None:
    """Raise InputError where clinical columns stand among the genes: models would see the outcome as expression."""
    wrong = [name for name in ids if CLINICAL.fullmatch(str(name).strip())]
    if wrong:
        message = (
            f"{where}: {', '.join(map(repr, wrong[:5]))} among the genes: columns of a clinical sheet, which models "
            "would see as expression; take them out of the matrix, or rename what is a gene"
        )
        raise InputError(message)


@dataclass
class LeftOut:
    """Rows that were left out; the names of the first."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def genes_of(self, ids: Sequence[str], values: NDArray) -> tuple[list[str], NDArray]:
        """The rows that are genes, of ``ids`` [row] and ``values`` [row, ...]; the others are counted and named."""
        bad = [row for row, identifier in enumerate(ids) if is_no_gene(identifier)]
        if not bad:
            return list(ids), values
        self.count += len(bad)
        self.names += [str(ids[row] or "''") for row in bad[: SHOWN - len(self.names)]]
        out = set(bad)
        kept = [row for row in range(len(ids)) if row not in out]
        return [ids[row] for row in kept], values[np.asarray(kept, dtype=int)]
