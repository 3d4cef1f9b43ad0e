"""Pretrain a self-supervised method on one fold: load, train, save; kept when done, resumed when not."""

import dataclasses
import difflib
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mirrorflow.config import versions
from mirrorflow.config.fields import keys_of
from mirrorflow.config.queries import version_of_family
from mirrorflow.config.training_settings import PretrainSettings
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.learners.inputs.paired import PairedUnits, load_paired
from mirrorflow.learners.retrieval import report_retrieval
from mirrorflow.models.families import build_network, family_of
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.runtime.calls import Call
from mirrorflow.runtime.processes import run_spread
from mirrorflow.runtime.progress import Progress
from mirrorflow.store.models import load_own_checkpoint, model_is_finished, save_checkpoint, save_model
from mirrorflow.training.best_epoch import ValidationUnits
from mirrorflow.training.devices import check_enough, kind_of, limit_memory, make_deterministic
from mirrorflow.training.keeping import Keeper
from mirrorflow.training.pretraining import ALONE, Layout, PairedData, Pretraining
from mirrorflow.training.seeds import fold_seed
from mirrorflow.training.settings import ComputeSettings
from mirrorflow.training.trainer import Course, OnEpoch, Trainer, TrainingState
from mirrorflow.training.world import torchruns_world

logger = logging.getLogger("mirrorflow.pretraining")


@dataclass(frozen=True)
class PairedFiles:
    """Index of the features, expression matrix and manifest of the genes."""

    index: Path
    expression: Path
    genes: Path


@dataclass(frozen=True)
class PretrainTask:
    """What a fold is pretrained on, and how.

    units: columns unit, patient and slide_ids, of whom ``train_units`` are trained on. settings: fields of the family's
    settings and of :class:`PretrainSettings` by name. chosen_on: units whose loss chooses the epoch that is kept (the
    published choice); none: the last epoch is kept.
    """

    units: pd.DataFrame
    files: PairedFiles
    train_units: Sequence[str]
    settings: Mapping[str, Any]
    seed: int
    fold: int
    rna_scaling: str
    rna_clip: float | None
    family: str = "mirror"
    chosen_on: Sequence[str] = ()


