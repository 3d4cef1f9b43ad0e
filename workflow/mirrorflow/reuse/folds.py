"""What every model of a method says of new units, a row a unit and model; out-of-fold rows of the run's patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from mirrorflow.cohorts.splits import Fold
from mirrorflow.errors import InputError
from mirrorflow.learners.saved import SavedModel, load_trained
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.probes.task import SubtypePrediction, SurvivalPrediction
from mirrorflow.reuse.left_behind import hold_split
from mirrorflow.reuse.members import Answer, Memory, answer, needs
from mirrorflow.reuse.patients import NewPatients
from mirrorflow.reuse.run_folder import FinishedRun
from mirrorflow.reuse.survival import Horizon, horizon_of, percentiles, survival_on
from mirrorflow.store.predictions import Predictions

KEYS = ["patient", "slide_id", "of_run", "fold", "seed"]


@dataclass
class Collected:
    """Rows a unit and model of one method and task; reasons by unit; genes that were missing, by fold."""

    place: PredictionsManifest
    task: str
    saved: list[SavedModel]
    folds: dict[int, Fold]
    stored: dict[int, Predictions]
    sources: dict[int, Fold] = field(default_factory=dict)
    """Folds of an adapted cohort's source, whose models pretrained its encoders."""
    horizons: dict[int, Horizon] = field(default_factory=dict)
    rows: list[pd.DataFrame] = field(default_factory=list)
    survival: list[tuple[pd.DataFrame, SurvivalPrediction, SavedModel]] = field(default_factory=list)
    """Units, what was predicted of them, and by which model: for curves."""
    left_out: dict[str, str] = field(default_factory=dict)
    missing: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Folds whose models saw someone's genes."""
    unknown: dict[str, int] = field(default_factory=dict)
    """Unit -> genes of a model that the matrix has without a value for it, at most."""
    without_version: int = 0
    """Genes of a model that met only without their version, at most."""
    distances: dict[str, float] = field(default_factory=dict)
    """Unit -> the largest distance of its expression from training, over models."""

    @property
    def classes(self) -> list[str]:
        """Classes in their order; none for survival."""
        return list(self.saved[0].config.get("classes", ()))


def collected(run: FinishedRun, place: PredictionsManifest, task: str) -> Collected | None:
    """Models, folds and out-of-fold predictions of a method and task; None where the run has none.

    Raises InputError where they are not of one run: another config, or a run that was killed, made some of them anew.
    """
    models = run.models(place, task)
    saved = [load_trained(one.folder) for one in models]
    if not saved:
        return None
    for one, model in zip(models, saved, strict=True):
        hold_split(run, place.cohort, model, one.folder)
    scope, folds = saved[0].config["model_scope"], sorted({one.config["fold"] for one in saved})
    found = {k: run.fold(scope, place.cohort, k) for k in folds}
    sources = {k: fold for k in folds if (fold := run.source_fold(scope, place.cohort, k)) is not None}
    stored = {int(one.rows["fold"].iloc[0]): one for one in run.out_of_fold(place, task) if len(one.rows)}
    made = Collected(place, task, saved, found, stored, sources)
    if task == "survival":
        cohort, inputs = run.cohort(place.cohort)[0], needs(saved[0])
        made.horizons = {k: horizon_of(cohort, fold, stored[k].rows, inputs) for k, fold in found.items()}
    return made


@dataclass(frozen=True)
class Terms:
    """Days at which survival is given, share of genes that may be missing, and what models of one call share."""

    days: Sequence[float]
    missing_genes: float
    memory: Memory = field(default_factory=Memory)


def ask_models(
    found: Collected,
    units: pd.DataFrame,
    patients: NewPatients,
    terms: Terms,
    models: Sequence[SavedModel] | None = None,
    of_run: str = "",
) -> None:
    """Predict ``units`` with every model (or ``models``); what a model cannot answer is kept with its reason."""
    for saved in found.saved if models is None else models:
        fold, seed = saved.config["fold"], saved.config["seed"]
        try:
            said = answer(saved, units, patients, terms.missing_genes, terms.memory)
        except InputError as error:
            found.left_out |= {str(unit): str(error) for unit in units["unit"]}
            continue
        found.left_out |= said.left_out
        if said.prediction is not None and said.genes_missing is not None:
            found.missing[fold] = tuple(dict.fromkeys([*found.missing.get(fold, ()), *said.genes_missing]))
        for unit, count in said.unknown.items():
            found.unknown[unit] = max(count, found.unknown.get(unit, 0))
        found.without_version = max(found.without_version, said.without_version)
        for unit, distance in said.distances.items():
            found.distances[unit] = max(distance, found.distances.get(unit, 0.0))
        if said.prediction is not None:
            keys = said.units[["patient", "slide_id"]].assign(of_run=of_run, fold=fold, seed=seed)
            _add(found, saved, keys, said, terms.days)


