"""Self-supervised pretraining: batches of paired slides and RNA, resumable to the digit.

Every random draw (order, patches, masks, style samples, dropout) follows from (seed, epoch, step) alone, so
that a run resumed after epoch e gives the losses of one that was never disturbed: to the digit on a CPU, and on a GPU
with ``compute.deterministic``; else up to the rounding of sums whose order there follows from timing.
"""

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from mirrorflow.errors import ConfigError, InputError, MirrorflowError
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.models.seam import Progress
from mirrorflow.training.advice import not_finite, out_of_memory
from mirrorflow.training.bags import Bags, Batch, patch_moments, prefetched
from mirrorflow.training.batches import batch_slices
from mirrorflow.training.best_epoch import ValidationUnits
from mirrorflow.training.compute import ComputeSettings, lay_out
from mirrorflow.training.devices import arithmetic_of, choose_device, guarded
from mirrorflow.training.loading import Loader, on_device, received
from mirrorflow.training.seeds import step_seed
from mirrorflow.training.settings import PretrainSettings
from mirrorflow.training.smooth_rank import TrainingRank, judge_of
from mirrorflow.training.step import Gradients, StepInputs
from mirrorflow.training.trainer import Check, Group, Judge
from mirrorflow.training.world import ProcessGroup

__all__ = ["ALONE", "Layout", "PairedData", "Pretraining", "epoch_batches"]

VALIDATION = 2**32 - 1
"""Stands for the epoch in the draws of validation units, less the epoch's number where they are drawn anew: no epoch
comes near it.
"""

logger = logging.getLogger("mirrorflow.pretraining")


@dataclass(frozen=True)
class Layout:
    """Where a pretraining runs: the device's name (or ``auto``), how it lies on it, the processes that share it."""

    device: str = "auto"
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    world: ProcessGroup = field(default_factory=ProcessGroup)


ALONE = Layout()


@dataclass(frozen=True)
class PairedData:
    """Training units: bags, expression [unit, gene], and a number each of their patients [unit], where negatives of
    the same patient are dropped.
    """

    bags: Bags
    genes: np.ndarray
    patients: np.ndarray | None = None


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


