"""Linear methods of this project, really trained in five folds of a simulated study, scored as a run scores them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.bench.simulate import Study
from mirrorflow.cohorts.splits import survival_bin_edges, survival_bin_ends
from mirrorflow.evaluation import FoldRows, score_method
from mirrorflow.evaluation.verdicts import Named
from mirrorflow.probes.cox import fit_cox
from mirrorflow.probes.linear import fit_hazards
from mirrorflow.probes.task import Asked, Targets, survival_targets

FOLDS = 5
BINS = 4
NOTES: Mapping[str, Any] = {"settings": [{"setting": "all", "k_real": None, "lost_units": []}]}

Ranker = Callable[[np.ndarray, Targets, np.ndarray], np.ndarray]
"""Training vectors, their targets, vectors of all patients -> risk of all patients."""


def cox(train: np.ndarray, targets: Targets, all_units: np.ndarray, *, alpha: float = 50.0) -> np.ndarray:
    """Risk of this project's ridge Cox regression."""
    model = fit_cox(train, targets, components=50, alpha=alpha)
    return np.dot(model.pca.transform(model.scaler.transform(all_units)), model.coefficients)


def hazards(train: np.ndarray, targets: Targets, all_units: np.ndarray) -> np.ndarray:
    """Risk of this project's linear hazards (methods linear, rna-linear, concat-linear)."""
    model = fit_hazards(train, targets, BINS, 0.01)
    times = np.asarray(targets.time_days)
    ends = survival_bin_ends(survival_bin_edges(times, np.asarray(targets.event), BINS), times)
    return model.predict(all_units, Asked(0, ends)).risk


@dataclass(frozen=True)
class Method:
    """What a method sees of a patient, and what ranks patients by it."""

    sees: Callable[[Study], np.ndarray]
    rank: Ranker


@dataclass(frozen=True)
class Trained:
    """A method's risks of all patients [fold, patient], each of the model of one fold."""

    name: str
    risks: np.ndarray


def draw_folds(study: Study, rng: np.random.Generator, folds: int = FOLDS) -> np.ndarray:
    """Fold [patient] of the study's patients, balanced by event."""
    fold = np.empty(study.patients, dtype=int)
    for group in (True, False):
        members = rng.permutation(np.flatnonzero(study.event[: study.patients] == group))
        fold[members] = (np.arange(len(members)) + rng.integers(folds)) % folds
    return fold


def train(name: str, method: Method, study: Study, fold: np.ndarray) -> Trained:
    """Fit the method on the training patients of every fold."""
    vectors = method.sees(study)
    risks = [
        method.rank(vectors[rows], targets_of(study, rows), vectors)
        for rows in (np.flatnonzero(fold != k) for k in range(fold.max() + 1))
    ]
    return Trained(name, np.stack(risks))


def targets_of(study: Study, rows: np.ndarray) -> Targets:
    """Outcomes of some patients."""
    times, events = study.time_days[rows], study.event[rows]
    frame = pd.DataFrame({"time_days": times, "event": events.astype(float)})
    return survival_targets(frame, survival_bin_edges(times, events, BINS))


def cells_of(
    trained: Trained, study: Study, fold: np.ndarray, resamples: int, metrics: Sequence[str], seed: int = 0
) -> list[Named]:
    """The cells that a run would have of these risks."""
    parts = [_part(trained, study, fold, k) for k in range(fold.max() + 1)]
    where = {"protocol": "bench", "cohort": "bench", "encoder": "none", "method": trained.name, "predictions": ""}
    scored = score_method("survival", parts, resamples=resamples, confidence=0.95, seed=seed)
    return [(where, cell) for cell in scored if cell.row["metric"] in metrics]


def _part(trained: Trained, study: Study, fold: np.ndarray, k: int) -> FoldRows:
    rows, training = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
    outcomes = pd.DataFrame({"time_days": study.time_days, "event": study.event.astype(float)})
    frame = outcomes.iloc[rows].assign(risk=trained.risks[k][rows], setting="all", seed=0, fold=k, slide_id="")
    frame["patient"] = [f"P{row:05d}" for row in rows]
    return FoldRows(frame, NOTES, outcomes.iloc[training], len(training))


def true_c(trained: Trained, study: Study) -> float:
    """C of the models on fresh patients, mean over folds: what a cell estimates."""
    return float(np.mean([study.true_c(risk) for risk in trained.risks]))


LINEAR: Mapping[str, Method] = {
    "concat-linear": Method(lambda study: np.hstack([study.slides, study.rna]), hazards),
    "linear": Method(lambda study: study.slides, hazards),
    "rna-linear": Method(lambda study: study.rna, hazards),
    "cox": Method(lambda study: np.hstack([study.slides, study.rna]), cox),
    "slide-cox": Method(lambda study: study.slides, cox),
    "rna-cox": Method(lambda study: study.rna, cox),
}
"""The linear methods, the first being the reference. None sees an interaction."""
