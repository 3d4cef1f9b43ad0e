"""What a method is asked: a fold's task under a protocol, with all units or with a support set."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.cohorts import splits as folding
from mirrorflow.cohorts.patients import PAIRED, to_units, who_has
from mirrorflow.config.queries import has_epochs
from mirrorflow.errors import InputError
from mirrorflow.probes.task import Targets, subtype_targets, survival_targets
from mirrorflow.store import tables
from mirrorflow.store.digest import file_digest
from mirrorflow.store.genes import read_record
from mirrorflow.training.batches import probe_batch

PUBLISHED_BATCH = 16
"""Batch of the published loaders, which drop the last incomplete one; smaller for small training sets."""

ALL_DATA = "all"
"""The setting that trains on every training unit; the others are k-shot."""


@dataclass(frozen=True)
class ModelPlace:
    """Where a job's models lie and which are kept: all-data (those of all training data), or all (k-shot, too)."""

    results: str
    """Folder of the run."""
    cohort: str
    encoder: str
    method: str
    keep: str = "all-data"


@dataclass(frozen=True)
class Plan:
    """Everything that decides a method's predictions on a cohort, less its vectors."""

    cohort: str
    splits: Sequence[str]
    support: str
    """Sheet of the support sets; empty where there are no k-shot settings."""
    protocol: Mapping[str, Any]
    tasks: Sequence[str]
    shots: Sequence[int]
    seeds: Sequence[int]
    bins: int
    method: Mapping[str, Any]
    genes: Sequence[str] = ()
    """Gene manifests of the folds, for methods that see RNA."""
    few_shot_genes: Sequence[str] = ()
    """Those of the k-shot settings, where the protocol gives them genes of their own."""
    inner_splits: Sequence[Sequence[str]] = ()
    """Split files [inner fold][fold] of the training patients, where the epoch is chosen on them."""
    saved: ModelPlace | None = None
    """Where the trained models go; None: nowhere (what is fitted again to look at it)."""

    @property
    def nested(self) -> bool:
        """Whether the protocol chooses the method's epoch on inner folds. Raises ValueError without their files."""
        wanted = self.protocol["epoch"] == "nested" and has_epochs(self.method)
        if wanted and not self.inner_splits:
            message = "epoch: nested needs the split files of inner folds"
            raise ValueError(message)
        return wanted

    def inner_digests(self, fold: int) -> list[str]:
        """Digests of the split files of a fold's inner folds."""
        return [file_digest(paths[fold]) for paths in self.inner_splits]

    def gene_labels(self, setting: str, fold: int) -> int | None:
        """How many labels chose the genes that a setting uses on a fold; None for a method without genes."""
        paths = self.few_shot_genes if self.few_shot_genes and setting != ALL_DATA else self.genes
        return int(read_record(paths[fold])["labels_seen"]) if paths else None


@dataclass(frozen=True)
class FoldTask:
    """What a method is asked on one fold and setting."""

    task: str
    fold: int
    setting: str
    seed: int
    train: Targets
    evaluation: Targets
    classes: list[str]
    edges: np.ndarray | None
    bin_ends: np.ndarray | None
    """Days [bin] at which the bins end, of all the fold's training units; None for subtyping, as ``edges``."""
    k_real: int | None
    lost: list[str]


