"""What the models of a method say together: means over folds and seeds, and how far apart these are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.reuse.conformal import Calibration, calibrate, class_sets
from mirrorflow.reuse.folds import KEYS, Collected, survival_column
from mirrorflow.reuse.survival import curve_days, survival_on

UNIT = ["patient", "slide_id", "of_run"]
SPREAD = "_spread"
"""What columns end in that hold the standard deviation (ddof 1) over models. It is no interval."""


def per_fold(found: Collected) -> pd.DataFrame:
    """One row a unit, fold and seed, as each model says."""
    return _labelled(found, pd.concat(found.rows, ignore_index=True)) if found.rows else pd.DataFrame()


def _labelled(found: Collected, rows: pd.DataFrame) -> pd.DataFrame:
    rows.insert(0, "method", found.place.method)
    rows.insert(1, "encoder", found.place.encoder)
    return rows


def averaged(found: Collected) -> pd.DataFrame:
    """One row a unit: mean and spread over models of every value; how many models, and of how many folds.

    A mean of survival is given where every fold's model allows the day. ``of_run``: the patient of the run whose
    out-of-fold value it is; empty for others.
    """
    if not found.rows:
        return pd.DataFrame()
    rows = pd.concat(found.rows, ignore_index=True)
    values = [str(name) for name in rows if name not in KEYS]
    groups = rows.groupby(UNIT, sort=False)
    table = groups.agg(models=("seed", "size"), folds=("fold", "nunique")).reset_index()
    missing = rows[values].isna().groupby([rows[name] for name in UNIT], sort=False).any()
    for name in values:
        mean, spread = groups[name].mean(), groups[name].std(ddof=1)
        table[name] = mean.mask(missing[name]).to_numpy()
        table[f"{name}{SPREAD}"] = spread.mask(missing[name]).to_numpy()
    return _labelled(found, table)


def risk_groups(table: pd.DataFrame) -> pd.DataFrame:
    """With ``risk_group``: high above the median of the held-out risks, low at or below it."""
    group = np.where(table["risk_percentile"] > 50, "high", "low")
    return table.assign(risk_group=np.where(table["risk_percentile"].isna(), "", group))


def with_classes(found: Collected, table: pd.DataFrame, coverage: float) -> tuple[pd.DataFrame, str]:
    """With ``predicted`` and, where something may be promised, ``class_set``; what is promised, or why nothing is.

    A patient of the run has no set: its own score is among those that would calibrate.
    """
    names = found.classes
    probabilities = table[[f"prob_{name}" for name in names]].to_numpy(float)
    table = table.assign(predicted=[names[row] for row in probabilities.argmax(1)])
    calibration = _calibration(found, coverage)
    if calibration.reason:
        return table.assign(class_set=""), f"No sets of classes: {calibration.reason}."
    rows = pd.concat(found.rows, ignore_index=True)
    new = rows[rows["of_run"] == ""]
    sets = _sets(new, calibration, names, coverage) if len(new) else {}
    keys = list(zip(table["patient"], table["slide_id"], strict=True))
    without = [key for key, of_run in zip(keys, table["of_run"], strict=True) if of_run == "" and key not in sets]
    table = table.assign(class_set=[" ".join(sets.get(key, [])) for key in keys])
    return table, calibration.promise + _said_of(without)


def _said_of(without: Sequence[tuple[str, str]]) -> str:
    names = ", ".join(patient for patient, _ in without[:3]) + (", ..." if len(without) > 3 else "")
    return f" {len(without)} have no set, since not every fold's model could answer: {names}." if without else ""


def _calibration(found: Collected, coverage: float) -> Calibration:
    names, probabilities, classes = found.classes, {}, {}
    for fold, stored in found.stored.items():
        rows = stored.rows.groupby("patient", sort=True)
        probabilities[fold] = rows[[f"prob_{name}" for name in names]].mean().to_numpy(float)
        classes[fold] = np.array([names.index(label) for label in rows["label"].first()], int)
    protocol = next(iter(found.stored.values())).notes["protocol"]
    folds = {fold: found.folds[fold] for fold in found.stored}
    return calibrate(probabilities, classes, folds, protocol, coverage)


def _sets(
    new: pd.DataFrame, calibration: Calibration, names: Sequence[str], coverage: float
) -> dict[tuple[str, str], list[str]]:
    """Unit -> its set; units that the model of some fold could not answer have none."""
    columns = [f"prob_{name}" for name in names]
    by_fold = {
        int(str(fold)): part.groupby(["patient", "slide_id"])[columns].mean() for fold, part in new.groupby("fold")
    }
    if set(by_fold) != set(calibration.scores):
        return {}
    answered = set.intersection(*(set(part.index) for part in by_fold.values()))
    everyone = [unit for unit in next(iter(by_fold.values())).index if unit in answered]
    if not everyone:
        return {}
    values = {fold: part.loc[everyone].to_numpy(float) for fold, part in by_fold.items()}
    return dict(zip(everyone, class_sets(values, calibration, names, coverage), strict=True))


def average_curves(found: Collected) -> pd.DataFrame:
    """Survival by day, averaged over models, with its spread; up to the last day that every fold allows."""
    days = curve_days(list(found.horizons.values()))
    parts = []
    for keys, prediction, saved in found.survival:
        config = saved.config
        curve = survival_on(prediction, days, config["bin_edges_days"], config["bin_ends_days"])
        if curve is not None:
            long = keys[UNIT].loc[keys.index.repeat(len(days))].reset_index(drop=True)
            parts.append(long.assign(day=np.tile(days, len(keys)), survival=curve.ravel()))
    if not parts or len(days) < 2:
        return pd.DataFrame()
    groups = pd.concat(parts, ignore_index=True).groupby([*UNIT, "day"], sort=False)["survival"]
    table = groups.agg(survival="mean", survival_spread="std").reset_index()
    return _labelled(found, table)


def horizons(found: Collected, days: Sequence[float]) -> list[dict[str, Any]]:
    """A row a fold and day: whether survival may be given, and why not."""
    return [
        {
            "fold": fold,
            "day": day,
            "column": survival_column(day),
            "tau_days": round(one.tau_days, 1),
            "training_patients_at_risk": one.at_risk(day),
            "left_out_because": one.why_not(day),
        }
        for fold, one in found.horizons.items()
        for day in days
    ]
