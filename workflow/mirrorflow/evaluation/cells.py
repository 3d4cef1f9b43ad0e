"""The cells of a method on a cohort: one row a setting, task and metric, with what it rests on."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.evaluation.folds import FoldRows, FoldScores
from mirrorflow.metrics import DISTANCES, FEW_EVENTS, NEEDS_FOLLOW_UP
from mirrorflow.metrics.inference import Draws, bootstrap, summarise

LOST = "evaluation units lost with the last batch"
"""What a note calls them, after their number."""


@dataclass(frozen=True)
class Cell:
    """A cell's row for the table, and the draws it came from (for comparisons with other methods)."""

    row: dict[str, Any]
    draws: Draws
    scored: "ScoredSetting"

    def on(self, patients: Mapping[int, frozenset[str]]) -> Draws:
        """The draws on these patients of each fold alone, for a comparison with a method that lacks some."""
        found = self.scored.draws(patients)[self.row["metric"]]
        return replace(found, resampled={}) if self.row["metric"] in DISTANCES else found


class ScoredSetting:
    """The folds of a method in one setting, ready to be scored again on fewer patients."""

    def __init__(self, task: str, parts: Sequence[FoldRows], smoothing: float, resamples: int, seed: int) -> None:
        self.task, self.parts = task, with_training(parts)
        self.smoothing, self.resamples, self.seed = smoothing, resamples, seed
        self._kept: dict[tuple[tuple[int, frozenset[str]], ...], dict[str, Draws]] = {}

    def scores(self) -> list[FoldScores]:
        """A scorer a fold."""
        return [FoldScores(self.task, part, self.smoothing) for part in self.parts]

    def draws(self, patients: Mapping[int, frozenset[str]]) -> dict[str, Draws]:
        """Metric -> draws on the folds named, on these patients of each."""
        key = tuple(sorted(patients.items()))
        if key not in self._kept:
            parts = [part.on(patients[part.number]) for part in self.parts if part.number in patients]
            samples = [FoldScores(self.task, part, self.smoothing).sample() for part in parts]
            self._kept[key] = bootstrap(samples, resamples=self.resamples, seed=self.seed)
        return self._kept[key]


def with_training(parts: Sequence[FoldRows]) -> list[FoldRows]:
    """Folds of one method; where it is not known how many one was trained on: the evaluated patients of the others."""
    evaluated = [set(part.rows["patient"]) for part in parts]
    all_patients = set().union(*evaluated)
    known = [part.n_train for part in parts]
    return [
        replace(part, n_train=len(all_patients - own) if n is None else n)
        for part, own, n in zip(parts, evaluated, known, strict=True)
    ]


def score_cells(
    task: str, folds: Sequence[FoldRows], *, resamples: int, confidence: float, seed: int
) -> list[dict[str, Any]]:
    """The rows of :func:`score_method`."""
    cells = score_method(task, folds, resamples=resamples, confidence=confidence, seed=seed)
    return [cell.row for cell in cells]


def score_method(
    task: str,
    folds: Sequence[FoldRows],
    *,
    resamples: int,
    confidence: float,
    seed: int,
    smoothing: float = 0.0,
) -> list[Cell]:
    """Cells with rows setting, task, metric, mean, sd, ci_low, ci_high, n, patients, folds, by_fold, and remarks.

    gene_labels: the most labels that chose the genes of a fold; NaN for a method without genes.
    train_patients: by fold, how many were trained on; patient_set: stands for the evaluated patients of every fold, so
    that rows with another one are of other patients. n counts evaluated units over all folds. Seeds of training are
    averaged per fold and resample; ``seed_sd`` is the deviation (ddof 1) of the mean over folds between them.
    ``tau_days``: by fold, how far metrics with censoring weights look; ``unstable``: folds in which they rest on fewer
    than 10 patients with an event.
    """
    cells = []
    for setting in dict.fromkeys(setting for fold in folds for setting in fold.rows["setting"]):
        parts = [part for part in (fold.of(setting) for fold in folds) if len(part.rows)]
        scored = ScoredSetting(task, parts, smoothing, resamples, seed)
        scores = scored.scores()
        draws = bootstrap([one.sample() for one in scores], resamples=resamples, seed=seed)
        shared = {
            "setting": setting,
            "task": task,
            "note": _note(setting, parts),
            "train_patients": _trained_on(setting, parts),
            "patient_set": patient_set(parts),
            "gene_labels": _gene_labels(setting, parts),
        }
        for metric, one in draws.items():
            drawn = replace(one, resampled={}) if metric in DISTANCES else one
            cells.append(Cell(shared | _row(metric, drawn, scores, confidence), drawn, scored))
    return cells


