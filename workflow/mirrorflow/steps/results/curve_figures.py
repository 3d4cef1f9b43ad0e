"""Curves of a method from its predictions: what a classifier does at every threshold, what a risk tells by day."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.evaluation import FoldRows
from mirrorflow.evaluation.bands import Band, Resampling
from mirrorflow.evaluation.operating import Operating, operating
from mirrorflow.evaluation.over_time import OverTime, over_time
from mirrorflow.figures.operating import draw_operating
from mirrorflow.figures.over_time import draw_over_time
from mirrorflow.figures.style import shorten
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.steps.results.figure_tasks import ALL_DATA, FigureSpec, Task
from mirrorflow.steps.results.training_patients import Training
from mirrorflow.store.method_predictions import read_manifest, read_task
from mirrorflow.store.tables import read_cohort, read_endpoint

BANDS = (
    "Lines: means over folds, as the tables have them. Bands: pointwise {confidence:.0%} intervals over resampled "
    "patients, widened for the training patients that folds share."
)


@dataclass(frozen=True)
class Drawn:
    """What curves are drawn of: the cohort's name and the parquet whose outcomes count (an adapted one's is its
    target's), split files of the protocol's folds, how bands are resampled, titles of the methods, protocols that have
    rows in results.csv.
    """

    name: str
    cohort: Path
    splits: Sequence[Path]
    how: Resampling
    titles: Mapping[str, str]
    shown: Collection[str]

    def folds(self, manifest: Path, task: str) -> list[FoldRows]:
        """A method's folds, all training data. Raises InputError where there are none, with the reason."""
        place = PredictionsManifest.parse(manifest)
        if place.protocol not in self.shown:
            message = f"no result of {place.protocol} is shown (see its audit)"
            raise InputError(message)
        record = read_manifest(manifest)
        stored = read_task(record, task, self._people)
        parts = [self._training.beside(task, one.rows, one.notes).of(ALL_DATA) for one in stored]
        if not any(len(part.rows) for part in parts):
            raise InputError(record.why_without(task) or f"no {task} predictions in this run")
        return [part for part in parts if len(part.rows)]

    @cached_property
    def _people(self) -> pd.DataFrame:
        return read_cohort(self.cohort)[0]

    @cached_property
    def _training(self) -> Training:
        return Training.read(self.cohort, self.splits)

    @property
    def bands(self) -> str:
        """What is said of lines and bands."""
        return BANDS.format(confidence=self.how.confidence)

    def words(self, manifest: Path) -> tuple[str, str]:
        """Title, and what is said of the place in a caption."""
        place = PredictionsManifest.parse(manifest)
        named = (self.titles.get(place.method, place.method), place.encoder, place.protocol)
        where = f"protocol {place.protocol}, encoder {place.encoder}, method {place.method}, all training data"
        return " · ".join(part for part in named if part != "none"), where


def curve_tasks(manifests: Sequence[Path], by_task: Mapping[str, Sequence[str]], drawn: Drawn) -> list[Task]:
    """Two kinds of figures; ``by_task``: the methods that answer subtyping, and survival."""
    kinds = {"subtyping": ("classification", operating_spec), "survival": ("over_time", over_time_spec)}
    return [
        _task(manifest, *kinds[task], drawn)
        for task in kinds
        for manifest in manifests
        if PredictionsManifest.parse(manifest).method in by_task.get(task, ())
    ]


def _task(manifest: Path, kind: str, spec: Callable[[Path, Drawn], FigureSpec], drawn: Drawn) -> Task:
    place = PredictionsManifest.parse(manifest)
    name = f"{kind}_{place.protocol}_{place.encoder}_{place.method}"
    return Task(name, kind, lambda: spec(manifest, drawn))


