"""Genes of a trained model among those of another matrix."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mirrorflow.errors import InputError
from mirrorflow.expression.identifiers import without_version
from mirrorflow.store.expression import Expression


@dataclass(frozen=True)
class MatchedGenes:
    """values [patient, gene] unscaled, NaN where the matrix lacks a gene; ids that it lacks; how many ids met only
    without their version (``ENSG00000141510.17``)."""

    values: np.ndarray
    missing: tuple[str, ...]
    without_version: int

    @property
    def missing_share(self) -> float:
        """Share of the model's genes that the matrix lacks."""
        return len(self.missing) / max(self.values.shape[1], 1)


def match_genes(wanted: Sequence[str], expression: Expression) -> MatchedGenes:
    """The genes ``wanted`` by id in ``expression``; an Ensembl id that is not there as it stands is looked for
    without its version, where that names a single row. Other ids meet as they stand: AC004556.1 and AC004556.3 are two
    genes."""
    place = {name: column for column, name in enumerate(expression.ids)}
    plain = _unversioned(expression.ids)
    columns, versioned = [], 0
    for name in wanted:
        column = place.get(name)
        if column is None:
            column = plain.get(without_version(name))
            versioned += column is not None
        columns.append(-1 if column is None else column)
    values = np.full((len(expression.patients), len(wanted)), np.nan, np.float32)
    found = np.array([column >= 0 for column in columns], bool)
    values[:, found] = expression.values[:, [column for column in columns if column >= 0]]
    missing = tuple(name for name, there in zip(wanted, found, strict=True) if not there)
    return MatchedGenes(values, missing, versioned)


def require_genes(matched: MatchedGenes, wanted: int, most: float, expression: Expression) -> None:
    """Raises InputError where more than the share ``most`` of a model's genes is missing."""
    if matched.missing_share <= most:
        return
    message = (
        f"{len(matched.missing)} of the model's {wanted} genes are not in the expression sheet (at most {most:.0%} may "
        f"be missing): {', '.join(matched.missing[:3])}; the sheet has {', '.join(expression.ids[:3])}, ...; bring the "
        "sheet to the ids of the training matrix"
    )
    raise InputError(message)


def _unversioned(ids: Sequence[str]) -> dict[str, int]:
    """Id without version -> its row; ids that several rows share are left out."""
    found: dict[str, list[int]] = {}
    for row, name in enumerate(ids):
        found.setdefault(without_version(name), []).append(row)
    return {name: rows[0] for name, rows in found.items() if len(rows) == 1}
