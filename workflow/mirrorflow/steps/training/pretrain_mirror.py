"""Rule pretrain_mirror: one fold, or every fold of a seed where folds share a GPU."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from mirrorflow.cohorts.patients import PAIRED, to_units, who_has
from mirrorflow.learners.pretrained import Machine, PairedFiles, PretrainTask, pretrain_fold
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.files import write_text
from mirrorflow.runtime.job import Job
from mirrorflow.runtime.processes import run_side_by_side
from mirrorflow.store.models import model_digest
from mirrorflow.store.tables import read_cohort, read_fold


class FoldFiles(NamedTuple):
    """A fold's number, split file and genes, and the record to write (its folder is the model's)."""

    fold: int
    split: Path
    genes: Path
    record: Path


def pretrain_folds(
    task: PretrainTask, folds: Sequence[FoldFiles], machine: Machine, *, share: int = 1, epoch: str = "last"
) -> None:
    """:func:`pretrain_fold` for each of ``folds``, ``share`` of them side by side in processes of their own.

    task: what the folds have in common; number, genes and training units are put in fold by fold. epoch: a protocol's
    ``pretraining_epoch``: the last, or the best on the evaluation units of each fold.

    Raises MirrorflowError when one fails; the others go on, and every finished one has its record.
    """
    own = replace(machine, threads=max(1, machine.threads // share), share=share)
    calls = [
        Call(_fold_and_record, (_of_fold(task, fold, epoch), fold.record, own), {}, f"fold {fold.fold}")
        for fold in folds
    ]
    if len(calls) == 1:
        _fold_and_record(*calls[0].arguments)
    else:
        run_side_by_side(calls, share)


def _of_fold(task: PretrainTask, fold: FoldFiles, epoch: str) -> PretrainTask:
    split, units = read_fold(fold.split), task.units
    train, val = (units.loc[units["patient"].isin(part), "unit"].tolist() for part in (split.train, split.val))
    return replace(
        task,
        fold=fold.fold,
        files=replace(task.files, genes=fold.genes),
        train_units=train,
        chosen_on=val if epoch == "best_on_evaluation" else (),
    )


def _fold_and_record(task: PretrainTask, record: Path, machine: Machine) -> None:
    pretrain_fold(task, record.parent, machine)
    # with the digest: Snakemake holds a record of the same bytes for the same input
    made = {"model": str(record.parent / "model.safetensors"), "digest": model_digest(record.parent)}
    write_text(record, json.dumps(made))


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
    folds, compute = [FoldFiles(*fold) for fold in files], dict(params.compute)
    share = compute.pop("gpu_share")
    task, machine = _task(inputs, params, folds[0]), Machine(job.threads, compute=compute)
    pretrain_folds(task, folds, machine, share=share, epoch=params.epoch)


def _task(inputs: Inputs, params: Params, first: FoldFiles) -> PretrainTask:
    """What the folds have in common; number, genes and training units are put in fold by fold."""
    return PretrainTask(
        to_units(who_has(read_cohort(inputs.cohort)[0], PAIRED), params.unit),
        PairedFiles(inputs.index, inputs.expression, first.genes),
        [],
        params.settings,
        seed=params.seed,
        fold=first.fold,
        rna_scaling=params.rna_scaling,
        rna_clip=params.rna_clip,
        family=params.family,
    )