def _add(found: Collected, saved: SavedModel, keys: pd.DataFrame, said: Answer, days: Sequence[float]) -> None:
    prediction, key = said.prediction, (saved.config["fold"], saved.config["seed"])
    if isinstance(prediction, SubtypePrediction):
        values = pd.DataFrame(prediction.probabilities, columns=_probability_columns(found.classes))
        found.rows.append(keys.join(values))
        return
    assert isinstance(prediction, SurvivalPrediction)
    held_out = found.stored[key[0]].rows
    risk = held_out.loc[held_out["seed"] == key[1], "risk"].to_numpy(float)
    values = _survival_values(found, saved, prediction, percentiles(prediction.risk, risk), days)
    found.rows.append(keys.join(values))
    found.survival.append((keys, prediction, saved))


def _survival_values(
    found: Collected, saved: SavedModel, prediction: SurvivalPrediction, rank: np.ndarray, days: Sequence[float]
) -> pd.DataFrame:
    values = {"risk_percentile": rank}
    config, horizon = saved.config, found.horizons[saved.config["fold"]]
    curve = survival_on(prediction, np.asarray(days, float), config["bin_edges_days"], config["bin_ends_days"])
    if curve is not None:
        allowed = [not horizon.why_not(day) for day in days]
        shown = np.where(allowed, curve, np.nan)
        values |= {survival_column(day): shown[:, column] for column, day in enumerate(days)}
    return pd.DataFrame(values)


def survival_column(day: float) -> str:
    """Name of the column of survival at a day."""
    return f"survival_{day:g}d"


def _probability_columns(classes: Sequence[str]) -> list[str]:
    return [f"prob_{name}" for name in classes]


def add_out_of_fold(found: Collected, known: Mapping[str, str], days: Sequence[float]) -> dict[str, str]:
    """Rows of patients of the run: what models said of them that were not trained on them.

    Returns those (new name -> the run's) of whom nothing is stored: without a label or an outcome they were not
    evaluated.
    """
    asked = {}
    for new, old in known.items():
        rows = [_stored_rows(found, saved, old) for saved in found.saved]
        for saved, mine in zip(found.saved, rows, strict=True):
            if len(mine):
                where = {"of_run": old, "fold": saved.config["fold"], "seed": saved.config["seed"]}
                _add_stored(found, saved, mine[["slide_id"]].assign(patient=new, **where)[KEYS], mine, days)
        if not any(map(len, rows)):
            asked[new] = old
    return asked


def _stored_rows(found: Collected, saved: SavedModel, patient: str) -> pd.DataFrame:
    """None where the fold was trained on the patient, too: published folds may share patients."""
    stored = found.stored[saved.config["fold"]].rows
    if patient in found.folds[saved.config["fold"]].train:
        return stored.head(0)
    chosen = (stored["seed"] == saved.config["seed"]) & (stored["patient"] == patient)
    return stored[chosen].reset_index(drop=True)


def models_that_never_saw(found: Collected, patient: str) -> list[SavedModel]:
    """Models of folds that neither trained on a patient of the run nor chose an epoch on it, nor did their source's."""
    seen = {fold: {*one.train, *(one.choice or ())} for fold, one in found.folds.items()}
    for fold, one in found.sources.items():
        seen[fold] |= {*one.train, *(one.choice or ())}
    return [saved for saved in found.saved if patient not in seen[saved.config["fold"]]]


def _add_stored(
    found: Collected, saved: SavedModel, keys: pd.DataFrame, mine: pd.DataFrame, days: Sequence[float]
) -> None:
    if found.task == "subtyping":
        found.rows.append(keys.join(mine[_probability_columns(found.classes)]))
        return
    columns = [name for name in mine if str(name).startswith("surv_")]
    survival = mine[columns].to_numpy(float) if columns else None
    prediction = SurvivalPrediction(mine["risk"].to_numpy(float), survival)
    _add(found, saved, keys, Answer(mine, prediction, {}), days)
