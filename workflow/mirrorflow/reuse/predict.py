"""New patients by the models of a finished run: per fold, over folds, checked against training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mirrorflow.errors import InputError
from mirrorflow.reuse.columns import check_columns
from mirrorflow.reuse.feature_checks import DIFFERS, NOT_KNOWN, SAME, Check, check_features, require_same_features
from mirrorflow.reuse.folds import Collected, Terms, add_out_of_fold, ask_models, collected, models_that_never_saw
from mirrorflow.reuse.known import in_other_case, known_patients
from mirrorflow.reuse.over_folds import average_curves, averaged, horizons, per_fold, risk_groups, with_classes
from mirrorflow.reuse.patients import NewPatients
from mirrorflow.reuse.request import TASKS, Chosen, Request, chosen
from mirrorflow.reuse.run_folder import FinishedRun
from mirrorflow.reuse.training_slides import training_slides

SPREAD_SAID = (
    "Columns ending in _spread are the standard deviation over the models of folds and seeds. It is the spread of "
    "models that share most of their training patients: no confidence interval, and no error to be expected."
)
PERCENTILE_SAID = (
    "risk_percentile: where a risk stands among the risks of a fold's held-out patients, by the same model, 0 to 100, "
    "averaged over models. Raw risks of different models share no scale and are not given. risk_group: high above 50."
)
CAUSE_SAID = "Survival is cause-specific ({name}): the chance not to have died of it while other causes are censored."
OFF = "on another scale"
OWN_SAID = "Rows with of_run are patients of the run: values of the models that were not trained on them, alone."


@dataclass
class Predicted:
    """What is said of new patients: tables by task, checks, who was left out and why, notes in words."""

    chosen: Chosen
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """subtyping, survival (a row a unit and method), *_folds (a row a model), survival_curves, horizons."""
    checks: list[Check] = field(default_factory=list)
    left_out: pd.DataFrame = field(default_factory=pd.DataFrame)
    genes_missing: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: list[str] = field(default_factory=list)


def predict_patients(run: FinishedRun, patients: NewPatients, request: Request) -> Predicted:
    """Everything that the asked models of the run say of ``patients``.

    A patient of the run, by name or by the content of a slide's features, gets the out-of-fold value alone. Raises
    InputError where features are not those of training, or where no model could say anything of anyone.
    """
    asked = chosen(run, request)
    index = run.features(asked.cohort, asked.encoder)
    made = Predicted(asked)
    made.checks = _check_features(patients, index, run)
    known = known_patients(patients, run.everyone(asked.cohort), run.all_features(asked.cohort, asked.encoder))
    unclear = in_other_case(patients, run.everyone(asked.cohort), known)
    patients = patients.only(set(patients.frame["patient"]) - set(unclear))
    terms, found = Terms(request.days, request.missing_genes), list[Collected]()
    for place, task in ((place, task) for place in asked.places for task in TASKS):
        one = collected(run, place, task)
        if one is not None:
            _fill(one, patients, known, terms)
            found.append(one)
    _require_any(found, run, unclear)
    made.checks += gene_checks(found)
    for one in found:
        made.checks += check_columns(f"{one.place.method}, {one.task}", one.saved, patients.listed)
    _write_tables(made, found, request)
    rows = [("all", "all", name, why) for name, why in unclear.items()]
    made.left_out = pd.concat([pd.DataFrame(rows, columns=made.left_out.columns), made.left_out], ignore_index=True)
    _write_notes(made, run, asked, known, found)
    return made


def _fill(one: Collected, patients: NewPatients, known: Mapping[str, str], terms: Terms) -> None:
    unit = next(iter(one.stored.values())).notes["protocol"]["unit"]
    new = patients.only(set(patients.frame["patient"]) - set(known))
    if len(new.frame):
        ask_models(one, new.units(unit), new, terms)
    for name, old in add_out_of_fold(one, known, terms.days).items():
        mine, models = patients.only({name}), models_that_never_saw(one, old)
        if not models:
            one.left_out[name] = f"patient {old} of the run: every model was trained on it, and no value can be given"
        else:
            ask_models(one, mine.units(unit), mine, terms, models, old)


def _check_features(patients: NewPatients, index: pd.DataFrame | None, run: FinishedRun) -> list[Check]:
    if not patients.files or index is None:
        return []
    typical = training_slides(index).index
    checks = check_features(typical, patients.files, f"the run is {run.folder}")
    require_same_features(checks)
    return checks


def _require_any(found: Sequence[Collected], run: FinishedRun, unclear: Mapping[str, str]) -> None:
    if any(one.rows for one in found):
        return
    reasons = list(dict.fromkeys(reason for one in found for reason in one.left_out.values()))
    reasons += [f"{name}: {why}" for name, why in unclear.items()]
    said = "; ".join(reasons[:3]) or "the run kept no trained model of these methods"
    message = f"{run.folder}: nothing could be predicted of anyone: {said}"
    raise InputError(message)


def gene_checks(found: Sequence[Collected]) -> list[Check]:
    """Genes and scale of the new patients' expression, held against each method that sees genes."""
    seeing = [one for one in found if any(_sees_genes(saved) for saved in one.saved)]
    where = {f"{one.place.method}, {one.task}": one for one in seeing}
    return [check for name, one in where.items() for check in (_genes_check(name, one), _scale_check(name, one))]


