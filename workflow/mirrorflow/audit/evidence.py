"""What a run really used, held against its folds: support sets, genes, models, bins, epochs, evaluated units.

The auditor's second half: :mod:`mirrorflow.audit` reads folds and protocol keys, this module what the files that the
rules left behind say. Everything here is plain values; reading them is the job's.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.audit.findings import LEAK, WARNING, Finding, GeneRecord, chosen_genes, counted_genes
from mirrorflow.cohorts import outcomes
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.protocols import ON_EVALUATION
from mirrorflow.learners.curves import best_epoch
from mirrorflow.store.method_predictions import FIX

FEW_EVENTS = 10


@dataclass(frozen=True)
class Seen:
    """Who something was fitted on or chosen with, on one fold: a line of the audit's page."""

    what: str
    fold: int
    patients: int
    """How many patients it has seen; -1 where the record cannot say."""
    of_evaluation: int
    """How many of them are evaluated on this fold; -1 where the record cannot say."""
    detail: str = ""


def _examples(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names)[:5])


# Folds against the cohort.


def audit_membership(folds: Sequence[Fold], cohort: pd.DataFrame) -> Iterator[Finding]:
    """Patients of the cohort in neither part of a fold, or never evaluated; parts with hardly an event."""
    all_units = set(cohort["patient"])
    died = set(cohort.loc[cohort["event"] == 1, "patient"])
    for number, fold in enumerate(folds):
        if absent := all_units.difference(*fold.parts.values()):
            text = f"{len(absent)} patients of the cohort are in neither train nor val"
            yield Finding(WARNING, "in_neither", text, number, len(absent), _examples(absent))
        for side, patients in (("train", fold.train), ("val", fold.val)):
            events = len(died & set(patients))
            if died and events < FEW_EVENTS:
                text = f"{side} has {events} patients with an event: survival metrics are unstable or undefined"
                yield Finding(WARNING, "few_events", text, number, events)
    if never := all_units - {patient for fold in folds for patient in fold.val}:
        text = f"{len(never)} patients of the cohort are evaluated in no fold"
        yield Finding(WARNING, "never_evaluated", text, None, len(never), _examples(never))


# Support sets.


def audit_support(support: pd.DataFrame, folds: Sequence[Fold]) -> Iterator[Finding]:
    """Support sets that are not k distinct training patients a group.

    ``support``: the drawn units of one protocol, columns setting (``10-shot``), task, fold, group, patient, unit.
    """
    for (setting, task, said), drawn in support.groupby(["setting", "task", "fold"], sort=False):
        number = int(str(said))
        where, fold = f"{setting} {task}", folds[number]
        inside = set(drawn["patient"]) & set(fold.val)
        if inside:
            text = f"{where}: {len(inside)} patients of the support set are evaluated on this fold"
            yield Finding(LEAK, "support_evaluated", text, number, len(inside), _examples(inside))
        k = int(str(setting).split("-")[0])
        odd = [
            f"{'bin ' if task == 'survival' else ''}{group}: {patients['patient'].nunique()} and {len(patients)}"
            for group, patients in drawn.groupby("group")
            if patients["patient"].nunique() != k or len(patients) != k
        ]
        if odd:
            text = f"{where}: not {k} distinct patients with a unit each; patients and units of {', '.join(odd)}"
            yield Finding(WARNING, "support_size", text, number, len(odd))


# Genes.


def audit_gene_record(
    fold: Fold, number: int, record: GeneRecord, name: str = "genes"
) -> tuple[list[Finding], list[Seen]]:
    """What a fold's gene selection saw: subtype labels, outcomes and values, each told apart.

    Subtype labels of evaluation patients are found by :func:`mirrorflow.audit.audit_genes`.
    """
    chosen = chosen_genes(record)
    detail = "" if chosen is None else f"{record['genes']} genes, {chosen} of them chosen"
    seen, findings = [], []
    for key, what, said, level in (
        ("label", "subtype labels", "", ""),
        ("outcome", "outcomes", "with the outcomes of", LEAK),
        ("value", "expression", "on the expression of", WARNING),
    ):
        patients = set(record.get(f"{key}_patients") or ())
        evaluated = patients & set(fold.val)
        if patients:
            seen.append(Seen(f"{name}: {what}", number, len(patients), len(evaluated), detail))
        if level and evaluated:
            text = (
                f"{counted_genes(name, record)} were chosen {said} {len(patients)} patients, "
                f"{len(evaluated)} evaluation patients among them"
            )
            findings.append(Finding(level, f"gene_{key}s", text, number, len(evaluated), _examples(evaluated)))
    return findings, seen


