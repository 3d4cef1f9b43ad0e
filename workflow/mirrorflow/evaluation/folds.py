"""One fold's predictions of one task and setting, ready to be scored under any weighting of its units."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.metrics import (
    NEEDS_FOLLOW_UP,
    FollowUp,
    comparable_pairs,
    curve_metrics,
    follow_up,
    subtyping_metrics,
    survival_at,
    survival_metrics,
    undefined_reason,
)
from mirrorflow.metrics.inference import FoldSample

Scorer = Callable[[np.ndarray], dict[str, np.ndarray]]
NO_LAST_DAY = (
    "the predictions do not say where the last survival bin ends, and the method was not trained on all training "
    "patients of the fold: delete the predictions and run again"
)


@dataclass(frozen=True)
class FoldRows:
    """One fold's predictions of one task: the file's rows and its notes, and the training patients' outcomes."""

    rows: pd.DataFrame
    notes: Mapping[str, Any]
    train: pd.DataFrame | None = None
    """time_days and event of the fold's training patients with a known outcome (censoring weights); None: unknown."""
    n_train: int | None = None
    """Training patients of the fold; None: unknown."""

    def of(self, setting: str) -> "FoldRows":
        """The rows of one setting."""
        return replace(self, rows=self.rows[self.rows["setting"] == setting])

    def on(self, patients: frozenset[str]) -> "FoldRows":
        """The rows of these patients."""
        return replace(self, rows=self.rows[self.rows["patient"].isin(patients)])

    @property
    def first_seed(self) -> pd.DataFrame:
        """The rows of the first seed: every seed has the same units."""
        return self.rows[self.rows["seed"] == self.rows["seed"].min()]

    @property
    def why_no_curves(self) -> str:
        """Why there are no survival functions to score; empty where there are."""
        if "surv_0" not in self.rows or not self.rows["surv_0"].notna().all():
            return "the method gives no survival function"
        if self.train is None or not len(self.train):
            return "no training patient with a known outcome"
        if not self._bins().get("bin_edges_days"):
            return "the predictions do not say where their survival bins begin"
        return "" if self._last_day() else NO_LAST_DAY

    def bins(self) -> tuple[np.ndarray, float]:
        """Days [bin] at which the bins begin, and the day at which the last one ends, for rows of one setting.

        Raises ValueError where one is not known (``why_no_curves``).
        """
        if self.why_no_curves:
            raise ValueError(self.why_no_curves)
        return np.array(self._bins()["bin_edges_days"], dtype=float), float(self._last_day() or 0)

    def _bins(self) -> Mapping[str, Any]:
        setting = self.rows["setting"].iloc[0]
        known = (note for note in self.notes["settings"] if note["setting"] == setting and note.get("bin_edges_days"))
        return next(known, {})

    def _last_day(self) -> float | None:
        """The end that the method answers for: the longest time of those it was trained on (a k-shot model: of all of
        the fold's), who under ``train_on: available`` are not all of the fold's training patients.

        Predictions of before its end was noted: the longest time of the fold's training patients, where the method was
        trained on all of them; else None.
        """
        if ends := self._bins().get("bin_ends_days"):
            return float(ends[-1])
        assert self.train is not None  # else there are no curves
        whole = {note.get("train_patients") for note in self.notes["settings"] if note["setting"] == "all"} - {None}
        return float(self.train["time_days"].max()) if whole <= {len(self.train)} else None

    @property
    def number(self) -> int:
        """The fold's number."""
        return int(self.rows["fold"].iloc[0])