def _genes_check(where: str, one: Collected) -> Check:
    """Genes that the matrix lacks, and patients without a value of some; what is missing is filled as in training."""
    what, training = f"genes ({where})", "of each fold's model"
    if not one.missing:
        return Check(what, NOT_KNOWN, training, "nobody's expression was used")
    lost, told = max(map(len, one.missing.values())), "by id"
    if one.without_version:
        told += f"; {one.without_version} without their version"
    if one.unknown:
        most = max(one.unknown, key=one.unknown.__getitem__)
        told += f"; {len(one.unknown)} have no value of some genes (at most {one.unknown[most]}, {most})"
    verdict = f"{lost} missing" if lost else DIFFERS if one.unknown else SAME
    return Check(what, verdict, training, told)


def _scale_check(where: str, one: Collected) -> Check:
    """How far the farthest patient's expression stands from training; who is on another scale is left out."""
    what, off = f"scale ({where})", sum("on another scale" in reason for reason in one.left_out.values())
    if not one.distances:
        return Check(what, DIFFERS if off else NOT_KNOWN, "its RNA scaler", "no scaler was fitted" if not off else OFF)
    farthest = max(one.distances, key=one.distances.__getitem__)
    told = f"{one.distances[farthest]:.2f} training deviations (median gene) at most, {farthest}"
    return Check(what, DIFFERS if off else SAME, "its RNA scaler", told + (f"; {off} left out: {OFF}" if off else ""))


def _sees_genes(saved: Any) -> bool:
    return bool(saved.genes) or saved.config["inputs"]["kind"] == "embedded"


def _write_tables(made: Predicted, found: Sequence[Collected], request: Request) -> None:
    parts: dict[str, list[pd.DataFrame]] = {}
    promises: dict[str, list[str]] = {}
    for one in found:
        table = averaged(one)
        if len(table) and one.task == "subtyping":
            table, promise = with_classes(one, table, request.coverage)
            promises.setdefault(promise, []).append(one.place.method)
        elif len(table):
            table = risk_groups(table)
            parts.setdefault("survival_curves", []).append(average_curves(one))
            rows = pd.DataFrame(horizons(one, request.days))
            parts.setdefault("horizons", []).append(rows)
        parts.setdefault(one.task, []).append(table)
        parts.setdefault(f"{one.task}_folds", []).append(per_fold(one))
    made.notes += [f"{', '.join(methods)}: {promise}" for promise, methods in promises.items()]
    whole = {name: [part for part in of if len(part)] for name, of in parts.items()}
    made.tables = {name: pd.concat(of, ignore_index=True).drop_duplicates() for name, of in whole.items() if of}
    made.left_out = pd.DataFrame(
        [(one.place.method, one.task, unit, reason) for one in found for unit, reason in one.left_out.items()],
        columns=["method", "task", "unit", "reason"],
    )
    made.genes_missing = pd.DataFrame(
        [(one.place.method, one.task, k, gene) for one in found for k, genes in one.missing.items() for gene in genes],
        columns=["method", "task", "fold", "id"],
    )


def _write_notes(
    made: Predicted, run: FinishedRun, asked: Chosen, known: Mapping[str, str], found: Sequence[Collected]
) -> None:
    made.notes.insert(0, f"Models of {run.folder}: protocol {asked.protocol}, cohort {asked.cohort}.")
    made.notes.append(SPREAD_SAID)
    if "survival" in made.tables:
        made.notes.append(PERCENTILE_SAID)
        if name := run.endpoint(asked.cohort):
            made.notes.append(CAUSE_SAID.format(name=name))
    if known:
        others = [f"{new} is {old}" for new, old in known.items() if new != old]
        made.notes.append(OWN_SAID + (f" By the same features: {', '.join(others)}." if others else ""))
    if unfinished := run.unfinished():
        made.notes.append(f"Not finished in this run, so not asked: {', '.join(unfinished)}.")
