"""Columns of the clinical data that stand among the genes of a matrix: a joined table, read as samples by genes.

Told from the values, since a sheet may well have a column TP53 of its own, such as a mutation.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mirrorflow.config.unknown import is_unknown

OUTCOMES = {"label": "label", "time": "time_days", "event": "event", "site": "site"}
"""Our names in the config's ``columns`` -> columns of the frame; no model may see what they say."""
FEWEST = 5
"""Patients with both, below which two columns may go together by chance."""


def clinical_columns(frame: pd.DataFrame, columns: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Every name that a column of the sheet may have in a matrix -> our name of it, and its column of ``frame``.

    columns: our names -> the sheet's. Start and end of follow-up are no column of the frame.
    """
    named = {name: (name, name) for name in map(str, frame) if name not in ("patient", "slide_ids", "sheet_label")}
    named |= {ours: (ours, column) for ours, column in OUTCOMES.items() if column in frame}
    theirs = {columns[ours]: named[ours] for ours in columns if ours in named}
    return named | theirs


def told_by(frame: pd.DataFrame, columns: Mapping[str, str], values: pd.DataFrame) -> dict[str, str]:
    """Rows of a matrix that say what a column of the clinical data says: id -> our name of the column.

    values: [patient, id] of the ids that are names of :func:`clinical_columns`; frame: the clinical data.
    """
    named, there = clinical_columns(frame, columns), frame.set_index("patient")
    shared = [name for name in values.index if name in there.index]
    return {
        str(name): named[str(name)][0]
        for name in values
        if same_answers(there.loc[shared, named[str(name)][1]], values[name].loc[shared].to_numpy(float))
    }


def same_answers(column: pd.Series, values: NDArray[np.float64]) -> bool:
    """Whether ``values`` (NaN unknown) order the patients as a column of numbers does, or code its few words.

    A scaling or a logarithm of the numbers still counts as the same.
    """
    known = ~column.map(is_unknown).to_numpy(bool) & ~np.isnan(values)
    answers, measured = column[known], values[known]
    if len(answers) < FEWEST or len(np.unique(measured)) < 2:
        return False
    numbers, codes = pd.to_numeric(answers, errors="coerce"), np.unique(measured, return_inverse=True)[1]
    if numbers.notna().all():
        ranks = np.unique(numbers.to_numpy(np.float32), return_inverse=True)[1]
        return bool((ranks == codes).all() or (ranks.max() - ranks == codes).all())
    words = pd.factorize(answers)[0]
    kinds = len(set(zip(words, codes, strict=True)))
    return kinds == words.max() + 1 == codes.max() + 1 and 2 * kinds <= len(answers)


def refusal(told: Mapping[str, str], matrix: str) -> str:
    """What is wrong where genes tell label, outcome or site; "" where none of them does."""
    wrong = [f"{name!r} ({ours})" for name, ours in told.items() if ours in OUTCOMES]
    if not wrong:
        return ""
    return (
        f"{matrix}: {_listed(wrong)} among the genes: it says what the clinical data's column says, so that a model "
        "would see the answer; take it out of the matrix"
    )


def warning(told: Mapping[str, str], matrix: str) -> str:
    """What to know where genes are further columns of the clinical data; "" where none is."""
    beside = [repr(name) for name, ours in told.items() if ours not in OUTCOMES]
    if not beside:
        return ""
    return f"{matrix}: {_listed(beside)} among the genes: the clinical data has the same column; is it a gene?"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
