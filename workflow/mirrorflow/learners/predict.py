"""Rules probe_mirror, fit_baseline and train_supervised: every fold, setting and seed.

One job serves a method on a cohort; what is finished is known by the digest in each predictions file and
kept. A method is a function of inputs and targets (:func:`~mirrorflow.learners.registry.predictor_of`); where
its inputs come from is a :class:`~mirrorflow.learners.inputs.vectors.Representation`.
"""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd

from mirrorflow.config.queries import learns_hazards
from mirrorflow.errors import CannotFitError, InputError, MirrorflowError
from mirrorflow.learners.base import Checkpoint, check_reported
from mirrorflow.learners.epochs import forget_epochs
from mirrorflow.learners.inputs.by_setting import Inputs
from mirrorflow.learners.inputs.seen import seen_by
from mirrorflow.learners.inputs.vectors import Representation
from mirrorflow.learners.kept_models import KeptModels
from mirrorflow.learners.nested_epoch import (
    EpochChoice,
    NoEpochError,
    choose_epoch,
    forget_choice,
    read_choice,
    write_choice,
)
from mirrorflow.learners.registry import predictor_of, released_score_on, score_on, unfit_for, version_of
from mirrorflow.learners.tasks import ALL_DATA, FoldTask, FoldTasks, Plan
from mirrorflow.probes.task import LAST, EpochRule, Prediction, SubtypePrediction
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.files import clear_leftovers, write_text
from mirrorflow.runtime.folder_lock import alone_in
from mirrorflow.runtime.forks import ONE_BY_ONE, Cores, run_each
from mirrorflow.runtime.progress import Progress
from mirrorflow.store import predictions as stored
from mirrorflow.store.digest import digest, file_digest, names_digest

__all__ = ["Plan", "predict_method", "rows_of"]

logger = logging.getLogger("mirrorflow.predict")


def predict_method(
    plan: Plan,
    representation: Representation,
    folder: str,
    manifest: str,
    label: str,
    *,
    few_shot: Representation | None = None,
    inner: Sequence[Representation] = (),
    cores: Cores = ONE_BY_ONE,
) -> None:
    """Fit and predict every task, setting, seed and fold; write ``<folder>/<task>/fold<k>.parquet`` and the manifest.

    What was trained is kept where the plan says so (:class:`~mirrorflow.learners.kept_models.KeptModels`); the
    manifest lists these models, and a fold whose model is gone is fitted and predicted again.
    few_shot: vectors of the k-shot settings, where their genes were chosen with fewer labels; inner: vectors of
    the inner folds, where the protocol chooses the epoch on them.
    What this cohort cannot answer (no label, no event, a support set without an event) is named in the
    manifest with the reason, and the rest is still computed. cores: how folds share them; a fold is one call.

    Raises, once all other folds are finished and kept, an error that names the folds that failed.
    """
    inputs = Inputs(representation, few_shot or representation, inner)
    written: dict[str, str] = {}
    skipped: dict[str, str] = {}
    kept, models = KeptModels(plan, inputs), dict[Path, str]()
    for (task, number), (key, reasons) in _predicted(plan, inputs, Path(folder), label, cores).items():
        name = f"{task}/fold{number}.parquet"
        if key is not None:
            written[name] = key
            models |= kept.of_notes(task, number, stored.stored_notes(Path(folder) / name))
        skipped |= {", ".join(filter(None, [name, part])): reason for part, reason in reasons.items()}
    for name, reason in skipped.items():
        logger.warning("%s: %s is left out: %s", label, name, reason)
    _remove_others(Path(folder), written)
    kept.remove_others(models)
    content = {
        "written": written,
        "checksums": {name: stored.content_digest(Path(folder) / name) for name in written},
        "skipped": skipped,
        "models": {str(path): key for path, key in models.items()},
    }
    write_text(manifest, json.dumps(content, indent=1, sort_keys=True))


Outcome = tuple[str | None, dict[str, str]]
"""Of a task on a fold: the digest of what it was made from (None: nothing), and by setting why one was left out."""


def _predicted(plan: Plan, inputs: Inputs, folder: Path, label: str, cores: Cores) -> dict[tuple[str, int], Outcome]:
    """The outcome of each task on each fold: kept from an earlier job, or made now."""
    asked = FoldTasks(plan)
    for task in plan.tasks:
        clear_leftovers(folder / task)
    paths = {
        (task, fold): folder / task / f"fold{fold}.parquet" for task in plan.tasks for fold in range(len(plan.splits))
    }
    kept = {part: _kept(asked, inputs, *part, path) for part, path in paths.items()}
    missing = [part for part, outcome in kept.items() if outcome is None]
    if missing and cores.processes > 1:
        inputs.load()
    calls = [
        Call(_predict_fold, (asked, inputs, *part, paths[part]), {}, "{} fold {}".format(*part)) for part in missing
    ]
    progress = Progress(label, len(paths), "folds", kept=len(paths) - len(missing))
    made = run_each(calls, cores, lambda part: progress.step(note=part))
    return {**kept, **dict(zip(missing, made, strict=True))}