def operating_spec(manifest: Path, drawn: Drawn) -> FigureSpec:
    """ROC, precision by recall, confusion matrix and reliability of a method."""
    parts = drawn.folds(manifest, "subtyping")
    found, (title, where) = operating(parts, drawn.how), drawn.words(manifest)
    if not any(np.isfinite(one.mean).any() for one in found.roc.values()):
        message = "no fold has evaluation units of two classes: nothing is told apart"
        raise InputError(message)
    units = sum(len(part.rows) / part.rows["seed"].nunique() for part in parts)
    right = found.confusion.trace() / found.confusion.sum()
    alt = f"ROC, precision-recall, confusion matrix and reliability; {right:.0%} of {units:.0f} units are right."
    return FigureSpec(
        draw_operating(found, shorten(title, 90)),
        title,
        alt,
        _said(found, units, where, drawn),
        _operating_table(found),
    )


def _said(found: Operating, units: float, where: str, drawn: Drawn) -> str:
    one = "the second class" if len(found.classes) == 2 else "one class against the rest"
    return (
        f"{drawn.name}, n = {units:.0f} evaluated units, {where}. ROC of {one}; precision of each class at the "
        f"strictest threshold with that recall (dotted: the class's share, which chance gives). {drawn.bands} "
        "Confusion: units over all folds, seeds averaged. Reliability: share right by tenth of the predicted class's "
        "probability, with Wilson's 95% interval; marks grow with units."
    )


def _operating_table(found: Operating) -> pd.DataFrame:
    parts = [
        _band_table(one, curve=curve, of=name)
        for curve, bands in (("roc", found.roc), ("precision", found.precision))
        for name, one in bands.items()
    ]
    return pd.concat([*parts, _confusion_table(found), _reliability_table(found)], ignore_index=True)


def _confusion_table(found: Operating) -> pd.DataFrame:
    """``of``: the true class, ``predicted``: the other; ``mean``: units, seeds averaged."""
    pairs = [(true, said) for true in found.classes for said in found.classes]
    columns: dict[str, Any] = {"curve": "confusion", "of": [true for true, _ in pairs]}
    return pd.DataFrame({**columns, "predicted": [said for _, said in pairs], "mean": found.confusion.ravel()})


def _reliability_table(found: Operating) -> pd.DataFrame:
    one = found.reliability
    values = {"at": one.said, "mean": one.right, "low": one.low, "high": one.high, "units": one.units}
    return pd.DataFrame({"curve": "reliability", "of": "predicted class", **values})


def _band_table(one: Band, **labels: str) -> pd.DataFrame:
    return pd.DataFrame({**labels, "at": one.where, "mean": one.mean, "low": one.low, "high": one.high})


def over_time_spec(manifest: Path, drawn: Drawn) -> FigureSpec:
    """AUC and Brier score of a method by day, and its calibration."""
    parts = drawn.folds(manifest, "survival")
    found, (title, where) = over_time(parts, drawn.how), drawn.words(manifest)
    middle = len(found.auc.where) // 2
    alt = f"Time-dependent AUC, {found.auc.mean[middle]:.2f} at day {found.auc.where[middle]:.0f}."
    caption = _said_over_time(found, len(parts), where, drawn)
    return FigureSpec(
        draw_over_time(found, shorten(title, 90)), title, alt, caption, _over_time_table(found), vectors_only=True
    )


def _said_over_time(found: OverTime, folds: int, where: str, drawn: Drawn) -> str:
    endpoint = read_endpoint(drawn.cohort)
    outcome = f"{endpoint}, other deaths censored" if endpoint else "the outcome"
    kept = (
        "" if found.folds == folds else f" {folds - found.folds} of {folds} folds cannot be followed and do not count."
    )
    text = (
        f"{drawn.name}, {where}. By day, on days that all folds can look at: AUC of those who had {outcome} by "
        f"then against those who live longer, weighted for censoring.{kept} "
    )
    if found.promised is not None:
        text += (
            "Brier score of predicted survival, beside that of the training patients' Kaplan-Meier curve, the same for "
            "everyone. Calibration: patients in fifths of predicted survival at the middle day, their Kaplan-Meier "
            "survival then with its 95% interval. "
        )
    return text + drawn.bands


def _over_time_table(found: OverTime) -> pd.DataFrame:
    bands = {"auc": found.auc, "brier": found.brier, "brier_of_everyone": found.of_everyone}
    named = [_band_table(one, curve=name) for name, one in bands.items() if one is not None]
    return pd.concat(named, ignore_index=True).rename(columns={"at": "day"})
