"""Self-supervised pretraining: batches of paired slides and RNA, resumable to the digit.

Every random draw (order, patches, masks, style samples, dropout) follows from (seed, epoch, step) alone, so
that a run resumed after epoch e gives the losses of one that was never disturbed.
"""

import dataclasses
import logging
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from mirrorflow.errors import ConfigError, InputError, MirrorflowError
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.training.bags import Bags, Batch, draw_batch, patch_moments, prefetched
from mirrorflow.training.batches import batch_slices
from mirrorflow.training.best_epoch import Best, ValidationUnits, better
from mirrorflow.training.compute import ComputeSettings, lay_out
from mirrorflow.training.schedule import autocast_dtype, choose_device, learning_rate_factor, make_optimizer
from mirrorflow.training.settings import PretrainSettings
from mirrorflow.training.step import Gradients, StepInputs
from mirrorflow.training.world import ProcessGroup

__all__ = ["PretrainSettings", "TrainingState", "epoch_batches", "pretrain"]

T = TypeVar("T")

VALIDATION = 2**32 - 1
"""Stands for the epoch in the draws of watched units: no epoch has this number."""

logger = logging.getLogger("mirrorflow.pretraining")


@dataclass
class TrainingState:
    """A run after ``epoch`` finished epochs. The tensors are the live ones: save before training goes on."""

    epoch: int
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    best: Best | None = None
    """Of the epochs so far, where the epoch is chosen."""


OnEpoch = Callable[[TrainingState, Mapping[str, float]], None]


def pretrain(
    model: PairedNetwork,
    bags: Bags,
    genes: np.ndarray,
    settings: PretrainSettings,
    *,
    patients: np.ndarray | None = None,
    validation: ValidationUnits | None = None,
    resume_from: TrainingState | None = None,
    on_epoch: OnEpoch | None = None,
    device: str = "auto",
    compute: ComputeSettings | None = None,
    world: ProcessGroup | None = None,
) -> list[dict[str, float]]:
    """Train ``model`` in place on bags and expression ``genes`` [unit, gene] of the training units.

    ``patients`` [unit], a number each, is needed where same-patient negatives are dropped. ``on_epoch``
    hears of every finished epoch. ``watched``: units left out; the weights are then those of the epoch with the
    least loss on them (``evaluation_total`` in the history; evaluation mode, the same draws after every epoch),
    without any those of the last. ``compute`` lays the work out; in a ``world`` of several processes each calls this
    with the same arguments and takes its share of every batch. Returns the history, one row an epoch: every loss
    term, their weighted total, tau, learning rate, samples/s, seconds, seconds waited for data, peak memory.

    Raises InputError for fewer than two units, MirrorflowError naming epoch and step when the loss is not
    finite, or saying what to lower when the GPU's memory is full.
    """
    _check_inputs(model, bags, genes, settings)
    run = _Run(
        model,
        bags,
        genes,
        settings,
        patients,
        choose_device(device),
        compute or ComputeSettings(),
        world or ProcessGroup(),
    )
    history = run.restore(resume_from)
    best = None if resume_from is None else resume_from.best
    gpus = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        for epoch in range(len(history), settings.epochs):
            history.append(run.epoch(epoch))
            if (
                validation is not None and run.world.rank == 0
            ):  # every process has the same weights, the first keeps them
                loss = run.loss_on(validation, epoch)
                best = better(best, loss, model)
                history[-1]["evaluation_total"] = loss
            if on_epoch is not None:
                state = TrainingState(epoch + 1, model.state_dict(), run.optimizer.state_dict(), list(history), best)
                on_epoch(state, history[-1])
    if best is not None:
        model.load_state_dict(best.model)
    model.eval()
    return history


def _check_inputs(model: PairedNetwork, bags: Bags, genes: np.ndarray, settings: PretrainSettings) -> None:
    if len(bags) != len(genes):
        message = f"{len(bags)} bags beside {len(genes)} expression profiles; they must pair up"
        raise InputError(message)
    if len(bags) < 2:
        message = f"{len(bags)} training unit(s): InfoNCE needs at least 2; check the split file"
        raise InputError(message)
    if not np.isfinite(genes).all():
        message = "expression holds NaN or infinite values; scale it (NaN becomes 0) before pretraining"
        raise InputError(message)
    if settings.tokens > model.settings.tokens:
        message = f"tokens is {settings.tokens}, but the model has only {model.settings.tokens} positions"
        raise ConfigError(message)
    if len(bags) < settings.batch_size:
        logger.warning(
            "%d training units are fewer than batch_size %d: training with batches of %d",
            len(bags),
            settings.batch_size,
            len(bags),
        )


