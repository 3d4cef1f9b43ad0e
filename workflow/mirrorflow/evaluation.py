"""Scores of stored predictions: one row a cell (setting, task, metric) of a method on a cohort."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.inference import Estimate, FoldSample, estimate
from mirrorflow.metrics import subtyping_metrics, survival_metrics, undefined_reason


@dataclass(frozen=True)
class FoldRows:
    """One fold's predictions of one task: the file's rows and its notes."""

    rows: pd.DataFrame
    notes: Mapping[str, Any]


def score_cells(
    task: str, folds: Sequence[FoldRows], *, resamples: int, confidence: float, seed: int
) -> list[dict[str, Any]]:
    """Rows setting, task, metric, mean, sd, ci_low, ci_high, n, patients, folds, by_fold, why_undefined,
    note, gene_labels (the most labels that chose the genes of a fold; NaN for a method without genes).

    n counts evaluated units over all folds. Seeds of training are averaged per fold and resample.
    """
    settings = list(dict.fromkeys(setting for fold in folds for setting in fold.rows["setting"]))
    cells = []
    for setting in settings:
        parts = [FoldRows(f.rows[f.rows["setting"] == setting], f.notes) for f in folds]
        parts = [part for part in parts if len(part.rows)]
        samples = [_sample(task, part) for part in parts]
        estimates = estimate(samples, resamples=resamples, confidence=confidence, seed=seed)
        for metric, result in estimates.items():
            cells.append(_cell(task, setting, metric, result, parts))
    return cells


def _sample(task: str, part: FoldRows) -> FoldSample:
    by_seed = [rows for _, rows in part.rows.groupby("seed", sort=True)]
    scorers = [_scorer(task, rows, part.notes["classes"]) for rows in by_seed]

    def score(weights: np.ndarray) -> dict[str, np.ndarray]:
        scores = [scorer(weights) for scorer in scorers]
        return {metric: np.mean([one[metric] for one in scores], axis=0) for metric in scores[0]}

    return FoldSample(by_seed[0]["patient"].to_numpy(), score)


def _scorer(task: str, rows: pd.DataFrame, classes: Sequence[str]):
    if task == "subtyping":
        probabilities = rows[[f"prob_{name}" for name in classes]].to_numpy(float)
        numbers = rows["label"].map({name: i for i, name in enumerate(classes)}).to_numpy(int)
        return lambda weights: subtyping_metrics(probabilities, numbers, weights)
    risk, time = rows["risk"].to_numpy(float), rows["time_days"].to_numpy(float)
    event = rows["event"].to_numpy(float) == 1
    return lambda weights: survival_metrics(risk, time, event, weights)


def _cell(task: str, setting: str, metric: str, result: Estimate, parts: Sequence[FoldRows]) -> dict[str, Any]:
    first_seed = [part.rows[part.rows["seed"] == part.rows["seed"].min()] for part in parts]
    rows = pd.concat(first_seed)
    undefined = [
        f"fold {int(part['fold'].iloc[0])}: {_why(metric, task, part)}"
        for part, value in zip(first_seed, result.by_fold, strict=True)
        if np.isnan(value)
    ]
    return {
        "setting": setting,
        "task": task,
        "metric": metric,
        "mean": result.mean,
        "sd": result.sd,
        "ci_low": result.ci_low,
        "ci_high": result.ci_high,
        "n": len(rows),
        "patients": int(rows["patient"].nunique()),
        "folds": result.folds,
        "by_fold": " ".join(f"{value:.4f}" for value in result.by_fold),
        "why_undefined": "; ".join(undefined),
        "note": _note(setting, parts),
        "gene_labels": _gene_labels(setting, parts),
    }


def _why(metric: str, task: str, rows: pd.DataFrame) -> str:
    classes = sorted(set(rows["label"])) if task == "subtyping" else []
    events = int(rows["event"].sum()) if task == "survival" else 0
    return undefined_reason(metric, len(rows), list(range(len(classes))), events)


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
    by_fold = [{unit for note in part.notes["settings"] for unit in note["lost_units"]} for part in parts]
    lost = sum(len(units) for units in by_fold)
    if lost:
        said.append(f"{lost} evaluation units lost with the last batch")
    return "; ".join(said)