@dataclass(frozen=True)
class Machine:
    """Where it is pretrained: threads, the device's name, fields of :class:`ComputeSettings`; no file depends on it."""

    threads: int
    device: str = "auto"
    compute: Mapping[str, Any] = field(default_factory=dict)
    share: int = 1
    """Folds that share the GPU: each may take its part of the memory."""

    @property
    def layout(self) -> ComputeSettings:
        """How the training lies on the machine."""
        return ComputeSettings(**self.compute)

    def of_a_process(self) -> "Machine":
        """The share of one of the processes that train a fold together."""
        return dataclasses.replace(self, threads=max(1, self.threads // self.layout.devices))


def pretrain_fold(task: PretrainTask, folder: Path, machine: Machine) -> None:
    """Train on the task's training units and write ``folder``: model.safetensors, config.json, history.csv.

    A model of the same settings and inputs is kept; an interrupted training goes on after its last finished
    epoch, and starts anew where settings or inputs are others. With ``compute: devices`` torchrun calls this once
    in each process, and the first one writes. ``retrieval.json`` tells how well the units left out are retrieved
    across modalities (a diagnosis: nothing is chosen by it).

    Raises ConfigError for unknown or impossible settings, InputError for units without slides or features that do
    not fit.
    """
    torch.set_num_threads(machine.threads)
    make_deterministic(on=machine.layout.deterministic)
    run = _Run.of(task)
    if model_is_finished(folder, run.made_with):
        logger.info("%s: finished earlier with the same settings and inputs; kept", folder)
    elif machine.layout.devices > 1 and "WORLD_SIZE" not in os.environ:
        check_enough(machine.layout.devices, machine.device)
        call = Call(pretrain_fold, (task, folder, machine.of_a_process()), {}, f"fold {task.fold}")
        run_spread(call, machine.layout.devices)
    else:
        _train_and_save(run, folder, machine)


@dataclass(frozen=True)
class _Run:
    """A task with its inputs read: rows of the units that are trained on, left out, and chosen on."""

    task: PretrainTask
    paired: PairedUnits
    train: list[int]
    held_out: list[int]
    validation: list[int]
    model: Any
    training: PretrainSettings

    @classmethod
    def of(cls, task: PretrainTask) -> "_Run":
        files = task.files
        paired = load_paired(task.units, files.index, files.expression, files.genes)
        train, held_out = split_rows(paired.names, task.train_units)
        model, training = split_settings(
            task.settings,
            task.family,
            patch_dim=paired.patch_dim,
            gene_count=len(paired.gene_ids),
            seed=fold_seed(task.seed, task.fold),
        )
        chosen_on = task.chosen_on if training.kept_epoch == "protocol" else ()
        return cls(task, paired, train, held_out, split_rows(paired.names, chosen_on)[0], model, training)

    @property
    def made_with(self) -> dict[str, Any]:
        """What decides the model."""
        task = self.task
        scaling = {"rna_scaling": task.rna_scaling, "rna_clip": task.rna_clip}
        made_with = {
            "version": version_of_family(versions.PRETRAIN, task.family),
            "seed": task.seed,
            "fold": task.fold,
            "model": dataclasses.asdict(self.model),
            "training": dataclasses.asdict(self.training),
            "data": self.paired.only(self.train).digests() | scaling,
        }
        if task.family != "mirror":  # models of MIRROR are older than the key: they are kept
            made_with["family"] = task.family
        if self.validation:
            made_with["epoch_chosen_on"] = self.paired.only(self.validation).digests()
        return made_with


def _train_and_save(run: _Run, folder: Path, machine: Machine) -> None:
    task, paired, made_with = run.task, run.paired, run.made_with
    scaler = RnaScaler.fit(paired.expression[run.train], scaling=task.rna_scaling, clip=task.rna_clip)
    if told := scaler.said(f"fold {task.fold}"):
        logger.warning("%s", told)
    genes = scaler.transform(paired.expression)
    model = build_network(task.family, run.model, run.training.seed)
    state, compute = load_own_checkpoint(folder, made_with), machine.layout
    with torchruns_world(machine.device) as (world, own), _keeper(folder, made_with, own) as keeper:
        limit_memory(own, machine.share)
        units = paired.only(run.train)
        history = pretrain(
            model,
            PairedData(units.bags(compute.cache_gb), genes[run.train], _numbered(units.patients)),
            run.training,
            validation=_validation(paired.only(run.validation), genes[run.validation]) if run.validation else None,
            resume_from=state,
            on_epoch=_reporter(made_with, run.training.epochs, state, keeper) if world.rank == 0 else None,
            layout=Layout(own, compute, world),
        )
    if world.rank == 0:
        held_out = paired.only(run.held_out)
        report_retrieval(folder, model, held_out, genes[run.held_out], run.training, own)
        save_model(folder, model, made_with, rna_scaler=scaler.to_arrays(), history=history)


def pretrain(
    model: PairedNetwork,
    data: PairedData,
    settings: PretrainSettings,
    *,
    validation: ValidationUnits | None = None,
    resume_from: TrainingState | None = None,
    on_epoch: OnEpoch | None = None,
    layout: Layout = ALONE,
) -> list[dict[str, float]]:
    """Train ``model`` in place on the training units.

    ``on_epoch`` is told of every finished epoch. ``validation``: units left out; the weights kept are then those of the
    epoch with the least loss on them (``evaluation_total`` in the history; evaluation mode, draws as
    ``settings.evaluation_draws`` says). With ``settings.kept_epoch: smooth_rank`` they are those of the epoch whose
    training slides have the highest smooth rank (``minus_smooth_rank``), else those of the last. In a ``layout.world``
    of several processes each calls this with the same arguments and takes its share of every batch. Returns the
    history, one row an epoch: every loss term, their weighted total, tau, and what
    :class:`~mirrorflow.training.trainer.Trainer` measures.

    Raises InputError for fewer than two units, MirrorflowError as the trainer does.
    """
    training = Pretraining(model, data, settings, layout)
    trainer = Trainer(training, _course(settings, training.steps), training.judge(validation))
    if resume_from is None:
        training.scale_patches()
    else:
        trainer.resume(resume_from)
    return trainer.fit(on_epoch)


def _course(settings: PretrainSettings, steps: int) -> Course:
    return Course(
        settings.epochs,
        steps,
        schedule=settings.schedule,
        warmup_epochs=settings.warmup_epochs,
        optimizer="adamw" if settings.weight_decay else "adam",  # published: Adam, no weight decay
    )


def _validation(units: PairedUnits, genes: np.ndarray) -> ValidationUnits:
    return ValidationUnits(units.bags(0), genes, _numbered(units.patients))


def _numbered(patients: Sequence[str]) -> np.ndarray:
    return pd.factorize(np.array(patients))[0]


def split_settings(
    settings: Mapping[str, Any], family: str, *, patch_dim: int, gene_count: int, seed: int
) -> tuple[Any, PretrainSettings]:
    """Share out flat settings by the names of the fields; ``tokens`` goes to both.

    Raises ConfigError naming a key that neither knows, with the closest one that exists.
    """
    of_model = family_of(family).settings
    model, training = ({one.name for one in keys_of(part)} for part in (of_model, PretrainSettings))
    for key in settings:
        if key not in model | training:
            close = difflib.get_close_matches(key, model | training, n=1) or [", ".join(sorted(model | training))]
            message = f"pretrain: unknown key {key!r} (value {settings[key]!r}); did you mean {close[0]}?"
            raise ConfigError(message)
    shape = {key: value for key, value in settings.items() if key in model}
    trained = {key: value for key, value in settings.items() if key in training}
    return of_model(patch_dim=patch_dim, gene_count=gene_count, **shape), PretrainSettings(seed=seed, **trained)


def split_rows(names: Sequence[str], train_units: Sequence[str]) -> tuple[list[int], list[int]]:
    """Rows of the training units, and of the others. Raises InputError for a training unit that is not there."""
    missing = sorted(set(train_units) - set(names))
    if missing:
        message = f"{len(missing)} training units are not in the cohort, e.g. {missing[0]}; check the split file"
        raise InputError(message)
    wanted = set(train_units)
    train = [row for row, name in enumerate(names) if name in wanted]
    return train, [row for row, name in enumerate(names) if name not in wanted]


def _keeper(folder: Path, made_with: Mapping[str, Any], device: str) -> Keeper:
    """Writes checkpoints: every five seconds, on a GPU about once a minute."""
    return Keeper(lambda state: save_checkpoint(folder, state, made_with), beside=kind_of(device) == "cuda")


def _reporter(made_with: Mapping[str, Any], epochs: int, state: TrainingState | None, keeper: Keeper) -> OnEpoch:
    label = f"pretrain fold {made_with['fold']}"
    progress = Progress(label, epochs, "epochs", kept=0 if state is None else state.epoch)

    def report(state: TrainingState, row: Mapping[str, float]) -> None:
        if state.epoch < epochs:
            keeper.keep(state)
        progress.step(
            note=f"loss {row['total']:.3f}, {row['samples_per_second']:.1f} samples/s, "
            f"peak {row['peak_memory_mb'] / 1000:.1f} GB"
        )

    return report
