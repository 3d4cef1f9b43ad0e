"""Folds and support sets. Patients never straddle training and evaluation, whatever the unit is."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from mirrorflow.cohorts.patients import eligible, has_label, has_outcome
from mirrorflow.config.datasets import fold_files
from mirrorflow.errors import InputError

logger = logging.getLogger("mirrorflow.cohorts.splits")


@dataclass(frozen=True)
class Fold:
    """Patients to fit on and patients to evaluate on.

    test: a third part that some split files of others have. In a run's own folds it has become ``val``, since that is
    who is evaluated, and the file's val has become ``choice`` (:func:`as_evaluated`).
    choice: patients on which epochs may be chosen, neither trained on nor evaluated; None where split files have no
    third part. unused: patients of a third part that ``splits.evaluate: val`` leaves out of everything.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...] = ()
    choice: tuple[str, ...] | None = None
    unused: tuple[str, ...] = ()

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """The parts by name: train, val and, where there is one, test or choice."""
        further = {"test": self.test, "choice": self.choice}
        return {"train": self.train, "val": self.val} | {name: part for name, part in further.items() if part}

    @property
    def evaluated(self) -> tuple[str, ...]:
        """The part that results are reported on: test where there is one, else val."""
        return self.test or self.val


def not_trained_on(rows: pd.DataFrame, folds: Mapping[int, Fold]) -> pd.Series:
    """Which rows (patient, fold) are of patients on whom their fold was not trained: published folds may share some."""
    if not folds:
        return pd.Series(data=True, index=rows.index)
    trained = {number: set(fold.train) for number, fold in folds.items()}
    pairs = zip(rows["patient"], rows["fold"], strict=True)
    return pd.Series([patient not in trained.get(int(fold), ()) for patient, fold in pairs], rows.index, dtype=bool)


def left_out_said(count: int) -> str:
    """A sentence on evaluation units that :func:`not_trained_on` leaves out, with a blank before it; "" without any."""
    return f" Left out: {count} evaluation units on whose patients their own fold was trained, too." if count else ""


def restrict(fold: Fold, patients: Sequence[str]) -> Fold:
    """A published fold less the patients that this cohort does not hold."""
    known = set(patients)
    parts = {field.name: getattr(fold, field.name) for field in fields(Fold)}
    return Fold(**{name: part and tuple(p for p in part if p in known) for name, part in parts.items()})


def choose_evaluated(folds: Sequence[Fold], evaluate: str, folder: str) -> list[Fold]:
    """Folds as split files have them, less the part that ``evaluate`` leaves out.

    evaluate: ``test`` (the files' third part), ``val``, or ``auto``: test where any file has one. Raises InputError
    naming the file that has nobody to evaluate.
    """
    part = evaluate if evaluate != "auto" else "test" if any(fold.test for fold in folds) else "val"
    other = "val" if part == "test" else "test"
    for k, fold in enumerate(folds):
        if not getattr(fold, part):
            named = ", ".join(fold_files(folder, k))
            message = (
                f"{named}: no patient in the column {part}, which is evaluated (splits.evaluate: {evaluate}); name "
                f"some in every file, or set splits.evaluate: {other}"
            )
            raise InputError(message)
    return [fold if part == "test" else Fold(fold.train, fold.val, unused=fold.test) for fold in folds]


def as_evaluated(fold: Fold) -> Fold:
    """A fold with a test part as a run has it: test is what is evaluated, val chooses epochs and nothing else."""
    return Fold(fold.train, fold.test, choice=fold.val) if fold.test else fold


def evaluated_part(folds: Sequence[Fold]) -> str:
    """Which part of three-part split files is evaluated, and what becomes of the third, in words; else empty."""
    if any(fold.choice is not None for fold in folds):
        counts = ", ".join(str(len(fold.choice or ())) for fold in folds)
        return (
            f"evaluated on the column test of the split files, whose val ({counts} patients by fold) chooses epochs "
            "under epoch: nested and is not trained on"
        )
    if any(fold.unused for fold in folds):
        counts = ", ".join(str(len(fold.unused)) for fold in folds)
        return (
            f"evaluated on the column val of the split files, whose test ({counts} patients by fold) takes no part "
            "(splits.evaluate: val)"
        )
    return ""


