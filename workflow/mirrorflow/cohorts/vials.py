"""Several rows of one patient (the vials 01A and 01B) as one: what any of them knows, refused where two differ."""

from collections.abc import Mapping

import pandas as pd

from mirrorflow.config.unknown import is_unknown
from mirrorflow.errors import InputError

SHOWN = 5


def one_row_each(frame: pd.DataFrame, names: Mapping[str, str], where: str) -> pd.DataFrame:
    """One row a patient, in the order of their first rows; ``frame`` has ``patient`` and columns of text.

    names: what each column is called in the table. Raises InputError naming patient, column and values that differ.
    """
    repeated = frame["patient"].duplicated(keep=False)
    if not repeated.any():
        return frame
    merged, problems = [], []
    for patient, rows in frame[repeated].groupby("patient", sort=False):
        values = {column: _known(rows[column]) for column in names}
        merged.append({"patient": patient} | {column: known[0] if known else "" for column, known in values.items()})
        problems += [
            f"{patient}: {names[column]} is {' and '.join(map(repr, known))}"
            for column, known in values.items()
            if len(known) > 1
        ]
    if problems:
        more = f" (and {len(problems) - SHOWN} more)" if len(problems) > SHOWN else ""
        message = (
            f"{where}: samples of one patient differ: {'; '.join(problems[:SHOWN])}{more}; keep one value a patient"
        )
        raise InputError(message)
    whole = pd.concat([frame[~repeated], pd.DataFrame(merged, columns=frame.columns)])
    order = frame["patient"].drop_duplicates()
    return whole.set_index("patient").loc[order].reset_index()[list(frame.columns)]


def _known(column: pd.Series) -> list[str]:
    """Different known values of a column as they are written first; 61 and 61.0 are one."""
    found: dict[object, str] = {}
    for value in column:
        if not is_unknown(value):
            found.setdefault(_number(value), str(value))
    return list(found.values())


def _number(value: object) -> object:
    text = str(value).strip()
    try:
        return float(text)
    except ValueError:
        return text
