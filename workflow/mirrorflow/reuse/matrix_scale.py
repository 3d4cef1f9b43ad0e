"""The new patients' expression held against the whole training matrix, where the store still has it.

A model's genes may be few, very variable, or unscaled (``rna_scaling: none``). Its scale shows in all genes.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mirrorflow.errors import InputError
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.reuse.feature_checks import DIFFERS, NOT_KNOWN, SAME, Check
from mirrorflow.reuse.genes import match_genes
from mirrorflow.reuse.scale import judged
from mirrorflow.store.expression import Expression, read_expression, read_names

MOST_GENES = 5000
"""More are looked at in even steps."""
LEAST_PATIENTS = 10
WHAT = "scale (whole matrix)"


@dataclass(frozen=True)
class MatrixScale:
    """What was compared; patient -> why its expression is on another scale."""

    check: Check
    faults: dict[str, str] = field(default_factory=dict)


def against_training(new: Expression, file: Path | None, cohort: Collection[str]) -> MatrixScale:
    """Patients of ``new`` against those of ``cohort`` in the training matrix; nothing is judged without enough of them.

    Raises InputError where the file is damaged.
    """
    scaler, genes = ({}, []) if file is None else _training(file, new, cohort)
    if not scaler:
        return MatrixScale(Check(WHAT, NOT_KNOWN, "the store has it no more", "not compared"))
    training = f"{len(genes)} genes of {file}"
    try:
        found = judged(match_genes(genes, new).values, scaler)
    except InputError as error:
        return MatrixScale(Check(WHAT, DIFFERS, training, str(error)), dict.fromkeys(new.patients, str(error)))
    assert found is not None
    faults = {new.patients[row]: why for row, why in found.faults().items()}
    farthest = int(np.argmax(found.distance))
    told = f"{found.distance[farthest]:.2f} training deviations (median gene) at most, {new.patients[farthest]}"
    told += f"; on another scale: {', '.join(list(faults)[:3])} ({len(faults)})" if faults else ""
    return MatrixScale(Check(WHAT, DIFFERS if faults else SAME, training, told), faults)


def _training(file: Path, new: Expression, cohort: Collection[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Mean and deviation of the genes that both have; empty where too few patients or no genes meet."""
    there, ids, _ = read_names(file)
    patients = [name for name in there if name in cohort]
    missing = set(match_genes(ids, new).missing)
    genes = [name for name in ids if name not in missing]
    genes = genes[:: -(-len(genes) // MOST_GENES) or 1]
    if len(patients) < LEAST_PATIENTS or not genes:
        return {}, []
    values = read_expression(file, patients=patients, genes=genes).values
    return RnaScaler.fit(values, scaling="train").to_arrays(), genes