def epoch_batches(count: int, settings: PretrainSettings, epoch: int) -> list[np.ndarray]:
    """The units of each batch of an epoch, in random order."""
    return _batches_of(np.random.default_rng([settings.seed, epoch]).permutation(count), settings)


def _batches_of(order: np.ndarray, settings: PretrainSettings) -> list[np.ndarray]:
    slices = batch_slices(len(order), settings.batch_size, drop_last=settings.drop_last, at_least=2)
    return [order[batch] for batch in slices]


class _Run:
    """One pretraining under way: what an epoch needs at hand."""

    def __init__(
        self,
        model: PairedNetwork,
        bags: Bags,
        genes: np.ndarray,
        settings: PretrainSettings,
        patients: np.ndarray | None,
        device: torch.device,
        compute: ComputeSettings,
        world: ProcessGroup,
    ) -> None:
        self.model, self.bags, self.settings, self.device = model.to(device), bags, settings, device
        self.compute, self.world = compute, world
        lay_out(self.model, compute)
        self.genes = torch.as_tensor(np.asarray(genes, dtype=np.float32))
        self.patients = None if patients is None else torch.as_tensor(np.asarray(patients))
        dtype = autocast_dtype(settings.precision, device, model.settings.width)
        self.gradients = Gradients(model, dtype, compute.micro_batch, world)
        self.optimizer = make_optimizer(
            model.parameters(), learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def restore(self, state: TrainingState | None) -> list[dict[str, float]]:
        """Take up ``state``, or fit the patch scaling for a fresh start; returns the history so far."""
        if state is not None:
            self.model.load_state_dict(state.model)
            self.optimizer.load_state_dict(state.optimizer)
            return list(state.history)
        if self.settings.feature_scaling == "train":
            mean, sd = patch_moments(self.bags)
            self.model.scale_patches(torch.from_numpy(mean), torch.from_numpy(sd))
        return []

    def batches(self, epoch: int) -> Iterator[tuple[np.ndarray, Batch]]:
        """The units of each batch of an epoch, and this process's share of them, drawn."""
        for step, units in enumerate(epoch_batches(len(self.bags), self.settings, epoch)):
            yield units, self._draw(self.bags, units, self.world.rows(len(units)), epoch, step)

    def _draw(self, bags: Bags, units: np.ndarray, rows: np.ndarray, epoch: int, step: int) -> Batch:
        """The ``rows`` of a batch of ``units``; what is drawn of a unit follows from its row in the whole batch."""
        settings = self.settings
        rngs = [np.random.default_rng([settings.seed, epoch, step, int(row)]) for row in rows]
        batch = draw_batch(bags, units[rows], tokens=settings.tokens, short=settings.short, rngs=rngs)
        return on_its_way(batch, self.device)

    def epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch and return its row of the history."""
        started, seen, waited = time.perf_counter(), 0, 0.0
        sums: dict[str, float] = {}
        self.model.train()
        with closing(prefetched(self.batches(epoch))) as batches:
            for step, ((units, batch), seconds) in enumerate(timed(batches)):
                values = self._guarded_step(units, batch, epoch, step)
                seen, waited = seen + len(units), waited + seconds
                for name, value in values.items():
                    sums[name] = sums.get(name, 0.0) + value * len(units)
        seconds = time.perf_counter() - started
        row = {"epoch": epoch + 1.0} | {name: total / seen for name, total in sums.items()}
        return row | self._measures(seconds, seen) | {"waited_seconds": waited}

    def loss_on(self, validation: ValidationUnits, epoch: int) -> float:
        """Mean total loss of units left out, in evaluation mode, whole batches in this process."""
        self.model.eval()
        total, seen = 0.0, 0
        with closing(prefetched(self._validation_batches(validation))) as batches:
            for step, (units, batch) in enumerate(batches):
                inputs = StepInputs(
                    batch.patches.to(self.device, non_blocking=True),
                    torch.as_tensor(validation.genes[units], dtype=torch.float32).to(self.device),
                    batch.counts,
                    torch.as_tensor(validation.patients[units]).to(self.device),
                    0,
                    len(units),
                )
                values = self.gradients.values(inputs, step_seed(self.settings.seed, VALIDATION, step))
                _check_finite(values, epoch, step)
                total, seen = total + values["total"] * len(units), seen + len(units)
        return total / seen

    def _validation_batches(self, validation: ValidationUnits) -> Iterator[tuple[np.ndarray, Batch]]:
        for step, units in enumerate(_batches_of(np.arange(len(validation.bags)), self.settings)):
            yield units, self._draw(validation.bags, units, np.arange(len(units)), VALIDATION, step)

    def _measures(self, seconds: float, seen: int) -> dict[str, float]:
        return {
            "tau": self.model.tau(),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "samples_per_second": seen / seconds,
            "seconds": seconds,
            "peak_memory_mb": peak_memory_mb(self.device),
        }

    def _guarded_step(self, units: np.ndarray, batch: Batch, epoch: int, step: int) -> dict[str, float]:
        try:
            return self._step(units, batch, epoch, step)
        except torch.OutOfMemoryError as error:
            raise MirrorflowError(out_of_memory(self.settings, self.compute)) from error

    def _step(self, units: np.ndarray, batch: Batch, epoch: int, step: int) -> dict[str, float]:
        self.model.prepare_step()
        self._set_learning_rate(epoch, step)
        self.optimizer.zero_grad(set_to_none=True)
        values = self.gradients.backward(
            self._inputs(units, batch),
            step_seed(self.settings.seed, epoch, step),
            lambda values: _check_finite(values, epoch, step),
        )
        self.optimizer.step()
        return values

    def _inputs(self, units: np.ndarray, batch: Batch) -> StepInputs:
        rows, mine = self.world.rows(len(units)), torch.from_numpy(batch.units)
        patches, counts = batch.patches, batch.counts
        if self.settings.short == "mask":  # asked of every process, also of one without units
            missing = self.world.max(patches.shape[1]) - patches.shape[1]
            patches = torch.nn.functional.pad(patches, (0, 0, 0, missing))
        return StepInputs(
            patches.to(self.device, non_blocking=True),
            self.genes[mine].to(self.device),
            counts,
            None if self.patients is None else self.patients[torch.from_numpy(units)].to(self.device),
            int(rows[0]) if len(rows) else 0,
            len(units),
        )

    def _set_learning_rate(self, epoch: int, step: int) -> None:
        settings = self.settings
        per_epoch = len(epoch_batches(len(self.bags), settings, epoch))
        factor = learning_rate_factor(
            epoch * per_epoch + step,
            settings.epochs * per_epoch,
            schedule=settings.schedule,
            warmup_steps=settings.warmup_epochs * per_epoch,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * factor


def step_seed(seed: int, epoch: int, step: int) -> int:
    """A number for torch's generators that follows from seed, epoch and step alone."""
    return int(np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)[0] >> 2)