def repair_folds(folds: Sequence[Fold]) -> list[Fold]:
    """Folds in which every patient stands once: evaluated in at most one fold, trained on in the others.

    A patient who is evaluated in several folds stays in the one that has fewest patients so far; all units who is
    not evaluated in a fold is a training patient there. Who is evaluated in no fold stays a training patient. With
    test parts it is these that are evaluated; val keeps whom it has, less those evaluated in the fold. Who is
    ``unused`` in a fold is not trained on there. A fold that names nobody twice, and evaluates nobody whom another
    evaluates, too, is returned as it is.
    """
    all_units = sorted({patient for fold in folds for part in fold.parts.values() for patient in part})
    home = _evaluated_in(all_units, [set(fold.evaluated) for fold in folds])
    times = Counter(name for fold in folds for name in set(fold.evaluated))
    return [
        fold if _is_whole(fold, times) else _repaired(fold, {name for name in home if home[name] == k}, all_units)
        for k, fold in enumerate(folds)
    ]


def _is_whole(fold: Fold, times: Mapping[str, int]) -> bool:
    """Whether a fold names nobody twice, and evaluates those alone who are evaluated once (``times``) in all folds."""
    named = [name for part in (*fold.parts.values(), fold.unused) for name in part]
    return len(named) == len(set(named)) and all(times[name] == 1 for name in fold.evaluated)


def _evaluated_in(all_units: Sequence[str], evaluated: Sequence[set[str]]) -> dict[str, int]:
    """The one fold that each patient is evaluated in; nothing for who is evaluated in none."""
    places = {name: [k for k, part in enumerate(evaluated) if name in part] for name in all_units}
    sizes = [sum(where == [k] for where in places.values()) for k in range(len(evaluated))]
    home: dict[str, int] = {}
    for name, where in places.items():
        if where:
            home[name] = min(where, key=lambda k: sizes[k]) if len(where) > 1 else where[0]
            sizes[home[name]] += len(where) > 1
    return home


def _repaired(fold: Fold, evaluated: set[str], all_units: Sequence[str]) -> Fold:
    val = set(fold.val) - evaluated if fold.test else evaluated
    test = evaluated if fold.test else set()
    unused = set(fold.unused) - val
    train = set(all_units) - val - test - unused
    parts = {"train": train, "val": val, "test": test, "unused": unused}
    fixed = Fold(**{side: tuple(name for name in sorted(part)) for side, part in parts.items()})
    same = all(sorted(part) == sorted(fixed.parts.get(side, ())) for side, part in fold.parts.items())
    return fold if same else fixed


def moved_patients(before: Fold, after: Fold) -> set[str]:
    """Patients that a repair put into another part, took out of one of two, or added."""

    pairs = [(set(before.parts.get(side, ())), set(after.parts.get(side, ()))) for side in ("train", "val", "test")]
    return {name for old, new in pairs for name in old ^ new}


def survival_bin_edges(times: np.ndarray, events: np.ndarray, bins: int) -> np.ndarray:
    """Edges of the discrete hazards' bins: quantiles of the uncensored times (MIRROR, Sec. IV: quartiles).

    Returns ``bins`` + 1 edges in days, the first 0, the last infinite. Raises InputError without events.
    """
    uncensored = times[events]
    if len(uncensored) == 0:
        message = "no event among the training patients: survival bins cannot be set"
        raise InputError(message)
    inner = np.quantile(uncensored, np.linspace(0, 1, bins + 1)[1:-1])
    return np.concatenate([[0.0], inner, [np.inf]])


