"""One fold's predictions of one task and setting, ready to be scored under any weighting of its units."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.metrics import (
    NEEDS_FOLLOW_UP,
    FollowUp,
    follow_up,
    subtyping_metrics,
    survival_at,
    survival_metrics,
    undefined_reason,
)
from mirrorflow.metrics.inference import FoldSample

Scorer = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class FoldRows:
    """One fold's predictions of one task: the file's rows and its notes, and the training patients' outcomes."""

    rows: pd.DataFrame
    notes: Mapping[str, Any]
    train: pd.DataFrame | None = None
    """time_days and event of the fold's training patients with a known outcome (censoring weights); None: unknown."""

    def of(self, setting: str) -> "FoldRows":
        """The rows of one setting."""
        return FoldRows(self.rows[self.rows["setting"] == setting], self.notes, self.train)

    @property
    def number(self) -> int:
        """The fold's number."""
        return int(self.rows["fold"].iloc[0])


class FoldScores:
    """A fold of a cell: every seed's scorer, and what its metrics rest on.

    smoothing: label smoothing of the method's training (subtyping).
    """

    def __init__(self, task: str, part: FoldRows, smoothing: float = 0.0) -> None:
        by_seed = [rows for _, rows in part.rows.groupby("seed", sort=True)]
        self.task, self.number = task, part.number
        self.rows = by_seed[0]
        self.curves = "surv_0" in part.rows and bool(part.rows["surv_0"].notna().all())
        self.followed = _followed(self.rows, part.train) if task == "survival" else None
        self.seeds = [self._scorer(rows, part, smoothing) for rows in by_seed]

    def _scorer(self, rows: pd.DataFrame, part: FoldRows, smoothing: float) -> Scorer:
        if self.followed is None:
            return _subtype_scorer(rows, part.notes["classes"], smoothing)
        return _survival_scorer(rows, part, self.followed, curves=self.curves)

    def sample(self) -> FoldSample:
        """The fold for the bootstrap; the seeds of training are averaged."""

        def score(weights: np.ndarray) -> dict[str, np.ndarray]:
            scores = [scorer(weights) for scorer in self.seeds]
            return {metric: np.mean([one[metric] for one in scores], axis=0) for metric in scores[0]}

        return FoldSample(self.rows["patient"].to_numpy(), score, self.number)

    @cached_property
    def by_seed(self) -> list[dict[str, float]]:
        """Metric -> value on the fold itself, seed by seed."""
        ones = np.ones((1, len(self.rows)))
        return [{name: float(values[0]) for name, values in scorer(ones).items()} for scorer in self.seeds]

    def tau(self, metric: str) -> float:
        """Days up to which ``metric`` looks; NaN for one that looks at everything."""
        return self.followed.tau if self.followed is not None and metric in NEEDS_FOLLOW_UP else np.nan

    def event_patients(self) -> int:
        """Evaluation patients with an event."""
        return int(self.rows.loc[self.rows["event"] == 1, "patient"].nunique()) if self.task == "survival" else 0

    def why_undefined(self, metric: str) -> str:
        """Why ``metric`` is NaN here."""
        present = self.rows["label"].nunique() if self.task == "subtyping" else 0
        reason = self.followed.reason if self.followed is not None else ""
        return undefined_reason(metric, len(self.rows), present, self.event_patients(), reason, curves=self.curves)


def _followed(rows: pd.DataFrame, train: pd.DataFrame | None) -> FollowUp:
    known = pd.DataFrame({"time_days": [], "event": []}) if train is None else train
    return follow_up(*_outcome(known), *_outcome(rows))


def _outcome(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return rows["time_days"].to_numpy(float), rows["event"].to_numpy(float) == 1


def _subtype_scorer(rows: pd.DataFrame, classes: Sequence[str], smoothing: float) -> Scorer:
    probabilities = rows[[f"prob_{name}" for name in classes]].to_numpy(float)
    numbers = rows["label"].map({name: i for i, name in enumerate(classes)}).to_numpy(int)
    return lambda weights: subtyping_metrics(probabilities, numbers, weights, smoothing)


def _survival_scorer(rows: pd.DataFrame, part: FoldRows, followed: FollowUp, *, curves: bool) -> Scorer:
    risk, (times, events) = rows["risk"].to_numpy(float), _outcome(rows)
    on_grid = own = None
    starts = _bin_starts(rows, part.notes)
    if curves and starts is not None and part.train is not None and len(part.train):
        survival = rows.filter(regex=r"^surv_\d+$").to_numpy(float)
        end = float(part.train["time_days"].max())
        on_grid = survival_at(followed.grid, survival, starts, end)
        own = survival_at(times[:, None], survival, starts, end)[:, 0]
    return lambda weights: survival_metrics(risk, times, events, weights, followed, on_grid, own)


def _bin_starts(rows: pd.DataFrame, notes: Mapping[str, Any]) -> np.ndarray | None:
    """Days at which the bins of the setting begin, None where the file does not say."""
    setting = rows["setting"].iloc[0]
    for note in notes["settings"]:
        if note["setting"] == setting and note.get("bin_edges_days"):
            return np.array(note["bin_edges_days"], dtype=float)
    return None
