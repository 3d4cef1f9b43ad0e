"""Attributions of a method's genes, fold by fold: evaluation patients by the model that was not trained on them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.cohorts.patients import to_units, who_has
from mirrorflow.cohorts.splits import training_units
from mirrorflow.errors import InputError
from mirrorflow.expression.importance import shares
from mirrorflow.learners.differentiable import Differentiable
from mirrorflow.learners.saved import SavedModel, load_trained
from mirrorflow.steps.explained.cases import Case, Evaluated, model_of_case
from mirrorflow.steps.explained.fold_models import BASELINES, MEAN, Asked, FoldModel, GeneFiles, HeadFold
from mirrorflow.steps.explained.network_fold import NetworkFold
from mirrorflow.store.method_predictions import Manifest
from mirrorflow.store.tables import read_fold
from mirrorflow.training.gradients import Attributed, attributed

NULL_PATIENTS = 10
"""Of a fold, whom models of no meaning are asked about."""


@dataclass(frozen=True)
class FoldFound:
    """A fold's attributions: genes, and by kind of baseline signed shares [unit, gene] of the units that are kept.

    patients: a row a unit and baseline, those left out among them. nulls: kind and mean absolute share [gene] of each
    model of no meaning.
    """

    fold: int
    seed: int
    ids: list[str]
    signed: Mapping[str, np.ndarray]
    patients: list[dict[str, Any]]
    nulls: list[tuple[str, np.ndarray]] = field(default_factory=list)
    said: str = ""
    """How bags are looked at, in words."""

    def importance(self, kind: str = MEAN) -> np.ndarray:
        """Mean absolute share [gene]; NaN where no unit is kept."""
        values = self.signed[kind]
        return np.abs(values).mean(0) if len(values) else np.full(len(self.ids), np.nan)


def fold_model(asked: Asked, files: GeneFiles) -> FoldModel:
    """By the kind of the saved model. Raises InputError for a kind without a network, or without genes."""
    kind = asked.saved.config["kind"]
    if kind == "head":
        return HeadFold(asked, files)
    if kind == "network" and asked.saved.genes:
        return NetworkFold(asked, files)
    message = f"{asked.saved.folder}: a model of kind {kind} has no network over genes"
    raise InputError(message)


def spread(names: Sequence[str], most: int | None) -> list[str]:
    """So many of the sorted names at even distances; None: all."""
    ordered = sorted(names)
    if most is None or len(ordered) <= most:
        return ordered
    return [ordered[at] for at in np.linspace(0, len(ordered) - 1, most).round().astype(int)]


def attribute(
    of: Evaluated,
    manifest: Manifest,
    cohort: pd.DataFrame,
    splits: Sequence[Path],
    files: GeneFiles,
    settings: Mapping[str, Any],
) -> Iterator[FoldFound]:
    """Every fold that has predictions of the task. Raises InputError as :func:`fold_model` and ``hold`` do."""
    for fold in sorted(map(int, of.rows["fold"].unique())):
        mine = (of.rows["fold"] == fold).to_numpy()
        rows, units = of.rows[mine].set_index("unit"), of.units[mine]
        chosen = spread(units["unit"].tolist(), settings["patients"])
        saved = load_trained(_model(manifest, of, rows.loc[[chosen[0]]].reset_index(), units))
        evaluation = units.set_index("unit", drop=False).loc[chosen].reset_index(drop=True)
        asked = Asked(saved, _training(cohort, saved, of, splits[fold]), evaluation, settings)
        model = fold_model(asked, files)
        for name in chosen:
            model.hold(name, {str(key): value for key, value in rows.loc[name].items()})
        yield _found(model, asked, fold)


def _model(manifest: Manifest, of: Evaluated, row: pd.DataFrame, units: pd.DataFrame) -> Path:
    stored = {str(name): value for name, value in row.iloc[0].items()}
    return model_of_case(manifest, Case(of.task, 1, units, stored, "", of.classes))


def _training(cohort: pd.DataFrame, saved: SavedModel, of: Evaluated, split: Path) -> pd.DataFrame:
    """Units of the fold's training patients who have what the method sees."""
    inputs = saved.config["inputs"].get("inputs", ("slides", "rna"))
    unit = "slide" if of.units["slide_id"].ne("").any() else "patient"
    return training_units(to_units(who_has(cohort, inputs), unit), read_fold(split), of.task).reset_index(drop=True)


def _found(model: FoldModel, asked: Asked, fold: int) -> FoldFound:
    names, bound = asked.evaluation["unit"].tolist(), asked.settings["bound"]
    own, patients = model.model, []
    kept: dict[str, list[np.ndarray]] = {kind: [] for kind in BASELINES}
    for name in names:
        unit, answer = model.seen(name), own.answer(model.whole(name))
        for kind, baselines in model.baselines(unit).items():
            found = attributed(answer, unit, baselines, bound)
            patients.append({"fold": fold, "unit": name, "baseline": kind} | _row(found, bound))
            if found.error <= bound:
                kept[kind].append(found.values)
    signed = {kind: shares(_stacked(values, len(model.ids))) for kind, values in kept.items()}
    nulls = [(kind, _null(one, model, names[:NULL_PATIENTS], bound)) for kind, one in model.nulls()]
    return FoldFound(fold, asked.saved.config["seed"], model.ids, signed, patients, nulls, model.said)


def _row(found: Attributed, bound: float) -> dict[str, Any]:
    return {"change": found.change, "error": found.error, "steps": found.steps, "left_out": found.error > bound}


def _stacked(values: Sequence[np.ndarray], genes: int) -> np.ndarray:
    return np.stack(values) if values else np.zeros((0, genes))


def _null(one: Differentiable, model: FoldModel, names: Sequence[str], bound: float) -> np.ndarray:
    """Mean absolute share [gene] of the paths from the training mean; NaN where no unit is kept."""
    kept = []
    for name in names:
        unit = model.seen(name)
        found = attributed(one.answer(model.whole(name)), unit, model.baselines(unit)[MEAN], bound)
        if found.error <= bound:
            kept.append(found.values)
    values = shares(_stacked(kept, len(model.ids)))
    return np.abs(values).mean(0) if len(values) else np.full(len(model.ids), np.nan)


Linear = Callable[[str, int, int], Mapping[str, float]]
"""Task, fold and seed to the coefficients of a linear method's genes; empty where it has none."""


def linear_of(manifest: Manifest) -> Linear:
    """Of a linear method's kept models."""
    from mirrorflow.learners.coefficients import gene_coefficients

    def coefficients(task: str, fold: int, seed: int) -> Mapping[str, float]:
        row = {"fold": fold, "seed": seed}
        try:
            return gene_coefficients(load_trained(model_of_case(manifest, Case(task, 1, pd.DataFrame(), row, "", ()))))
        except InputError:
            return {}

    return coefficients
