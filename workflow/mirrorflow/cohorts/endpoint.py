"""Outcomes of one cause of death: deaths of any cause beside them, and the dead whose cause nobody knows.

A cohort's frame then has ``any_cause_days`` and ``any_cause_event`` (NaN when unknown) beside ``time_days`` and
``event``, which are of the one cause. A death of another cause censors the outcome, and competes with it.
"""

import logging

import numpy as np
import pandas as pd

from mirrorflow.config.queries import CAUSE_SPECIFIC
from mirrorflow.errors import InputError
from mirrorflow.units import DAYS_PER_MONTH

ANY_CAUSE = DAYS, EVENT = "any_cause_days", "any_cause_event"
SHOWN = 3

logger = logging.getLogger("mirrorflow.cohorts.patients")


def with_any_cause(frame: pd.DataFrame, any_cause: pd.DataFrame, where: str, name: str) -> pd.DataFrame:
    """``frame`` with deaths of any cause.

    any_cause: patient, time_days and event of death of any cause; name: what the outcome is called. Raises InputError
    naming patients who died of the one cause and not of any. Times that differ by more than a month are logged.
    """
    beside = any_cause.set_index("patient").loc[frame["patient"]]
    whole = frame.assign(**{DAYS: beside["time_days"].to_numpy(), EVENT: beside["event"].to_numpy()})
    if len(wrong := whole.loc[(whole["event"] == 1) & (whole[EVENT] == 0), "patient"]):
        message = (
            f"{where}: {len(wrong)} patients died of the cause of {name} and are alive by the column of any cause: "
            f"{_some(wrong)}; correct one of the two, or name other columns under cause_specific"
        )
        raise InputError(message)
    known = whole[whole["event"].notna() & whole[EVENT].notna()]
    if not (known["event"] < known[EVENT]).any():
        logger.warning("%s: no death of another cause than that of %s: is it the same column twice?", where, name)
    apart = (known["time_days"] - known[DAYS]).abs() > DAYS_PER_MONTH
    if apart.any():
        logger.warning(
            "%s: time of %s and of any cause differ by more than a month of %d patients: %s; that of %s counts",
            where,
            name,
            int(apart.sum()),
            _some(known.loc[apart, "patient"]),
            name,
        )
    return whole


def _some(patients: pd.Series) -> str:
    return ", ".join(patients.head(SHOWN)) + (", ..." if len(patients) > SHOWN else "")


def is_cause_specific(frame: pd.DataFrame) -> bool:
    """Whether a cohort's outcome is of one cause."""
    return EVENT in frame


def died_of_another_cause(frame: pd.DataFrame) -> pd.Series:
    """Rows whose outcome is censored by a death of another cause."""
    return (frame["event"] == 0) & (frame[EVENT] == 1)


def died_of_unknown_cause(frame: pd.DataFrame) -> pd.Series:
    """Rows of the dead whose outcome is unknown; their time of death is known and above 0. None of other cohorts."""
    if not is_cause_specific(frame):
        return pd.Series(data=False, index=frame.index)
    return (frame["event"].isna() | frame["time_days"].isna()) & (frame[EVENT] == 1) & (frame[DAYS] > 0)


def deaths_by_cause(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Rows of the dead by cause, in the words of a cohort's flow; nothing where the outcome is not of one cause."""
    if not is_cause_specific(frame):
        return {}
    followed = frame["time_days"].gt(0) & frame["event"].notna()
    return {
        "of these dead, whatever the cause": frame[EVENT] == 1,
        "of these dead of the outcome's cause (events)": followed & (frame["event"] == 1),
        "of these dead of another cause (censored)": followed & died_of_another_cause(frame),
        "of these dead of unknown cause (left out)": died_of_unknown_cause(frame),
    }


def causes(frame: pd.DataFrame) -> np.ndarray:
    """What ended each row's follow-up: 0 nothing (censored), 1 the outcome, 2 a death of another cause."""
    return np.where(frame["event"] == 1, 1, np.where(died_of_another_cause(frame), 2, 0))


def endpoint_title(name: str) -> str:
    """``DSS, cause-specific``."""
    return f"{name}, {CAUSE_SPECIFIC}"
