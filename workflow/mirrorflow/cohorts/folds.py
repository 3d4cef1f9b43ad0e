"""How folds are drawn: at random, or with every tissue source site on one side; never a patient on both.

scikit-learn takes seconds to import; it is imported where folds are drawn, since most jobs only read some.
"""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mirrorflow.cohorts.patients import has_label, has_outcome
from mirrorflow.cohorts.splits import Fold
from mirrorflow.errors import InputError

logger = logging.getLogger("mirrorflow.cohorts.folds")


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


def random_folds(
    cohort: pd.DataFrame, folds: int, seed: int, where: str = "cohort", key: str = "splits.folds"
) -> list[Fold]:
    """Random folds of patients, balanced by label. ``cohort`` has one row per patient.

    key: the config's, for messages. Raises InputError when there are fewer patients than folds.
    """
    from sklearn.model_selection import StratifiedKFold

    _check_count(len(cohort), folds, where, "patients", key)
    strata = _strata(cohort, folds, where)
    strata = _join_if_too_small(strata, folds)
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(cohort, strata)
    return [_fold(cohort, train, val) for train, val in parts]


def site_preserved_folds(
    cohort: pd.DataFrame, folds: int, seed: int, where: str = "cohort", key: str = "splits.folds"
) -> list[Fold]:
    """Folds in which no tissue source site is on both sides, balanced by label as well as sites allow.

    After Howard et al. 2021 (site-specific digital histology signatures); grouping by
    scikit-learn's StratifiedGroupKFold. Raises InputError with fewer sites than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    sites = cohort["site"].fillna("").to_numpy()
    if (sites == "").any():
        message = f"{where}: {int((sites == '').sum())} patients have no site; give a `site` or set splits: random"
        raise InputError(message)
    _check_count(len(set(sites)), folds, where, "sites", key)
    if scarce := scarce_classes(cohort, folds, key):
        logger.warning("%s: %s", where, scarce)
    strata = _join_if_too_small(_strata(cohort, folds, where), folds)
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(cohort, strata, sites)
    drawn = [_fold(cohort, train, val) for train, val in parts]
    if lacking := _lacking_classes(drawn, cohort):
        logger.warning("%s: no patient of class %s; their metrics are undefined there", where, lacking)
    return drawn


def scarce_classes(cohort: pd.DataFrame, folds: int, key: str = "splits.folds") -> str:
    """Classes in fewer sites than ``folds``, with the counts and the fix, in words; nothing where there are none.

    A site is evaluated in one fold, so that a class in 4 sites is missing from one of 5 folds at least.
    """
    labelled = cohort[has_label(cohort)]
    sites = labelled.groupby("label")["site"].nunique()
    few = sites[sites < folds]
    if few.empty:
        return ""
    patients = labelled["label"].value_counts()
    told = ", ".join(f"{name} ({count} sites, {patients[str(name)]} patients)" for name, count in few.items())
    fewest = int(few.min())
    fewer = f"set {key} to at most {fewest}" if fewest > 1 else "join the class to another"
    return (
        f"fewer sites than the {folds} folds in class {told}: folds that keep sites apart will lack it in the "
        f"evaluation of {folds - fewest} or more; {fewer}, or draw folds with `splits: random`"
    )


def _lacking_classes(folds: Sequence[Fold], cohort: pd.DataFrame) -> str:
    """Classes that nobody has on a side of a fold, in words."""
    label = cohort[has_label(cohort)].set_index("patient")["label"]
    found = []
    for number, fold in enumerate(folds):
        for side, patients in (("evaluated", fold.val), ("trained on", fold.train)):
            lacking = sorted(set(label) - set(label[label.index.isin(patients)]))
            found += [f"{name} is {side} in fold {number}" for name in lacking]
    return ", ".join(found)


def inner_folds(
    cohort: pd.DataFrame, outer: Fold, folds: int, seed: int, *, by_site: bool, where: str = "cohort"
) -> list[Fold]:
    """Folds of a fold's training patients, on which the epoch is chosen (``epoch: nested``).

    Nobody of ``outer.val`` is among them, not even a patient who (in leaking split files) is a training patient
    too. by_site: no site is on both sides. Raises InputError when patients or sites are too few.
    """
    patients = set(outer.train) - set(outer.val)
    part = cohort[cohort["patient"].isin(patients)].reset_index(drop=True)
    draw = site_preserved_folds if by_site else random_folds
    return draw(part, folds, seed, where, "splits.inner_folds")


def keep_sites_apart(folds: Sequence[Fold], cohort: pd.DataFrame) -> bool:
    """Whether every patient has a site and no fold has one on both sides, however the folds were made."""
    site = dict(zip(cohort["patient"], cohort["site"].fillna(""), strict=True))
    if not all(site.values()):
        return False
    sides = [({site[name] for name in fold.train}, {site[name] for name in fold.val}) for fold in folds]
    return not any(train & val for train, val in sides)


def _join_if_too_small(strata: np.ndarray, folds: int) -> np.ndarray:
    names, counts = np.unique(strata, return_counts=True)
    small = names[counts < folds]
    return np.where(np.isin(strata, small), names[counts.argmax()], strata)


def _check_count(count: int, folds: int, where: str, what: str, key: str) -> None:
    if count < folds:
        fix = f"set {key} to at most {count}" if count > 1 else "set splits: random"
        message = f"{where}: {count} {what} for {folds} folds; {fix}"
        raise InputError(message)


def _fold(cohort: pd.DataFrame, train: np.ndarray, val: np.ndarray) -> Fold:
    patients = cohort["patient"].to_numpy()
    return Fold(tuple(patients[train]), tuple(patients[val]))