def on_its_way(batch: Batch, device: torch.device) -> Batch:
    """For a GPU: patches in pinned memory, from which they are copied while it computes."""
    return dataclasses.replace(batch, patches=batch.patches.pin_memory()) if device.type == "cuda" else batch


def timed(items: Iterator[T]) -> Iterator[tuple[T, float]]:
    """Each item with the seconds it was waited for."""
    while True:
        started = time.perf_counter()
        try:
            item = next(items)
        except StopIteration:
            return
        yield item, time.perf_counter() - started


def out_of_memory(settings: PretrainSettings, compute: ComputeSettings) -> str:
    """What to set when the GPU's memory is full, the mildest first."""
    remedies = []
    if not compute.activation_checkpointing:
        remedies.append("activation_checkpointing: true (same values, a third more time)")
    at_once = compute.micro_batch or settings.batch_size
    if at_once > 1:
        remedies.append(f"micro_batch: {max(1, at_once // 2)} (InfoNCE still sees the whole batch)")
    return (
        f"the GPU's memory is full with {at_once} units of {settings.tokens} tokens at a time (batch_size "
        f"{settings.batch_size}). Set in the section `compute` {'; or '.join(remedies) or 'nothing more'}; or in "
        "`pretrain` attention: exact, or a lower batch_size or tokens. With gpu_share above 1, let fewer folds share. "
        "Finished epochs are kept"
    )


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MB (10^6 bytes): allocated on the GPU, or resident in this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _check_finite(values: Mapping[str, float], epoch: int, step: int) -> None:
    if np.isfinite(values["total"]):
        return
    shown = ", ".join(f"{name}={value:.4g}" for name, value in values.items())
    message = (
        f"pretraining stopped: the loss is not finite at epoch {epoch + 1}, step {step + 1} ({shown}); "
        "lower learning_rate, set precision: float32, or look for extreme features or expression values"
    )
    raise MirrorflowError(message)
