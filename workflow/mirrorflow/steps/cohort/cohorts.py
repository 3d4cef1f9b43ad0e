"""Rules build_cohort, make_splits and draw_support."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.cohorts import patients as cohorts
from mirrorflow.cohorts import splits as folding
from mirrorflow.cohorts.folds import inner_folds, keep_sites_apart, random_folds, site_preserved_folds
from mirrorflow.config.protocols import REPAIRED
from mirrorflow.errors import InputError
from mirrorflow.store import tables
from mirrorflow.store.expression import read_names

logger = logging.getLogger("mirrorflow.cohorts.patients")

MOVED = "moved"
"""Column of splits/summary.tsv where folds were repaired: patients who changed their part, by fold."""


def build_cohort(
    clinical: Mapping[str, Any],
    settings: Mapping[str, Any],
    indexes: Mapping[str, str],
    expression: str,
    destination: str,
    dropped: str,
    flow_table: str,
) -> None:
    """Join patients, slides and expression into the cohort's frame; write who was dropped and why.

    clinical: the config's section; settings: classes, site and, where given, a table of institutions (or the word
    tcga), whose names take the place of the sites' codes; indexes: encoder -> index of its features.
    """
    where = clinical.get("sheet") or ", ".join(matrices(clinical))
    sheet = clinical_sheet(clinical)
    patients = cohorts.name_classes(sheet, settings["classes"], settings["site"])
    if named := settings.get("institutions"):
        names = tables.read_institutions(named)
        patients["site"] = patients["site"].map(lambda site: names.get(site, site))
    frames = {encoder: tables.read_text_sheet(path) for encoder, path in indexes.items()}
    frame, flow = cohorts.assemble(patients, frames, read_names(expression)[0], where)
    tables.write_cohort(destination, frame, cohorts.class_names(frame, settings["classes"]))
    tables.write_sheet(dropped, pd.DataFrame(flow.dropped, columns=["step", "patient", "slide_id", "reason"]))
    tables.write_sheet(flow_table, pd.DataFrame(flow.steps))


def clinical_sheet(clinical: Mapping[str, Any]) -> pd.DataFrame:
    """One row per patient, from the config section `clinical`: a sheet of one's own, or Xena's tables."""
    if "sheet" in clinical:
        sheet = tables.read_text_sheet(clinical["sheet"])
        return cohorts.standard_sheet(sheet, clinical["columns"], clinical["sheet"], clinical["time_unit"])
    survival = tables.read_text_sheet(clinical["survival"])
    paths = matrices(clinical)
    frames = [tables.read_text_sheet(path) for path in paths]
    for path, frame in zip(paths, frames, strict=True):
        if clinical["label"] not in frame:
            message = f"{path}: no column {clinical['label']} (`label`); it has {', '.join(frame.columns[:20])}, ..."
            raise InputError(message)
    matrix = pd.concat(frames, ignore_index=True).fillna("")
    return cohorts.xena_sheet(survival, matrix, clinical["label"], clinical["outcome"], ", ".join(paths))


def matrices(clinical: Mapping[str, Any]) -> list[str]:
    """Paths of the clinical matrices that make the cohort."""
    named = clinical.get("matrix", [])
    return [named] if isinstance(named, str) else list(named)


def make_splits(
    cohort: str,
    outputs: Sequence[str],
    report: str,
    *,
    kind: str,
    folder: str | None,
    seed: int,
    evaluate: str = "auto",
) -> None:
    """Write the split files of a model scope and, beside them, what each fold holds and lost.

    kind: a protocol's ``splits``. Folds of ``folder`` that are to be repaired (``<name>-repaired``) are fixed whole,
    as ``mirrorflow audit --repair`` does, then cut to the cohort; the report's column ``moved`` counts the cohort's
    patients who changed their part. evaluate: which column of the files is evaluated (:func:`splits.choose_evaluated`).
    """
    frame, classes = tables.read_cohort(cohort)
    before: list[folding.Fold] = []
    if kind == "random":
        folds = random_folds(frame, len(outputs), seed, cohort)
    elif kind == "site_preserved":
        folds = site_preserved_folds(frame, len(outputs), seed, cohort)
    else:
        given = folding.choose_evaluated(tables.read_folds(str(folder), len(outputs)), evaluate, str(folder))
        folds = _restricted(given, frame, str(folder))
        if kind.endswith(REPAIRED):
            before, folds = folds, _restricted(folding.repair_folds(given), frame, str(folder))
    if said := folding.evaluated_part(folds := [folding.as_evaluated(fold) for fold in folds]):
        logger.warning("%s: %s", folder, said)
    for path, fold in zip(outputs, folds, strict=True):
        tables.write_fold(path, fold)
    summary = pd.DataFrame([_describe(k, fold, frame, classes) for k, fold in enumerate(folds)])
    if before:
        were = [folding.as_evaluated(fold) for fold in before]
        moved = [len(folding.moved_patients(*both)) for both in zip(were, folds, strict=True)]
        logger.info("%s: folds repaired, patients moved by fold: %s", folder, ", ".join(map(str, moved)))
        summary.insert(3, MOVED, moved)
    tables.write_sheet(report, summary)


def make_inner_splits(
    cohort: str, splits: Sequence[str], outputs: Sequence[Sequence[str]], *, seed: int, per_class: int = 0
) -> None:
    """Write the inner folds of each fold's training patients: ``outputs[inner][fold]`` (columns train, val).

    A fold that has patients to choose epochs on (``choice``) has them as every inner fold's val, and its training
    patients as train.

    per_class: training patients that each class of the fold needs (the gene selection's cross-validation). Raises
    InputError with the fix where a class has fewer, or patients or sites are too few for the inner folds.
    """
    frame, _ = tables.read_cohort(cohort)
    outer = [tables.read_fold(path) for path in splits]
    by_site = keep_sites_apart(outer, frame)
    for k, (fold, path) in enumerate(zip(outer, splits, strict=True)):
        where = f"{path}, its training patients"
        inner = (
            [choice_fold(fold, path)] * len(outputs)
            if fold.choice
            else inner_folds(frame, fold, len(outputs), seed, by_site=by_site, where=where)
        )
        for number, part in enumerate(inner):
            _check_classes(frame, fold, part, per_class, f"{path}, training part of inner fold {number}")
            tables.write_fold(outputs[number][k], part)


def choice_fold(fold: folding.Fold, where: str) -> folding.Fold:
    """Training patients against those that epochs are chosen on; nobody who is evaluated is among either.

    Raises InputError where the latter are all trained on or evaluated, too.
    """
    train = tuple(name for name in fold.train if name not in set(fold.val))
    choice = tuple(name for name in fold.choice or () if name not in {*fold.train, *fold.val})
    if not choice:
        message = f"{where}: all patients to choose epochs on are trained on or evaluated, too; fix the column val"
        raise InputError(message)
    return folding.Fold(train, choice)


def _check_classes(frame: pd.DataFrame, fold: folding.Fold, part: folding.Fold, least: int, where: str) -> None:
    label = frame[cohorts.has_label(frame)].set_index("patient")["label"]
    wanted, counts = (label[label.index.isin(side)].value_counts() for side in (fold.train, part.train))
    few = [f"{name} ({counts.get(name, 0)})" for name in sorted(wanted.index) if counts.get(name, 0) < least]
    if few:
        message = (
            f"{where}: fewer than {least} patients of class {', '.join(few)}, too few to choose genes by labels; raise "
            "splits.inner_folds, draw folds with `splits: random`, join the class to another, or set epoch: last"
        )
        raise InputError(message)


def _restricted(given: Sequence[folding.Fold], frame: pd.DataFrame, folder: str) -> list[folding.Fold]:
    folds = [folding.restrict(fold, list(frame["patient"])) for fold in given]
    for k, fold in enumerate(folds):
        if not fold.train or not fold.evaluated:
            message = f"{folder}/splits_{k}.csv: none of its patients is in the cohort on one side; check the ids"
            raise InputError(message)
    return folds


def _describe(k: int, fold: folding.Fold, frame: pd.DataFrame, classes: Sequence[str]) -> dict[str, object]:
    row: dict[str, object] = {"fold": k, "train": len(fold.train), "val": len(fold.val)}
    row["in_neither"] = len(set(frame["patient"]).difference(*fold.parts.values()))
    row |= {} if fold.choice is None else {"choice": len(fold.choice)}
    row |= {"unused": len(fold.unused)} if fold.unused else {}
    for side, patients in (("train", fold.train), ("val", fold.val)):
        part = frame[frame["patient"].isin(patients)]
        row |= {f"{side}_{name}": int((part["label"] == name).sum()) for name in classes}
        row[f"{side}_events"] = int(part["event"].fillna(0).sum())
    return row


def draw_support(
    cohort: str,
    splits: Sequence[str],
    destination: str,
    *,
    unit: str,
    shots: Sequence[int],
    bins: int,
    seed: int,
) -> None:
    """Draw every support set that a protocol of this model scope may ask for, once, and store it.

    One row a drawn unit: setting, task, fold, replacement, survival_bins, group, patient, unit, k_real.
    """
    frame, _ = tables.read_cohort(cohort)
    units = cohorts.to_units(frame, unit)
    rows = []
    for k, path in enumerate(splits):
        fold = tables.read_fold(path)
        for shot in shots:
            rows += _draw_fold(frame, units, fold, k, shot, bins, seed)
    columns = [
        "setting",
        "task",
        "fold",
        "replacement",
        "survival_bins",
        "group",
        "patient",
        "unit",
        "k_real",
    ]
    tables.write_sheet(
        destination, pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)
    )


def _draw_fold(
    frame: pd.DataFrame, units: pd.DataFrame, fold: folding.Fold, k: int, shot: int, bins: int, seed: int
) -> list[pd.DataFrame]:
    rows = []
    for number, (task, scope) in enumerate([("subtyping", "fold"), ("survival", "fold"), ("survival", "cohort")]):
        train = folding.training_units(units, fold, task)
        if train.empty:
            continue
        if task == "survival" and not (train["event"] == 1).any():
            continue
        edges = folding.training_edges(frame, fold, bins, scope) if task == "survival" else None
        groups = folding.support_groups(train, task, edges)
        for replacement in (False, True):
            rng = np.random.default_rng([seed, k, shot, number, replacement])
            drawn = folding.draw_support(train, groups, shot, rng, replacement=replacement)
            scopes = ["fold", "cohort"] if task == "subtyping" else [scope]
            rows += [
                drawn.assign(setting=f"{shot}-shot", task=task, fold=k, replacement=replacement, survival_bins=name)
                for name in scopes
            ]
    return rows