# Pretraining, training on labels, scalers: whatever leaves a digest of those it was fitted on.


@dataclass(frozen=True)
class Group:
    """Units or patients that something may have been fitted on: their digest, and which patients they are."""

    digest: str
    patients: frozenset[str]


def audit_fitted(
    name: str,
    fold: int,
    evaluated: Iterable[str],
    recorded: str | None,
    training: Group,
    all_units: Group,
    *,
    kind: str,
) -> tuple[list[Finding], Seen]:
    """Patients that ``name`` was fitted on, by the digest in its record; ``evaluated``: the fold's evaluation patients.

    training: those of the fold (or its support set) that it should have seen; all units: the cohort. A
    digest of neither, or none, is a leak: the record shows no honest choice.
    """
    for group, said in ((training, "those of its training part"), (all_units, "all units")):
        if recorded == group.digest:
            inside = group.patients & set(evaluated)
            seen = Seen(name, fold, len(group.patients), len(inside), f"{said}, by their digest")
            if group is training:
                return [], seen
            text = f"{name} saw every patient of the cohort, {len(inside)} evaluation patients among them"
            return [Finding(LEAK, kind, text, fold, len(inside), _examples(inside))], seen
    why = "does not record its training patients" if recorded is None else "was fitted on others than its training part"
    text = f"{name} {why}; delete it and run again"
    return [Finding(LEAK, kind, text, fold)], Seen(name, fold, -1, -1, "unknown")


def audit_kept_epoch(name: str, fold: int, recorded: str, evaluated: Group) -> tuple[Finding, Seen]:
    """A pretraining ``name`` whose epoch was chosen by the loss on others than its training units.

    recorded: their digest in its record; evaluated: the fold's evaluation units.
    """
    known = recorded == evaluated.digest
    count, who = (len(evaluated.patients), "the evaluation patients") if known else (-1, "patients it does not name")
    text = f"the epoch of {name} is the one with the least loss on {who}"
    examples = _examples(evaluated.patients) if known else ()
    seen = Seen(f"epoch of {name}", fold, count, count, f"{who}, by their digest" if known else "unknown")
    return Finding(LEAK, "pretraining_epoch", text, fold, max(count, 0), examples), seen


def audit_source(
    name: str, number: int, fold: Fold, pretrained: Iterable[str], labels: Iterable[str]
) -> Iterator[Finding]:
    """Evaluation patients of an adapted cohort's fold that the encoders' source ``name`` has seen.

    pretrained: patients of the source that the models of its fold were pretrained on; labels: those whose subtype
    labels chose its genes.
    """
    for kind, patients, said in (
        ("source_pretraining", pretrained, "the encoders were pretrained on"),
        ("source_gene_labels", labels, "the genes of the encoders were chosen with the subtype labels of"),
    ):
        shared = set(fold.val) & set(patients)
        if shared:
            text = f"{said} {len(shared)} evaluation patients, who are in {name} as well"
            yield Finding(LEAK, kind, text, number, len(shared), _examples(shared))


# Survival bins and epochs, as the predictions note them.


def audit_bins(number: int, noted: Sequence[float], edges: Mapping[str, np.ndarray]) -> tuple[list[Finding], str]:
    """Whose outcomes set the bins: ``training`` or ``all units``, by comparison with the edges of each."""
    for who in ("training", "all units"):
        if len(noted) == len(edges[who]) - 1 and np.allclose(noted, edges[who][:-1]):
            return [], who
    text = "survival bins are neither those of the training patients nor those of all units"
    return [Finding(WARNING, "survival_bins_unknown", text, number)], "unknown"


def audit_epochs(noted: Iterable[str], claimed: str) -> list[Finding]:
    """Predictions whose epoch was chosen by another rule than the protocol says."""
    other = sorted(set(noted) - {claimed})
    if not other:
        return []
    level = LEAK if set(ON_EVALUATION) & set(other) else WARNING
    text = f"predictions were made with epoch: {', '.join(other)}, the protocol says {claimed}"
    return [Finding(level, "epoch_of_predictions", text)]


