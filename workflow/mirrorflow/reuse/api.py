"""The Python API: a finished run as tables and models, and checks for anyone's splits and matrices.

What this module offers is public, under the names that :mod:`mirrorflow` has for it. Versions are semantic: within one
major version it keeps its names, arguments, columns and meanings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.audit import findings as audit
from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.protocols import scope_of
from mirrorflow.config.unknown import is_unknown
from mirrorflow.errors import InputError
from mirrorflow.expression.selection import by_univariate_f, by_variance, gene_table
from mirrorflow.learners.saved import load_trained
from mirrorflow.plan.paths import PredictionsManifest
from mirrorflow.reuse.model import RunModel
from mirrorflow.reuse.request import TASKS, Request, chosen
from mirrorflow.reuse.run_folder import FinishedRun, open_run, pick
from mirrorflow.store.method_predictions import read_task
from mirrorflow.tables.results import CELL

__all__ = ["Run", "RunModel", "audit_splits", "load_run", "select_genes"]


@dataclass(frozen=True)
class Run:
    """A finished run. Nothing is read before it is asked for."""

    files: FinishedRun

    @property
    def folder(self) -> Path:
        """``results/<run>``, or wherever it lies now."""
        return self.files.folder

    @cached_property
    def methods(self) -> pd.DataFrame:
        """What has predictions: a row a method, columns protocol, cohort, encoder, method."""
        rows = [[one.protocol, one.cohort, one.encoder, one.method] for one in self.files.manifests]
        return pd.DataFrame(rows, columns=["protocol", "cohort", "encoder", "method"])

    @cached_property
    def cohorts(self) -> dict[str, pd.DataFrame]:
        """Cohort -> its patients: patient, label ("" unknown), time_days and event (NaN unknown), site, slide_ids."""
        names = dict.fromkeys(one.cohort for one in self.files.manifests if "--from--" not in one.cohort)
        return {name: self.files.cohort(name)[0] for name in names}

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Name -> table, as ``tables/<name>.csv`` has it; ``results`` is the long one."""
        paths = sorted((self.folder / "tables").glob("*.csv"))
        return {path.stem: pd.read_csv(path, converters=dict.fromkeys(CELL, _as_written)) for path in paths}

    def folds(self, cohort: str | None = None, protocol: str | None = None) -> pd.DataFrame:
        """Who is in which fold: fold (from 0), side (train, val; choice where epochs are chosen), patient.

        Raises InputError naming the cohorts or protocols that there are.
        """
        asked = chosen(self.files, Request(protocol, cohort))
        place = next(one for one in asked.places if self.files.manifests[one].written)
        notes = self._first_notes(place)
        scope, rows = scope_of(notes["protocol"]), []
        for number in self.files.fold_numbers(scope, asked.cohort):
            fold = self.files.fold(scope, asked.cohort, number)
            rows += [(number, side, name) for side, part in fold.parts.items() for name in part]
        return pd.DataFrame(rows, columns=["fold", "side", "patient"])

    def _first_notes(self, place: PredictionsManifest) -> dict[str, Any]:
        for task in TASKS:
            if found := self.files.out_of_fold(place, task):
                return found[0].notes
        message = f"{place.path}: no predictions of {place.method}; the manifest says why"
        raise InputError(message)

    def predictions(self, task: str, **where: str) -> pd.DataFrame:
        """Out-of-fold predictions of a task (``subtyping`` or ``survival``), with the cohort's outcomes.

        A row an evaluated unit of a method, setting, seed and fold: protocol, cohort, encoder, method, setting, seed,
        fold, patient, slide_id, then label and prob_<class>, or time_days, event, risk and surv_<bin> (survival at the
        ends of the bins). Risks of different folds share no scale. where: values of protocol, cohort, encoder, method
        that are wanted. Raises InputError for another task, and for predictions that were changed.
        """
        if task not in TASKS:
            message = f"task: {task!r}; there are {', '.join(TASKS)}"
            raise InputError(message)
        parts = []
        for place, manifest in self.files.manifests.items():
            facts = {key: getattr(place, key) for key in ("protocol", "cohort", "encoder", "method")}
            if any(facts.get(key) != value for key, value in where.items()):
                continue
            rows = [fold.rows for fold in read_task(manifest, task, self.files.cohort(place.cohort)[0])]
            parts += [pd.DataFrame({**facts, **dict(one)}) for one in rows]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def model(
        self,
        method: str,
        fold: int,
        task: str | None = None,
        *,
        protocol: str | None = None,
        cohort: str | None = None,
        encoder: str | None = None,
        seed: int | None = None,
    ) -> RunModel:
        """The model of a method, fold and task (by default the first that it has), trained on all data of the fold.

        protocol, cohort, encoder, seed: by default the honest protocol, and the only or first one. Raises InputError
        naming what there is where the run has no such model.
        """
        asked = chosen(self.files, Request(protocol, cohort, encoder, (method,)))
        (place,) = asked.places
        there = {name: self.files.models(place, name) for name in TASKS}
        name = pick(task, [name for name in TASKS if there[name]], "task", next((t for t in TASKS if there[t]), ""))
        found = [one for one in there[name] if one.fold == fold and seed in (None, one.seed)]
        if not found:
            has = sorted({(one.fold, one.seed) for one in there[name]})
            said = ", ".join(f"fold {k} of seed {s}" for k, s in has)
            message = f"{self.folder}: no model of {method}, {name}, fold {fold} and seed {seed} (there: {said})"
            raise InputError(message)
        return RunModel(load_trained(found[0].folder))


