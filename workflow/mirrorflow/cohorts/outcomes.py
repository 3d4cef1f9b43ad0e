"""Labels and outcomes of predicted rows, held against the cohort and taken from it."""

import pandas as pd

TARGETS = {"subtyping": ("label",), "survival": ("time_days", "event")}
"""Columns of a task that the cohort decides, whatever a predictions file says of them."""

UNKNOWN_PATIENTS, FILLED_IN, OTHER_TARGETS = "unknown_patients", "filled_in", "other_targets"


def differing_outcomes(rows: pd.DataFrame, cohort: pd.DataFrame, task: str) -> dict[str, list[str]]:
    """Patients [kind] of whom ``rows`` say what the cohort does not; kinds without a patient are left out.

    rows: patient and the task's :data:`TARGETS`; cohort: the same, one row a patient. Kinds: ``unknown_patients`` (not
    in the cohort), ``filled_in`` (the cohort knows no label or outcome), ``other_targets`` (it knows another). Every
    row counts, so that a patient of several settings is compared in each.
    """
    known = cohort.drop_duplicates("patient").set_index("patient")
    inside = rows["patient"].isin(known.index)
    mine = rows[inside]
    there = known.loc[mine["patient"]].set_axis(mine.index)
    unknown, differs = _compared(mine, there, task)
    found = {
        UNKNOWN_PATIENTS: rows.loc[~inside, "patient"],
        FILLED_IN: mine.loc[unknown, "patient"],
        OTHER_TARGETS: mine.loc[differs & ~unknown, "patient"],
    }
    return {kind: sorted(set(patients.astype(str))) for kind, patients in found.items() if len(patients)}


def _compared(mine: pd.DataFrame, there: pd.DataFrame, task: str) -> tuple[pd.Series, pd.Series]:
    """Rows of which the cohort knows nothing, and rows that say something else."""
    if task == "subtyping":
        ours, theirs = (frame["label"].fillna("") for frame in (there, mine))
        return ours == "", ours != theirs
    unknown = there["time_days"].isna() | there["event"].isna() | (there["time_days"] <= 0)
    return unknown, (there["time_days"] != mine["time_days"]) | (there["event"] != mine["event"])


def with_outcomes(rows: pd.DataFrame, cohort: pd.DataFrame, task: str) -> pd.DataFrame:
    """``rows`` with the task's :data:`TARGETS` as the cohort has them; every patient must be in the cohort."""
    known = cohort.drop_duplicates("patient").set_index("patient").loc[rows["patient"]]
    return rows.assign(**{name: known[name].to_numpy() for name in TARGETS[task]})