def audit_epoch_choice(
    what: str, number: int, note: Mapping[str, Any], inner: Sequence[Fold], fold: Fold, digests: Sequence[str]
) -> tuple[list[Finding], Seen]:
    """Whether the reported epoch of a setting is the one of best mean on this run's inner folds, as its note says.

    note: of the predictions, with ``epoch`` and ``epoch_choice``; inner: the fold's inner folds, of split files
    with these ``digests``.
    """
    choice = note.get("epoch_choice")
    patients = {name for part in inner for name in (*part.train, *part.val)}
    if choice is None:
        why = "was chosen on nothing that its record names"
    elif list(choice["splits"]) != list(digests):
        why = "was chosen on other inner folds than those of this run"
    elif note["epoch"] != best_epoch(choice["mean"]):
        why = f"is {note['epoch']}, the best on the inner folds is {best_epoch(choice['mean'])}"
    else:
        detail = f"epoch {note['epoch']} of {len(choice['mean'])}, inner mean {choice['mean'][note['epoch'] - 1]:.3f}"
        return [], Seen(f"epoch of {what}", number, len(patients), len(patients & set(fold.val)), detail)
    found = [Finding(LEAK, "epoch_choice", f"the epoch of {what} {why}", number)]
    return found, Seen(f"epoch of {what}", number, -1, -1, "no choice on record")


# Evaluated units.


def audit_lost(
    task: str, number: int, expected: pd.DataFrame, predicted: pd.DataFrame, last_batch: Collection[str]
) -> Iterator[Finding]:
    """Evaluation units without a prediction, and of which class: a finding for all settings that lack the same ones.

    expected: units of the fold's evaluation patients that can take part; predicted: columns setting and unit.
    last_batch: settings of which the file says that they lost units with it.
    """
    given = {setting: set(part["unit"]) for setting, part in predicted.groupby("setting", sort=False)}
    without = {str(setting): frozenset(expected["unit"]) - units for setting, units in given.items()}
    for units in filter(len, dict.fromkeys(without.values())):
        settings = [setting for setting, lacking in without.items() if lacking == units]
        lost = expected[expected["unit"].isin(units)]
        kinds = lost["label"] if task == "subtyping" else lost["event"].map({1.0: "with event", 0.0: "censored"})
        counts = kinds.replace("", "unlabelled").value_counts().sort_index()
        why = "not predicted" if set(settings).isdisjoint(last_batch) else "lost with the last incomplete batch"
        where = "" if len(settings) == len(without) else f" ({', '.join(settings)})"
        text = f"{len(lost)} evaluation units of {task}{where} are {why}: "
        text += ", ".join(f"{count} {name}" for name, count in counts.items())
        yield Finding(WARNING, "lost_units", text, number, len(lost), _examples(lost["unit"]))


def audit_evaluated(task: str, number: int, fold: Fold, predicted: pd.DataFrame) -> Iterator[Finding]:
    """Predictions of patients who are elsewhere in the fold; predicted: a column patient."""
    trained = set(predicted["patient"]) & set(fold.train)
    if trained:
        text = f"{task}: {len(trained)} evaluated patients are training patients of the fold"
        yield Finding(LEAK, "evaluated_in_training", text, number, len(trained), _examples(trained))
    strangers = set(predicted["patient"]) - set(fold.val) - set(fold.train)
    if strangers:
        text = f"{task}: {len(strangers)} evaluated patients are not in val"
        yield Finding(WARNING, "evaluated_elsewhere", text, number, len(strangers), _examples(strangers))


_OTHERWISE = {
    outcomes.UNKNOWN_PATIENTS: "patients are evaluated who are not in the cohort",
    outcomes.FILLED_IN: "patients are evaluated on {what} that the cohort does not know",
    outcomes.OTHER_TARGETS: "patients are evaluated on {what} that the cohort has otherwise",
}


def audit_filled_in(task: str, number: int, rows: pd.DataFrame, cohort: pd.DataFrame) -> Iterator[Finding]:
    """Evaluated labels or outcomes that the cohort does not know, or knows otherwise: edited, or made of another."""
    what = "a label" if task == "subtyping" else "an outcome"
    for kind, patients in outcomes.differing_outcomes(rows, cohort, task).items():
        text = f"{task}: {len(patients)} {_OTHERWISE[kind].format(what=what)}; {FIX}"
        yield Finding(LEAK, kind, text, number, len(patients), _examples(patients))
