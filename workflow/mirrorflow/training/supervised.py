"""One training loop for every supervised method: bags drawn per step, the loss handed in, seeded to the digit.

Every draw (order, patches, dropout) follows from (seed, epoch, step) alone. Training sees ``tokens`` patches of a
bag at a step, a smaller bag whole, padded and masked; prediction sees all patches, one bag at a time, so that
a unit's answer depends on nobody else's bag.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.models.supervised import SupervisedNetwork
from mirrorflow.training.bags import Bags, Batch, draw_batch, prefetched, unit_name
from mirrorflow.training.batches import batch_slices
from mirrorflow.training.loop import OnEpoch, run_epochs
from mirrorflow.training.pretraining import step_seed
from mirrorflow.training.schedule import autocast_dtype, choose_device, learning_rate_factor, make_optimizer
from mirrorflow.training.settings import SupervisedSettings

LossOf = Callable[[Tensor, Tensor], Tensor]
"""Loss of logits [batch, output] of the units at rows [batch], on the CPU."""


@dataclass(frozen=True)
class Units:
    """Units with their bags and, where the method sees it, scaled expression [unit, gene] (else width 0).

    Raises InputError when bags and expression do not pair up or the expression is not finite.
    """

    bags: Bags
    genes: np.ndarray

    def __post_init__(self) -> None:
        if len(self.bags) != len(self.genes):
            message = f"{len(self.bags)} bags beside {len(self.genes)} expression profiles; they must pair up"
            raise InputError(message)
        if len(bad := np.flatnonzero(~np.isfinite(self.genes).all(axis=1))):
            message = f"{unit_name(self.bags, int(bad[0]))}: expression holds NaN or infinite values; scale it first"
            raise InputError(message)

    def __len__(self) -> int:
        return len(self.genes)


def train_supervised(
    network: SupervisedNetwork,
    units: Units,
    loss_of: LossOf,
    settings: SupervisedSettings,
    *,
    label: str = "training",
    on_epoch: OnEpoch | None = None,
    stop_after: int | None = None,
    device: str = "auto",
) -> list[float]:
    """Train ``network`` in place; returns the mean loss of each epoch. ``label`` begins the lines of progress.

    stop_after: end with this epoch; learning rates are those of the whole schedule.

    Raises InputError for no unit, MirrorflowError naming epoch, step and what is not finite when the loss is
    not, or saying what to lower when the GPU's memory is full.
    """
    if not len(units):
        message = f"{label}: no training unit"
        raise InputError(message)
    run = _Run(network, units, loss_of, settings, choose_device(device))
    last = min(stop_after or settings.epochs, settings.epochs)
    history = run_epochs(run.epoch, last, label=label, on_epoch=on_epoch, device=run.device)
    network.eval()
    return history


@torch.inference_mode()
def predict_units(network: SupervisedNetwork, units: Units, *, device: str = "auto") -> Tensor:
    """Logits [unit, output] float64 from all patches of every unit, in float32."""
    where = choose_device(device)
    network.to(where).eval()
    genes = torch.as_tensor(units.genes, dtype=torch.float32)
    rows = []
    with closing(prefetched(units.bags[i] for i in range(len(units)))) as bags:
        for number, bag in enumerate(bags):
            patches = torch.tensor(bag, dtype=torch.float32)[None].to(where)
            mask = torch.ones(patches.shape[:2], dtype=torch.bool, device=where)
            rows.append(network(patches, mask, genes[number : number + 1].to(where)).double().cpu())
    return torch.cat(rows)


class _Run:
    """One training under way."""

    def __init__(
        self,
        network: SupervisedNetwork,
        units: Units,
        loss_of: LossOf,
        settings: SupervisedSettings,
        device: torch.device,
    ) -> None:
        self.network, self.units, self.loss_of = network.to(device), units, loss_of
        self.settings, self.device = settings, device
        self.passes = settings.passes_for(len(units))
        self.genes = torch.as_tensor(units.genes, dtype=torch.float32)
        self.dtype = autocast_dtype(settings.precision, device, network.width)
        self.optimizer = make_optimizer(
            network.parameters(), learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
        )

    def epoch(self, epoch: int) -> float:
        """Train one epoch; returns its mean loss."""
        self.network.train()
        total = 0.0
        with closing(prefetched(self._batches(epoch))) as batches:
            for step, batch in enumerate(batches):
                self._set_learning_rate(epoch, step)
                total += self._guarded_step(batch, epoch, step) * len(batch.units)
        return total / (len(self.units) * self.passes)

    def _batches(self, epoch: int) -> Iterator[Batch]:
        settings = self.settings
        shuffled = np.random.default_rng([settings.seed, epoch])
        orders = (shuffled.permutation(len(self.units)) for _ in range(self.passes))
        slices = batch_slices(len(self.units), settings.batch_size)
        batches = (order[batch] for order in orders for batch in slices)
        for step, rows in enumerate(batches):
            rngs = [np.random.default_rng([settings.seed, epoch, step, row]) for row in range(len(rows))]
            yield draw_batch(self.units.bags, rows, tokens=settings.tokens, short="mask", rngs=rngs)

    def _guarded_step(self, batch: Batch, epoch: int, step: int) -> float:
        try:
            return self._step(batch, epoch, step)
        except torch.OutOfMemoryError as error:
            message = (
                f"the GPU's memory is full at batch_size {self.settings.batch_size} with "
                f"{self.settings.tokens} tokens; lower the method's train.batch_size or train.tokens"
            )
            raise MirrorflowError(message) from error

    def _step(self, batch: Batch, epoch: int, step: int) -> float:
        torch.manual_seed(step_seed(self.settings.seed, epoch, step))
        rows = torch.from_numpy(batch.units)
        counts: Tensor = batch.counts  # type: ignore[assignment]  # draw_batch counts where it pads
        mask = torch.arange(batch.patches.shape[1])[None, :] < counts[:, None]
        inputs = (part.to(self.device) for part in (batch.patches, mask, self.genes[rows]))
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            logits = self.network(*inputs)
        loss = self.loss_of(logits.float().cpu(), rows) + self.network.penalty().cpu()
        self._check_finite(float(loss.detach()), batch, epoch, step)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def _check_finite(self, loss: float, batch: Batch, epoch: int, step: int) -> None:
        if np.isfinite(loss):
            return
        finite = batch.patches.isfinite().all(dim=2).all(dim=1).numpy()
        names = [unit_name(self.units.bags, int(unit)) for unit in batch.units[~finite]]
        why = (
            f"features of {', '.join(names[:3])} hold NaN or infinite values; make them again"
            if names
            else "lower train.learning_rate, set train.precision: float32, or look for extreme features or expression"
        )
        message = f"training stopped: the loss is not finite at epoch {epoch + 1}, step {step + 1}; {why}"
        raise MirrorflowError(message)

    def _set_learning_rate(self, epoch: int, step: int) -> None:
        settings, per_epoch = self.settings, self.settings.steps(len(self.units)) * self.passes
        factor = learning_rate_factor(
            epoch * per_epoch + step,
            settings.epochs * per_epoch,
            schedule=settings.schedule,
            warmup_steps=settings.warmup_epochs * per_epoch,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * factor