def _kept(asked: FoldTasks, inputs: Inputs, task: str, number: int, path: Path) -> Outcome | None:
    """The outcome of a fold that is done, or cannot be asked; None: it is to be predicted."""
    try:
        fold_tasks = list(asked.fold_tasks(task, number))
    except InputError as error:
        return None, {"": str(error)}
    key, notes = digest(_ingredients(asked.plan, inputs, fold_tasks)), stored.stored_notes(path)
    whole = notes.get("digest") == key and stored.is_unchanged(path)
    models_too = whole and KeptModels(asked.plan, inputs).are_there(task, number, notes)
    return (key, notes["skipped"]) if models_too else None


def _predict_fold(asked: FoldTasks, inputs: Inputs, task: str, number: int, path: Path) -> Outcome:
    """Predict one task on one fold in all settings and seeds."""
    fold_tasks = list(asked.fold_tasks(task, number))
    key = digest(_ingredients(asked.plan, inputs, fold_tasks))
    rows, notes = _answers(asked, inputs, fold_tasks)
    notes |= {"digest": key, "classes": asked.classes, "protocol": dict(asked.plan.protocol)}
    notes |= seen_by(inputs.all_units, number)
    if not rows:
        return None, notes["skipped"]
    stored.write_predictions(path, pd.concat(rows, ignore_index=True), notes)
    return key, notes["skipped"]


def _answers(
    asked: FoldTasks, inputs: Inputs, fold_tasks: Sequence[FoldTask]
) -> tuple[list[pd.DataFrame], dict[str, Any]]:
    rows, settings, skipped = [], [], {}
    for fold_task in fold_tasks:
        # Vectors that cannot be had stop the job, but for what a family cannot fit on so few patients.
        try:
            vectors = _vectors(asked, inputs, fold_task)
            prediction, note = _answer(asked, inputs, fold_task, vectors)
        except (NoEpochError, CannotAnswerError, CannotFitError) as error:
            skipped[f"{fold_task.setting}, seed {fold_task.seed}"] = str(error)
            continue
        rows.append(rows_of(fold_task, prediction))
        settings.append(note | {"lost_units": fold_task.lost})
    return rows, {"settings": settings, "skipped": skipped}


class CannotAnswerError(MirrorflowError):
    """A method cannot answer a fold task: the setting is left out, with the reason."""


def _answer(asked: FoldTasks, inputs: Inputs, fold_task: FoldTask, vectors: Any) -> tuple[Prediction, dict[str, Any]]:
    """Prediction and note of a fold task: by the model that an earlier job left of it, or by a new one, which is kept.

    A job of another protocol that shares the model is waited for. Raises NoEpochError, CannotAnswerError or
    CannotFitError where there is none.
    """
    if reason := unfit_for(fold_task, asked.plan.method):
        raise CannotFitError(reason)
    place = KeptModels(asked.plan, inputs).checkpoint(fold_task)
    with nullcontext() if place is None else alone_in(place.folder):
        return _answered(asked, inputs, fold_task, vectors, place)


def _answered(
    asked: FoldTasks, inputs: Inputs, fold_task: FoldTask, vectors: Any, place: Checkpoint | None
) -> tuple[Prediction, dict[str, Any]]:
    plan, models = asked.plan, KeptModels(asked.plan, inputs)
    if (saved := models.load(fold_task)) is not None:
        forget_choice(place)
        prediction = saved.predict(vectors.evaluation)
        return prediction, _note(plan, fold_task, prediction, vectors.fitted, saved.config.get("epoch_choice"))
    if place is not None and not plan.method.get("train", {}).get("every_epoch"):
        forget_epochs(place.folder)
    choice = _chosen_epoch(asked, inputs, fold_task, place)
    try:
        rule = _epoch_rule(plan, fold_task, choice)
        trained = predictor_of(plan.method)(vectors, fold_task, plan.method, rule, place)
    except InputError as error:
        raise CannotAnswerError(str(error)) from error
    chosen = None if choice is None else choice.note() | {"splits": plan.inner_digests(fold_task.fold)}
    note = _note(plan, fold_task, trained.prediction, vectors.fitted, chosen)
    models.save(fold_task, trained, vectors, note)
    forget_choice(place)
    return trained.prediction, note


