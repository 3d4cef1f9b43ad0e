"""Rule pretrain_mirror: one fold, or every fold of a seed where folds share a GPU."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mirrorflow.cohorts.patients import to_units
from mirrorflow.learners.pretrained import pretrain_fold
from mirrorflow.runtime.files import write_text
from mirrorflow.runtime.job import Job
from mirrorflow.runtime.processes import Call, run_side_by_side
from mirrorflow.store.tables import read_cohort, read_fold


class FoldFiles(NamedTuple):
    """A fold's number, split file and genes, and the record to write (its folder is the model's)."""

    fold: int
    split: Path
    genes: Path
    record: Path


def pretrain_folds(
    units: pd.DataFrame,
    features_index: Path,
    expression: Path,
    folds: Sequence[FoldFiles],
    settings: Mapping[str, Any],
    *,
    share: int = 1,
    threads: int,
    epoch: str = "last",
    **further: Any,
) -> None:
    """:func:`pretrain_fold` for each of ``folds``, ``share`` of them side by side in processes of their own.

    epoch: a protocol's ``pretraining_epoch``: the last, or the best on the evaluation units of each fold.

    Raises MirrorflowError when one fails; the others go on, and every finished one has its record.
    """
    calls = []
    for fold in folds:
        split = read_fold(fold.split)
        train, val = (units.loc[units["patient"].isin(part), "unit"].tolist() for part in (split.train, split.val))
        arguments = (units, features_index, expression, fold.genes, train, fold.record.parent, settings)
        keywords = {"fold": fold.fold, "threads": max(1, threads // share), **further}
        keywords |= {"chosen_on": val} if epoch == "best_on_evaluation" else {}
        calls.append(Call(_fold_and_record, (fold.record, arguments, keywords), {}, f"fold {fold.fold}"))
    if len(calls) == 1:
        _fold_and_record(*calls[0].arguments)
    else:
        run_side_by_side(calls, share)


def _fold_and_record(record: Path, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
    pretrain_fold(*arguments, **keywords)
    write_text(record, json.dumps({"model": str(record.parent / "model.safetensors")}))


@dataclass(frozen=True)
class Inputs:
    """The cohort, features and expression; split file and genes of each fold."""

    cohort: Path
    index: Path
    expression: Path
    splits: list[Path]
    genes: list[Path]


@dataclass(frozen=True)
class Outputs:
    """The record of each fold, in the folder of its model."""

    records: list[Path]


@dataclass(frozen=True)
class Params:
    """Folds of the job, the family and its settings, what a protocol says of units, genes and epoch, the machine."""

    folds: list[int]
    seed: int
    family: str
    settings: Mapping[str, Any]
    unit: str
    rna_scaling: str
    rna_clip: float | None
    epoch: str
    compute: Mapping[str, Any]
    """The config's section ``compute``: no value depends on it."""


def run(inputs: Inputs, outputs: Outputs, params: Params, job: Job) -> None:
    """Pretrain the folds of the job."""
    files = zip(params.folds, inputs.splits, inputs.genes, outputs.records, strict=True)
    compute = dict(params.compute)
    pretrain_folds(
        to_units(read_cohort(inputs.cohort)[0], params.unit),
        inputs.index,
        inputs.expression,
        [FoldFiles(*fold) for fold in files],
        params.settings,
        share=compute.pop("gpu_share"),
        family=params.family,
        seed=params.seed,
        rna_scaling=params.rna_scaling,
        rna_clip=params.rna_clip,
        epoch=params.epoch,
        threads=job.threads,
        compute=compute,
    )