def _as_written(cell: str) -> Any:
    """A name, which may be of digits; NaN where there is none."""
    return cell or np.nan


def load_run(path: str | Path) -> Run:
    """The finished run in a folder (``results/<run>``). Raises InputError where it is none, or was never finished."""
    return Run(open_run(path))


def audit_splits(
    folds: Sequence[Mapping[str, Sequence[str]]],
    sites: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Leaks and warnings of anyone's folds: level (leak, warning), kind, fold (None: all), text, count, examples.

    folds: for each, patients by ``train`` and ``val`` (and ``test``). sites, labels: by patient; NaN, "" and words
    for unknown (NA, not reported) are none. Raises InputError for a fold without ``train``, or with neither ``val`` nor
    ``test``.
    """
    made = []
    for number, fold in enumerate(folds):
        if "train" not in fold or not {"val", "test"} & set(fold):
            message = f"fold {number}: has {', '.join(fold) or 'nothing'}; a fold has train, and val or test"
            raise InputError(message)
        made.append(Fold(*(tuple(fold.get(side, ())) for side in ("train", "val", "test"))))
    found = audit.audit_splits(made, _known(sites), _known(labels), site_kind="column")
    return pd.DataFrame(audit.to_records(found), columns=["level", "kind", "text", "fold", "count", "examples"])


def _known(answers: Mapping[str, Any] | None) -> dict[str, str]:
    """Those that are known, as text: a class may be the number 0."""
    there = {} if answers is None else answers
    return {name: str(answer) for name, answer in there.items() if not is_unknown(answer)}


def select_genes(expression: pd.DataFrame, n_genes: int, labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """The ``n_genes`` of largest variance, or with ``labels`` of largest F between their classes.

    expression: training patients alone [patient, gene], ids as columns; missing values count as the gene's mean.
    labels: class by patient; patients without one, or with NaN or a word for unknown, take no part. Returns id, gene,
    reason, rank and coefficient, the strongest first. Raises InputError for fewer genes than asked, or labels of one
    class.
    """
    if not 0 < n_genes <= expression.shape[1]:
        message = f"n_genes: {n_genes}; the table has {expression.shape[1]} genes"
        raise InputError(message)
    if len(set(expression.columns)) < expression.shape[1]:
        message = "expression: a gene is there twice; make the columns unique"
        raise InputError(message)
    used = expression if labels is None else expression[[not is_unknown(labels.get(name)) for name in expression.index]]
    if used.empty:
        message = "labels: none of the patients has one; the index of expression names patients"
        raise InputError(message)
    filled = used.fillna(used.mean()).fillna(0.0).to_numpy(np.float32)
    ids = [str(name) for name in expression.columns]
    if labels is None:
        choice = by_variance(filled, ids=ids, n_genes=n_genes)
    else:
        choice = by_univariate_f(filled, [str(labels[name]) for name in used.index], ids=ids, n_genes=n_genes)
    return gene_table(choice, ids=ids, symbols=ids, curated=(), curated_reason="")