def assign_bins(times: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Bin of each time: edges[b] <= time < edges[b + 1]."""
    return np.clip(np.searchsorted(edges, times, side="right") - 1, 0, len(edges) - 2)


def support_groups(cohort: pd.DataFrame, task: str, edges: np.ndarray | None) -> pd.Series:
    """Group of each patient that k-shot draws from: the class, or the survival bin (of the time, any event)."""
    if task == "subtyping":
        return cohort["label"]
    if edges is None:
        message = "survival support sets need the bins' edges"
        raise ValueError(message)
    return pd.Series(assign_bins(cohort["time_days"].to_numpy(float), edges), index=cohort.index).astype(str)


def draw_support(
    units: pd.DataFrame,
    groups: pd.Series,
    k: int,
    rng: np.random.Generator,
    *,
    replacement: bool,
) -> pd.DataFrame:
    """k units per group for k-shot learning.

    Distinct patients, k capped by the smallest group (a warning says so; ``k_real`` holds the number), one
    unit each. With ``replacement`` (published): k draws per group with replacement, cut to patients, all of
    whose units join. Returns columns group, patient, unit, k_real.
    """
    names = sorted(set(groups))
    members = {name: units[groups == name] for name in names}
    available = min(frame["patient"].nunique() for frame in members.values())
    k_real = k if replacement else min(k, available)
    if k_real < k:
        logger.warning("k-shot: the smallest group has %d patients, so k is %d instead of %d", available, k_real, k)
    rows = []
    for name in names:
        frame = members[name]
        if replacement:
            drawn = rng.choice(frame["patient"].to_numpy(), size=k, replace=True)
            chosen = frame[frame["patient"].isin(set(drawn))]
        else:
            patients = rng.permutation(np.array(sorted(set(frame["patient"]))))[:k_real]
            chosen = frame[frame["patient"].isin(set(patients))].drop_duplicates("patient")
        rows.append(chosen.assign(group=name, k_real=k_real)[["group", "patient", "unit", "k_real"]])
    return pd.concat(rows, ignore_index=True)


def training_edges(cohort: pd.DataFrame, fold: Fold, bins: int, scope: str) -> np.ndarray:
    """Survival bins from the fold's training patients (``fold``) or from all units (``cohort``, published)."""
    frame = cohort[has_outcome(cohort)]
    if scope == "fold":
        frame = frame[frame["patient"].isin(fold.train)]
    return survival_bin_edges(frame["time_days"].to_numpy(float), frame["event"].to_numpy(float) == 1, bins)


def survival_bin_ends(edges: np.ndarray, train_times: np.ndarray) -> np.ndarray:
    """Days [bin] at which the bins of ``edges`` end: the last, open one at the longest of ``train_times``.

    These are the times [patient] of all of the fold's training patients, also where a method is fitted on a k-shot set
    of them: the time axis of a curve is the fold's, whoever was fitted on.
    """
    return np.append(edges[1:-1], train_times.max())


def training_units(units: pd.DataFrame, fold: Fold, task: str) -> pd.DataFrame:
    """Units of the fold's training patients that can take part in ``task``."""
    return units[units["patient"].isin(fold.train) & eligible(units, task)]


def evaluation_units(units: pd.DataFrame, fold: Fold, task: str) -> pd.DataFrame:
    """Units of the fold's evaluation patients that can take part in ``task``."""
    return units[units["patient"].isin(fold.val) & eligible(units, task)]


def lose_last_batch(units: pd.DataFrame, groups: Mapping[str, int], batch_size: int) -> pd.DataFrame:
    """The published loss at evaluation: units in class order, the last incomplete batch dropped.

    ``groups`` gives each unit's place in the class order. With fewer units than a batch nothing would be
    left; then all are kept.
    """
    order = units.assign(_order=[groups[unit] for unit in units["unit"]]).sort_values("_order", kind="stable")
    kept = len(order) - len(order) % batch_size
    return (order if kept == 0 else order.iloc[:kept]).drop(columns="_order")


PUBLISHED_SELECTION_SHARE = 0.8
"""Share of all labelled patients whose labels chose the published genes, whatever the fold."""


def selection_patients(cohort: pd.DataFrame, fold: Fold, scope: str, seed: int) -> list[str]:
    """Patients whose labels may choose genes: the fold's training patients (``fold``), or the published way.

    ``cohort``: an unstratified random 80% of all labelled patients, the same for every fold.
    """
    if scope == "fold":
        return sorted(set(fold.train))
    labelled = sorted(cohort.loc[has_label(cohort), "patient"])
    drawn = np.random.default_rng(seed).permutation(len(labelled))
    return sorted(labelled[i] for i in drawn[: round(PUBLISHED_SELECTION_SHARE * len(labelled))])
