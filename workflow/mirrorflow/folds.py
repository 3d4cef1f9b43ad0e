"""How folds are drawn: at random, or with every tissue source site on one side; never a patient on both."""

import logging

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from mirrorflow.cohort import has_label, has_outcome
from mirrorflow.errors import InputError
from mirrorflow.splits import Fold

logger = logging.getLogger("mirrorflow.folds")


def _strata(cohort: pd.DataFrame, folds: int, where: str) -> np.ndarray:
    """What folds are balanced by: the label, else the event; groups smaller than ``folds`` are joined."""
    outcome = np.where(has_outcome(cohort), "event " + cohort["event"].astype(str), "unknown")
    strata = pd.Series(np.where(has_label(cohort), cohort["label"], outcome))
    counts = strata.value_counts()
    small = counts[counts < folds]
    labels = [f"{name} ({count})" for name, count in small.items() if name in set(cohort["label"])]
    if labels:
        logger.warning(
            "%s: fewer patients than the %d folds in class %s: some folds will lack the class",
            where,
            folds,
            ", ".join(labels),
        )
    return strata.where(~strata.isin(small.index), "small groups").to_numpy()


def random_folds(cohort: pd.DataFrame, folds: int, seed: int, where: str = "cohort") -> list[Fold]:
    """Random folds of patients, balanced by label. ``cohort`` has one row per patient.

    Raises InputError when there are fewer patients than folds.
    """
    _check_count(len(cohort), folds, where, "patients")
    strata = _strata(cohort, folds, where)
    strata = _join_if_too_small(strata, folds)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(cohort, strata)
    return [_fold(cohort, train, val) for train, val in parts]


def site_preserved_folds(cohort: pd.DataFrame, folds: int, seed: int, where: str = "cohort") -> list[Fold]:
    """Folds in which no tissue source site is on both sides, balanced by label as well as sites allow.

    After Howard et al. 2021 (site-specific digital histology signatures); grouping by
    scikit-learn's StratifiedGroupKFold. Raises InputError with fewer sites than folds.
    """
    sites = cohort["site"].fillna("").to_numpy()
    if (sites == "").any():
        message = f"{where}: {int((sites == '').sum())} patients have no site; give a `site` or set splits: random"
        raise InputError(message)
    _check_count(len(set(sites)), folds, where, "sites")
    strata = _join_if_too_small(_strata(cohort, folds, where), folds)
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(cohort, strata, sites)
    return [_fold(cohort, train, val) for train, val in parts]


def _join_if_too_small(strata: np.ndarray, folds: int) -> np.ndarray:
    names, counts = np.unique(strata, return_counts=True)
    small = names[counts < folds]
    return np.where(np.isin(strata, small), names[counts.argmax()], strata)


def _check_count(count: int, folds: int, where: str, what: str) -> None:
    if count < folds:
        message = f"{where}: {count} {what} for {folds} folds; set splits.folds to at most {count}"
        raise InputError(message)


def _fold(cohort: pd.DataFrame, train: np.ndarray, val: np.ndarray) -> Fold:
    patients = cohort["patient"].to_numpy()
    return Fold(tuple(patients[train]), tuple(patients[val]))