def _vectors(asked: FoldTasks, inputs: Inputs, fold_task: FoldTask) -> Any:
    """What the method sees of a fold task. Raises MirrorflowError for something fitted on unnamed patients."""
    sides = (fold_task.train.units, fold_task.evaluation.units)
    where = (asked.folds[fold_task.fold], fold_task.fold, fold_task.seed)
    vectors = inputs.of(fold_task.setting).vectors(*where, *sides)
    check_reported(vectors, f"{asked.plan.method['family']}, {fold_task.task}, fold {fold_task.fold}")
    return vectors


def _chosen_epoch(
    asked: FoldTasks, inputs: Inputs, fold_task: FoldTask, place: Checkpoint | None
) -> EpochChoice | None:
    """The nested choice, or that of a killed attempt; k-shot settings have none, their support sets are too small."""
    if not asked.plan.nested or fold_task.setting != ALL_DATA:
        return None
    choice = read_choice(place) or choose_epoch(asked, fold_task, inputs.inner)
    write_choice(place, choice)
    return choice


def _epoch_rule(plan: Plan, fold_task: FoldTask, choice: EpochChoice | None) -> EpochRule:
    if plan.protocol["epoch"] == "best_on_evaluation":
        return EpochRule(scorer=score_on(fold_task.evaluation))
    if plan.protocol["epoch"] == "least_loss_on_evaluation":
        return EpochRule(scorer=released_score_on(fold_task.evaluation, hazards=learns_hazards(plan.method)))
    return LAST if choice is None else EpochRule(stop_after=choice.epoch)


def _ingredients(plan: Plan, inputs: Inputs, fold_tasks: Sequence[FoldTask]) -> dict[str, Any]:
    """What the predictions of a task on a fold are made of; ``fold_tasks``: its settings and seeds."""
    task, number = fold_tasks[0].task, fold_tasks[0].fold
    made_of: dict[str, Any] = {
        "version": version_of(plan.method, plan.protocol["epoch"]),
        "cohort": file_digest(plan.cohort),
        "split": file_digest(plan.splits[number]),
        "support": file_digest(plan.support) if plan.support else "",
        "protocol": dict(plan.protocol),
        "task": task,
        "fold": number,
        "shots": list(plan.shots),
        "seeds": list(plan.seeds),
        "bins": plan.bins,
        "method": dict(plan.method),
        "vectors": inputs.digests(number),
        "gene_labels": [plan.gene_labels(setting, number) for setting in (ALL_DATA, "k-shot")],
    }
    if unfit := sorted({one.setting for one in fold_tasks if unfit_for(one, plan.method)}):
        made_of["unfit"] = unfit  # files without the key may hold predictions of them
    if plan.nested:
        made_of["inner"] = list(zip(plan.inner_digests(number), inputs.inner_digests(number), strict=True))
    return made_of


def _remove_others(folder: Path, written: Collection[str]) -> None:
    """Predictions of folds or tasks that this run no longer has."""
    for path in folder.glob("*/fold*.parquet"):
        if path.relative_to(folder).as_posix() not in written:
            path.unlink()


def rows_of(fold_task: FoldTask, prediction: Prediction) -> pd.DataFrame:
    """Rows of a predictions file: the evaluation units of a fold task as a method predicts them."""
    units = fold_task.evaluation.units
    if isinstance(prediction, SubtypePrediction):
        rows = stored.subtype_rows(units, prediction.probabilities, fold_task.classes)
    else:
        rows = stored.survival_rows(units, prediction.risk, prediction.survival)
    rows.insert(0, "setting", fold_task.setting)
    rows.insert(1, "seed", fold_task.seed)
    rows.insert(2, "fold", fold_task.fold)
    return rows


def _note(
    plan: Plan,
    fold_task: FoldTask,
    prediction: Prediction,
    fitted: Mapping[str, str],
    choice: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What predictions file and model say of a setting and seed, the evaluation units apart."""
    note = {
        "setting": fold_task.setting,
        "seed": fold_task.seed,
        "train_units": len(fold_task.train),
        "train_patients": int(fold_task.train.units["patient"].nunique()),
        "trained_on": names_digest(fold_task.train.units["unit"]),
        "k_real": fold_task.k_real,
        "epoch": prediction.epoch,
        "bin_edges_days": None if fold_task.edges is None else [float(edge) for edge in fold_task.edges[:-1]],
        "bin_ends_days": None if fold_task.bin_ends is None else [float(end) for end in fold_task.bin_ends],
        "gene_labels": plan.gene_labels(fold_task.setting, fold_task.fold),
        "fitted_on": dict(fitted),
    }
    if choice is not None:
        note["epoch_choice"] = dict(choice)
    return note