def _row(metric: str, drawn: Draws, scores: Sequence[FoldScores], confidence: float) -> dict[str, Any]:
    result = summarise(drawn, confidence)
    patients = {name for one in drawn.patients.values() for name in one}
    undefined = [
        f"fold {one.number}: {one.why_undefined(metric)}" for one in scores if np.isnan(drawn.points[one.number])
    ]
    return {
        "metric": metric,
        "mean": result.mean,
        "sd": result.sd,
        "ci_low": result.ci_low,
        "ci_high": result.ci_high,
        "n": sum(len(one.rows) for one in scores),
        "patients": len(patients),
        "folds": result.folds,
        "by_fold": " ".join(f"{value:.4f}" for value in result.by_fold),
        "why_undefined": "; ".join(undefined),
        "tau_days": _taus(metric, scores),
        "unstable": _unstable(metric, scores),
        "seeds": max(one.seeds for one in scores),
        "seed_sd": _seed_sd(metric, drawn, scores),
    }


def _taus(metric: str, scores: Sequence[FoldScores]) -> str:
    taus = [one.tau(metric) for one in scores]
    return "" if np.isnan(taus).all() else " ".join(f"{tau:.0f}" for tau in taus)


def _unstable(metric: str, scores: Sequence[FoldScores]) -> str:
    if metric not in NEEDS_FOLLOW_UP:
        return ""
    few = [f"fold {one.number}: {one.event_patients()}" for one in scores if one.event_patients() < FEW_EVENTS]
    return f"fewer than {FEW_EVENTS} evaluation events ({', '.join(few)})" if few else ""


def _seed_sd(metric: str, drawn: Draws, scores: Sequence[FoldScores]) -> float:
    """Deviation between seeds of the mean over folds, which count as in the mean that is printed: the variance of
    training, which no bootstrap holds.
    """
    counts = {one.seeds for one in scores}
    if len(counts) > 1 or counts == {1}:
        return np.nan
    values = np.array([[seed[metric] for seed in one.by_seed] for one in scores])
    weights = np.array([drawn.counts.get(one.number, 1.0) for one in scores])
    defined = ~np.isnan(values).any(1) & (weights > 0)
    return float(np.average(values[defined], 0, weights[defined]).std(ddof=1)) if defined.any() else np.nan


def _trained_on(setting: str, parts: Sequence[FoldRows]) -> str:
    """Training patients by fold, as the notes say; a dash where a file does not."""
    counts = [
        next((note.get("train_patients") for note in part.notes["settings"] if note["setting"] == setting), None)
        for part in parts
    ]
    return " ".join("-" if count is None else str(count) for count in counts)


def patient_set(parts: Sequence[FoldRows]) -> str:
    """A letter and seven digits that stand for who is evaluated in each fold (never read as a number)."""
    named = sorted((part.number, sorted(set(part.rows["patient"].astype(str)))) for part in parts)
    return f"p{hashlib.sha256(repr(named).encode()).hexdigest()[:7]}"


def _gene_labels(setting: str, parts: Sequence[FoldRows]) -> float:
    notes = [note for part in parts for note in part.notes["settings"] if note["setting"] == setting]
    counts = [note["gene_labels"] for note in notes if note.get("gene_labels") is not None]
    return max(counts, default=np.nan)


def _note(setting: str, parts: Sequence[FoldRows]) -> str:
    notes = [note for part in parts for note in part.notes["settings"] if note["setting"] == setting]
    said = []
    ks = sorted({note["k_real"] for note in notes if note["k_real"] is not None})
    if ks and [f"{k}-shot" for k in ks] != [setting]:
        said.append(f"k = {', '.join(map(str, ks))} (smallest group)")
    if lost := sum(len(_lost(setting, part)) for part in parts):
        said.append(f"{lost} {LOST}")
    return "; ".join(said)


def _lost(setting: str, part: FoldRows) -> set[str]:
    """Units of a fold that this setting lost: one on few units has a smaller batch, and loses others."""
    return {unit for note in part.notes["settings"] if note["setting"] == setting for unit in note["lost_units"]}


def training_outcomes(cohort: pd.DataFrame, train: Sequence[str]) -> pd.DataFrame:
    """time_days and event of the training patients whose outcome is known, one row a patient."""
    known = cohort["patient"].isin(train) & cohort["time_days"].gt(0) & cohort["event"].notna()
    return cohort.loc[known, ["time_days", "event"]]
