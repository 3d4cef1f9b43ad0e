"""Rule pretrain_mirror: one fold, or every fold of a seed where folds share a GPU."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from mirrorflow.learners.pretrained import Machine, PretrainTask, pretrain_fold
from mirrorflow.runtime.files import write_text
from mirrorflow.runtime.processes import Call, run_side_by_side
from mirrorflow.store.tables import read_fold


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
    own = replace(machine, threads=max(1, machine.threads // share))
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
    write_text(record, json.dumps({"model": str(record.parent / "model.safetensors")}))
