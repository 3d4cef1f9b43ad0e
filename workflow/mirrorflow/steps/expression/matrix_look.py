"""What an expression matrix holds, looked through before a run converts it."""

import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.expression.matrix import require_no_infinity
from mirrorflow.expression.no_genes import LeftOut, require_genes
from mirrorflow.expression.samples import choose_samples
from mirrorflow.expression.units import ValueLook
from mirrorflow.steps.expression.convert_expression import require_new
from mirrorflow.steps.expression.matrix_files import opened_matrix


@dataclass(frozen=True)
class MatrixLook:
    """Patients of a matrix, and of how many genes the values were looked at; ``whole``: of all. samples: the names of
    all its columns; dropped: how many of them by TCGA's sample type; named: values [patient, id] of the ids asked for.
    """

    patients: list[str]
    genes: int
    whole: bool
    values: ValueLook
    samples: list[str]
    dropped: Mapping[str, int]
    named: pd.DataFrame


def look_at_matrix(
    matrix: Path,
    settings: Mapping[str, Any],
    most_values: float,
    said: Callable[[int], None] = lambda genes: None,
    names: Collection[str] = (),
) -> MatrixLook:
    """What a matrix holds under ``settings`` (orientation, sample_ids): its patients, and values that a run could use.

    Values are read from the start until there are ``most_values``. said: is told the number of genes after each part.
    names: ids whose values are kept. Raises InputError as :func:`convert_expression`.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        opened_matrix(matrix, settings["orientation"], Path(scratch)) as source,
    ):
        choice = choose_samples(source.samples, sample_ids=settings["sample_ids"], patients=None, where=str(matrix))
        samples, seen = [source.samples[position] for position in choice.positions], set[str]()
        left_out, look, whole, named = LeftOut(), ValueLook(), True, dict[str, Any]()
        for rows, read in source.chunks(choice.positions):
            ids, values = left_out.genes_of(rows, read)
            require_genes(ids, str(matrix))
            require_new(ids, seen, str(matrix))
            require_no_infinity(ids, values, samples, str(matrix))
            look.read(ids, values)
            for row in [row for row, name in enumerate(ids) if name in names]:
                named[ids[row]] = choice.average(values[[row]])[0]
            said(len(seen))
            if len(seen) * len(samples) >= most_values:
                whole = False
                break
        return MatrixLook(
            patients=choice.patients,
            genes=len(seen),
            whole=whole,
            values=look,
            samples=list(source.samples),
            dropped=choice.dropped_by_type,
            named=pd.DataFrame(named, index=choice.patients),
        )