class Pretraining:
    """One pretraining: its draws, and the gradients of a step."""

    def __init__(
        self,
        model: PairedNetwork,
        data: PairedData,
        settings: PretrainSettings,
        layout: Layout,
    ) -> None:
        _check_inputs(model, data.bags, data.genes, settings)
        self.device = choose_device(layout.device)
        self.network: PairedNetwork = model.to(self.device)
        self.bags, self.settings, self.layout, self.world = data.bags, settings, layout, layout.world
        lay_out(self.network, layout.compute)
        self.genes = torch.as_tensor(np.asarray(data.genes, dtype=np.float32)).to(self.device)
        self.patients = None if data.patients is None else torch.as_tensor(np.asarray(data.patients)).to(self.device)
        self.loader = Loader(self.device)
        arithmetic = arithmetic_of(settings.precision, self.device, model.settings.width)
        self.scaler = arithmetic.scaler()
        self.gradients = Gradients(model, arithmetic, layout.compute.micro_batch, self.world, self.scaler)
        self.rank: TrainingRank | None = None
        if settings.kept_epoch == "smooth_rank":
            self.rank = TrainingRank(self.gradients)

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return len(epoch_batches(len(self.bags), self.settings, 0))

    def judge(self, validation: ValidationUnits | None) -> Judge | None:
        """What chooses the epoch that is kept: all processes have the same weights, the first keeps them."""
        if self.world.rank != 0:
            return None
        return judge_of(self.rank, None if validation is None else partial(self.loss_on, validation))

    def scale_patches(self) -> None:
        """With ``feature_scaling: train`` the network scales patches by the moments of the training units."""
        if self.settings.feature_scaling == "train":
            mean, sd = patch_moments(self.bags)
            self.network.scale_patches(torch.from_numpy(mean), torch.from_numpy(sd))

    def groups(self) -> list[Group]:
        """Every weight alike."""
        return [Group(list(self.network.parameters()), self.settings.learning_rate, self.settings.weight_decay)]

    def train_mode(self) -> None:
        """Dropout, masks and style samples are drawn."""
        self.network.train()
        if self.rank is not None:
            self.rank.restart()

    def batches(self, epoch: int) -> Iterator[tuple[np.ndarray, Batch]]:
        """The units of each batch of an epoch, and this process's share of them, drawn ahead."""
        return prefetched(self._batches(epoch))

    def _batches(self, epoch: int) -> Iterator[tuple[np.ndarray, Batch]]:
        for step, units in enumerate(epoch_batches(len(self.bags), self.settings, epoch)):
            yield units, self._draw(self.bags, units, self.world.rows(len(units)), epoch, step)

    def _draw(self, bags: Bags, units: np.ndarray, rows: np.ndarray, epoch: int, step: int) -> Batch:
        """The ``rows`` of a batch of ``units``; what is drawn of a unit follows from its row in the whole batch."""
        settings = self.settings
        rngs = [np.random.default_rng([settings.seed, epoch, step, int(row)]) for row in rows]
        return self.loader.draw(
            bags,
            units[rows],
            tokens=settings.tokens,
            short=settings.short,
            rngs=rngs,
            replace=settings.replacement,
        )

    def backward(self, batch: tuple[np.ndarray, Batch], at: Progress, check: Check) -> tuple[dict[str, float], int]:
        """The gradient of the whole batch, in one go, in parts or on several devices."""
        units, drawn = batch
        self.network.prepare_step()
        seed = step_seed(self.settings.seed, at.epoch, at.step)
        return self.gradients.backward(self._inputs(units, drawn), seed, check), len(units)

    def stepped(self, batch: tuple[np.ndarray, Batch]) -> None:
        """What the network holds after a step (tau), and the slides embedded again where the rank chooses the epoch."""
        self.network.finish_step()
        if self.rank is not None:
            self._see(self.rank, batch)

    def _see(self, rank: TrainingRank, batch: tuple[np.ndarray, Batch]) -> None:
        """Embed a step's slides. Memory that ends here must not repeat the step: the optimiser has moved."""

        def with_less() -> None:
            if not self.need_less():
                raise MirrorflowError(self.out_of_memory())
            rank.see(self._inputs(*batch))

        guarded(lambda: rank.see(self._inputs(*batch)), self.out_of_memory, with_less)

    def loss_on(self, validation: ValidationUnits, epoch: int) -> float:
        """Mean total loss of units left out after ``epoch`` (from 1), in evaluation mode, in this process alone."""
        anew = self.settings.evaluation_draws == "anew"
        self.network.judged(sampled=anew)
        draws = VALIDATION - epoch if anew else VALIDATION
        total, seen = 0.0, 0
        with closing(prefetched(self._validation_batches(validation, draws))) as batches:
            for step, (units, batch) in enumerate(batches):
                inputs = StepInputs(
                    received(batch, self.device),
                    torch.as_tensor(validation.genes[units], dtype=torch.float32).to(self.device),
                    batch.counts,
                    torch.as_tensor(validation.patients[units]).to(self.device),
                    0,
                    len(units),
                )
                seed = step_seed(self.settings.seed, draws, step)
                less = self.gradients.halved(len(units))
                ways = [partial(gradients.values, inputs, seed) for gradients in (self.gradients, less)]
                values = guarded(ways[0], self.out_of_memory, ways[1])
                if not np.isfinite(values["total"]):
                    raise MirrorflowError(not_finite(values, epoch, step + 1))
                total, seen = total + values["total"] * len(units), seen + len(units)
        return total / seen

    def _validation_batches(self, validation: ValidationUnits, draws: int) -> Iterator[tuple[np.ndarray, Batch]]:
        for step, units in enumerate(_batches_of(np.arange(len(validation.bags)), self.settings)):
            yield units, self._draw(validation.bags, units, np.arange(len(units)), draws, step)

    def measures(self) -> dict[str, float]:
        """The inverse temperature of InfoNCE."""
        return {"tau": self.network.tau()}

    def not_finite(self, batch: tuple[np.ndarray, Batch], at: Progress, values: Mapping[str, float]) -> str:
        """Every term, and what to change."""
        return not_finite(values, at.epoch + 1, at.step + 1)

    def out_of_memory(self) -> str:
        """What to set, the mildest first."""
        compute = dataclasses.replace(self.layout.compute, micro_batch=self.gradients.micro_batch)
        return out_of_memory(self.settings, compute)

    def need_less(self) -> bool:
        """Half as many units at a time, from now on; not where processes share a batch or passes are compiled."""
        at_once = self.gradients.micro_batch or min(self.settings.batch_size, len(self.bags))
        if at_once < 2 or self.world.size > 1 or self.layout.compute.compile:
            return False
        self.gradients = dataclasses.replace(self.gradients, micro_batch=at_once // 2)
        if self.rank is not None:
            self.rank.gradients = self.gradients
        logger.warning(
            "micro_batch: %d from now on; set it in the section `compute`, which saves the first attempt", at_once // 2
        )
        return True

    def _inputs(self, units: np.ndarray, batch: Batch) -> StepInputs:
        rows, mine = self.world.rows(len(units)), on_device(batch.units, self.device)
        patches = received(batch, self.device)
        if self.settings.short == "mask" and self.world.size > 1:  # asked of every process, also of one without units
            missing = self.world.max(patches.shape[1]) - patches.shape[1]
            patches = torch.nn.functional.pad(patches, (0, 0, 0, missing))
        return StepInputs(
            patches,
            self.genes[mine],
            batch.counts,
            None if self.patients is None else self.patients[on_device(units, self.device)],
            int(rows[0]) if len(rows) else 0,
            len(units),
        )