class FoldTasks:
    """A plan with its files loaded, ready to put the fold tasks of each fold."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        frame, self.classes = tables.read_cohort(plan.cohort)
        self.frame = who_has(frame, plan.method.get("inputs", PAIRED))
        """The patients who have what the method sees."""
        self.units = to_units(self.frame, plan.protocol["unit"])
        self.support = tables.read_text_sheet(plan.support) if plan.support else pd.DataFrame()
        self.folds = [tables.read_fold(path) for path in plan.splits]
        self.inner_folds = [[tables.read_fold(path) for path in paths] for paths in plan.inner_splits]
        """[inner fold][fold]: parts of each fold's training patients."""

    def fold_tasks(self, task: str, number: int) -> Iterator[FoldTask]:
        """Every setting and seed of a task on a fold.

        Raises InputError when the fold cannot answer the task: no class, no unit on one side, no event.
        """
        fold, protocol = self.folds[number], self.plan.protocol
        train, evaluation = self._sides(fold, task)
        if task == "subtyping" and not self.classes:
            message = "the cohort has no labels: subtyping needs a `label` for some patients"
            raise InputError(message)
        _check_sides(train, evaluation, f"{task}, fold {number}")
        edges = ends = None
        if task == "survival":
            edges = folding.training_edges(self.frame, fold, self.plan.bins, protocol["survival_bins"])
            ends = _bin_ends(edges, train)
        for setting, chosen, k_real in self._settings(train, task, number):
            kept = evaluation
            if not protocol["evaluate_all"]:
                kept = _published_loss(evaluation, self.classes, probe_batch(len(chosen), PUBLISHED_BATCH))
            lost = sorted(set(evaluation["unit"]) - set(kept["unit"]))
            known, asked = self._targets(chosen, edges), self._targets(kept, edges)
            for seed in self.plan.seeds:
                yield FoldTask(task, number, setting, seed, known, asked, self.classes, edges, ends, k_real, lost)

    def inner_fold_task(self, fold_task: FoldTask, inner: int) -> FoldTask:
        """The same fold task put to an inner fold of the training patients, bins by its own training part.

        Raises InputError when this part cannot answer the task.
        """
        fold = self.inner_folds[inner][fold_task.fold]
        train, evaluation = self._sides(fold, fold_task.task)
        _check_sides(train, evaluation, fold_task.task)
        edges = ends = None
        if fold_task.edges is not None:
            edges = folding.training_edges(self.frame, fold, self.plan.bins, "fold")
            ends = _bin_ends(edges, train)
        return replace(
            fold_task,
            setting=f"{fold_task.setting}, inner fold {inner}",
            train=self._targets(train, edges),
            evaluation=self._targets(evaluation, edges),
            edges=edges,
            bin_ends=ends,
            lost=[],
        )

    def _sides(self, fold: folding.Fold, task: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        return folding.training_units(self.units, fold, task), folding.evaluation_units(self.units, fold, task)

    def _targets(self, units: pd.DataFrame, edges: np.ndarray | None) -> Targets:
        return subtype_targets(units, self.classes) if edges is None else survival_targets(units, edges)

    def _settings(self, train: pd.DataFrame, task: str, number: int) -> Iterator[tuple[str, pd.DataFrame, int | None]]:
        """Training units of each setting: all units, then the stored support sets."""
        yield ALL_DATA, train, None
        if not self.plan.shots:
            return
        support, protocol = self.support, self.plan.protocol
        mine = support[
            (support["task"] == task)
            & (support["fold"] == str(number))
            & (support["replacement"] == str(protocol["few_shot_replacement"]))
            & (support["survival_bins"] == protocol["survival_bins"])
        ]
        for shot in self.plan.shots:
            drawn = mine[mine["setting"] == f"{shot}-shot"]
            if not drawn.empty:
                yield f"{shot}-shot", train[train["unit"].isin(drawn["unit"])], int(drawn["k_real"].iloc[0])


def _check_sides(train: pd.DataFrame, evaluation: pd.DataFrame, where: str) -> None:
    if train.empty or evaluation.empty:
        message = f"{where}: {len(train)} training and {len(evaluation)} evaluation units"
        raise InputError(message)


def _bin_ends(edges: np.ndarray, train: pd.DataFrame) -> np.ndarray:
    return folding.survival_bin_ends(edges, train["time_days"].to_numpy(float))


def _published_loss(evaluation: pd.DataFrame, classes: Sequence[str], batch: int) -> pd.DataFrame:
    """What the published loaders evaluate: class by class, the end of the last class lost; ``batch`` is the training's.

    Every published sample had a label. Units without one (which survival can have) stand first, so that it is the
    last class that loses samples here, too.
    """
    order = {name: index for index, name in enumerate(classes)}
    places = dict(zip(evaluation["unit"], evaluation["label"].map(order).fillna(-1), strict=True))
    return folding.lose_last_batch(evaluation, places, batch)