class FoldScores:
    """A fold of a cell: every seed's scorer, and what its metrics rest on.

    smoothing: label smoothing of the method's training (subtyping).
    """

    def __init__(self, task: str, part: FoldRows, smoothing: float = 0.0) -> None:
        self._by_seed = [rows for _, rows in part.rows.groupby("seed", sort=True)]
        self.task, self.number, self.part = task, part.number, part
        self.rows = self._by_seed[0]
        self.no_curves = part.why_no_curves if task == "survival" else ""
        self.followed = followed_up(self.rows, part.train) if task == "survival" else None
        self.smoothing = smoothing

    @property
    def seeds(self) -> int:
        """How many seeds of training there are."""
        return len(self._by_seed)

    def _scorer(self, seeds: Sequence[pd.DataFrame]) -> Scorer:
        """Scores, the mean over ``seeds``."""
        if self.followed is None:
            classes = self.part.notes["classes"]
            return _mean_of([_subtype_scorer(rows, classes, self.smoothing) for rows in seeds])
        return _survival_scorer(seeds, self.part, self.followed, curves=not self.no_curves)

    def sample(self) -> FoldSample:
        """The fold for the bootstrap; the seeds of training are averaged."""
        counts = _pair_counter(self.rows) if self.task == "survival" else None
        patients = self.rows["patient"].to_numpy()
        return FoldSample(patients, self._scorer(self._by_seed), self.number, counts, self.part.n_train)

    @cached_property
    def by_seed(self) -> list[dict[str, float]]:
        """Metric -> value on the fold itself, seed by seed."""
        ones = np.ones((1, len(self.rows)))
        return [{name: float(v[0]) for name, v in self._scorer([rows])(ones).items()} for rows in self._by_seed]

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
        return undefined_reason(metric, len(self.rows), present, self.event_patients(), reason, self.no_curves)


def followed_up(rows: pd.DataFrame, train: pd.DataFrame | None, times: np.ndarray | None = None) -> FollowUp:
    """The follow-up of evaluated ``rows`` (of one seed) beside training outcomes; ``times``: days that are the grid."""
    known = pd.DataFrame({"time_days": [], "event": []}) if train is None else train
    return follow_up(*outcome(known), *outcome(rows), times)


def outcome(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Days, and whether the event was seen."""
    return rows["time_days"].to_numpy(float), rows["event"].to_numpy(float) == 1


def _pair_counter(rows: pd.DataFrame) -> Scorer:
    """How many pairs each fold compares, for metrics that sum pairs over folds."""
    times, events = outcome(rows)
    return lambda weights: {"c_index_pairs": comparable_pairs(times, events, weights)}


def _mean_of(scorers: Sequence[Scorer]) -> Scorer:
    def score(weights: np.ndarray) -> dict[str, np.ndarray]:
        scores = [scorer(weights) for scorer in scorers]
        return {metric: np.mean([one[metric] for one in scores], axis=0) for metric in scores[0]}

    return score


def _subtype_scorer(rows: pd.DataFrame, classes: Sequence[str], smoothing: float) -> Scorer:
    probabilities = rows[[f"prob_{name}" for name in classes]].to_numpy(float)
    numbers = rows["label"].map({name: i for i, name in enumerate(classes)}).to_numpy(int)
    return lambda weights: subtyping_metrics(probabilities, numbers, weights, smoothing)


def _survival_scorer(seeds: Sequence[pd.DataFrame], part: FoldRows, followed: FollowUp, *, curves: bool) -> Scorer:
    """Ranks of all seeds are scored at once; curves, which cost little, seed by seed."""
    risks, (times, events) = np.stack([rows["risk"].to_numpy(float) for rows in seeds]), outcome(seeds[0])
    predicted = [predicted_curves(rows, part, followed) for rows in seeds] if curves else []
    of_curves = [
        partial(curve_metrics, on_grid, times, events, followed=followed, at_own_time=own) for on_grid, own in predicted
    ]

    def score(weights: np.ndarray) -> dict[str, np.ndarray]:
        found = survival_metrics(risks, times, events, weights, followed)
        return found | (_mean_of(of_curves)(weights) if of_curves else {})

    return score


def predicted_curves(rows: pd.DataFrame, part: FoldRows, followed: FollowUp) -> tuple[np.ndarray, np.ndarray]:
    """Predicted survival at the grid and at each unit's time, of the rows of one seed of ``part``.

    Raises ValueError where the days of its bins are not known.
    """
    (starts, end), (times, _) = part.bins(), outcome(rows)
    survival = rows.filter(regex=r"^surv_\d+$").to_numpy(float)
    on_grid = survival_at(followed.grid, survival, starts, end)
    return on_grid, survival_at(times[:, None], survival, starts, end)[:, 0]
