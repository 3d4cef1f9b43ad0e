"""Networks trained on labels: bags drawn per step, the objective handed in, seeded to the digit.

Every draw (order, patches, dropout) follows from (seed, epoch, step) alone. Training sees ``tokens`` patches of a
bag at a step, a smaller bag whole, padded and masked; prediction sees all patches (or ``evaluation_tokens`` of a
larger bag, the same ones always), one bag at a time, so that a unit's answer depends on nobody else's bag.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mirrorflow.errors import InputError
from mirrorflow.models import seam
from mirrorflow.models.seam import Objective, Output, Progress, TargetTensors
from mirrorflow.models.supervised import SupervisedNetwork
from mirrorflow.training.bags import Bags, Batch, CappedBags, prefetched, unit_name
from mirrorflow.training.batches import batch_slices, event_batches
from mirrorflow.training.devices import Arithmetic, arithmetic_of, choose_device, guarded
from mirrorflow.training.in_parts import output_of
from mirrorflow.training.loading import Loader, on_device, received
from mirrorflow.training.resident import free_all, resident
from mirrorflow.training.seeds import seed_torch, step_seed
from mirrorflow.training.settings import SupervisedSettings
from mirrorflow.training.trainer import Check, Course, Group, Judge, OnEpoch, Trainer, TrainingState, descend

logger = logging.getLogger("mirrorflow.training")

VECTORS = ("bias", ".scale", ".shift")
"""How names of weights end that are vectors, also where those of several tokens are stacked to a matrix."""


@dataclass(frozen=True)
class Units:
    """Units with their bags and scaled expression [unit, gene]; of what a method does not see: no bags, width 0.

    Raises InputError when bags and expression do not pair up or the expression is not finite.
    """

    bags: Bags | None
    genes: np.ndarray

    def __post_init__(self) -> None:
        if self.bags is not None and len(self.bags) != len(self.genes):
            message = f"{len(self.bags)} bags beside {len(self.genes)} expression profiles; they must pair up"
            raise InputError(message)
        if len(bad := np.flatnonzero(~np.isfinite(self.genes).all(axis=1))):
            message = f"{self.name(int(bad[0]))}: expression holds NaN or infinite values; scale it first"
            raise InputError(message)

    def __len__(self) -> int:
        return len(self.genes)

    def capped(self, tokens: int | None) -> "Units":
        """The units with no more than so many patches of each bag; None: with all."""
        if self.bags is None or tokens is None:
            return self
        return Units(CappedBags(self.bags, tokens), self.genes)

    def name(self, unit: int) -> str:
        """What to call a unit in a message."""
        return f"unit {unit}" if self.bags is None else unit_name(self.bags, unit)


@dataclass(frozen=True)
class LabelledUnits:
    """What a network is trained on: units, their targets [unit], and what it is to minimise."""

    units: Units
    targets: TargetTensors
    objective: Objective
    by_event: bool = False
    """Whether every batch gets the cohort's share of events (a Cox loss over a batch has none without one)."""


@dataclass(frozen=True)
class Hooks:
    """Around a training: state to take up, who is told of each epoch, what chooses the epoch that is kept."""

    resume_from: TrainingState | None = None
    on_epoch: OnEpoch | None = None
    judge: Judge | None = None
    stop_after: int | None = None
    """End with this epoch; learning rates are those of the whole schedule."""


def train_supervised(
    network: SupervisedNetwork,
    labelled: LabelledUnits,
    settings: SupervisedSettings,
    hooks: Hooks = Hooks(),
    *,
    label: str = "training",
    device: str = "auto",
) -> Trainer:
    """Train ``network`` in place; the trainer has the history and which epoch's weights were kept.

    Raises InputError for no unit, MirrorflowError naming epoch, step and what is not finite when the loss is
    not, or saying what to lower when the GPU's memory is full.
    """
    if not len(labelled.units):
        message = f"{label}: no training unit"
        raise InputError(message)
    training = _Supervised(network, labelled, settings, choose_device(device))
    trainer = Trainer(training, _course(settings, len(labelled.units), hooks.stop_after), hooks.judge)
    if hooks.resume_from is not None:
        trainer.resume(hooks.resume_from)
    trainer.fit(hooks.on_epoch)
    return trainer


def _course(settings: SupervisedSettings, units: int, stop_after: int | None) -> Course:
    return Course(
        settings.epochs,
        settings.steps(units) * settings.passes_for(units),
        schedule=settings.schedule,
        warmup_epochs=settings.warmup_epochs,
        stop_after=stop_after,
        optimizer="adamw" if settings.weight_decay else "adam",
        clip_norm=settings.clip_norm,
    )


def predict_units(network: SupervisedNetwork, units: Units, *, device: str = "auto") -> Tensor:
    """Logits [unit, output] float64 from all patches of every unit, in float32."""
    return torch.cat([out.logits.double() for out in outputs_of(network, units, device=device)]).cpu()


def outputs_of(network: SupervisedNetwork, units: Units, *, device: str = "auto") -> Iterator[Output]:
    """The network's output for every unit by itself, in evaluation mode: logits, attention, all of batch size 1."""
    where = choose_device(device)
    network.to(where).eval()
    genes = torch.as_tensor(units.genes, dtype=torch.float32).to(where)
    with closing(prefetched(_whole_bags(units, where))) as bags:
        for number, bag in enumerate(bags):
            with torch.inference_mode(), Arithmetic(where).autocast():
                own = genes[number : number + 1]
                whole = partial(_output, network, bag, own)
                full = partial(_bag_too_large, units, number, bag.patches.shape[1])
                found = guarded(whole, full, partial(_without_resident, whole))
            yield found


def _output(network: SupervisedNetwork, bag: Batch, genes: Tensor) -> Output:
    """Of one unit: its bag, wherever it lies, and genes [1, gene] on the network's device."""
    patches = received(bag, genes.device)
    real = torch.ones(patches.shape[:2], dtype=torch.bool, device=genes.device)
    return network(seam.Batch(patches, real, genes, counts=torch.tensor([patches.shape[1]])))


def _without_resident(whole: Callable[[], Output]) -> Output:
    """Once more, when the bags that stayed on the GPU are gone."""
    free_all()
    return whole()


def _bag_too_large(units: Units, number: int, patches: int) -> str:
    return (
        f"{units.name(number)}: the GPU's memory is full with all {patches} patches of one bag, which prediction looks "
        "at; lower the method's network.width, or predict on the CPU (set CUDA_VISIBLE_DEVICES to nothing)"
    )


def _whole_bags(units: Units, device: torch.device) -> Iterator[Batch]:
    """Every patch of each unit [1, patch, feature]: on a GPU already, where they fit, or on their way to it."""
    kept, loader = resident(units.bags, device), Loader(device)
    for number in range(len(units)):
        if units.bags is None:
            yield Batch(np.array([number]), torch.zeros(1, 0, 0), None)
        elif kept is not None and kept[0].fits([kept[1][number]]):
            yield Batch(np.array([number]), kept[0].bag(kept[1][number])[None], None)
        else:
            yield loader.whole(units.bags, number)


class _Supervised:
    """One training under way; ``parts`` of a batch go through the network by themselves."""

    parts = 1

    def __init__(
        self, network: SupervisedNetwork, labelled: LabelledUnits, settings: SupervisedSettings, device: torch.device
    ) -> None:
        self.network: SupervisedNetwork = network.to(device)
        self.units, self.objective, self.by_event = labelled.units, labelled.objective, labelled.by_event
        self.settings, self.device = settings, device
        self.targets = labelled.targets.to(device)
        self.event = None if labelled.targets.event is None else labelled.targets.event.numpy()
        self.passes = settings.passes_for(len(labelled.units))
        self.genes = torch.as_tensor(labelled.units.genes, dtype=torch.float32).to(device)
        self.resident, self.loader = resident(labelled.units.bags, device), Loader(device)
        self.arithmetic = arithmetic_of(settings.precision, device, network.width)
        self.scaler = self.arithmetic.scaler()
        self.random_batches = self.by_event and self.event is not None and settings.batches == "random"
        self.without_event = 0

    def groups(self) -> list[Group]:
        """Every weight alike, or those without weight decay apart (``decay``)."""
        settings = self.settings
        if settings.decay == "all":
            return [Group(list(self.network.parameters()), settings.learning_rate, settings.weight_decay)]
        spared = [(one.ndim < 2 or name.endswith(VECTORS), one) for name, one in self.network.named_parameters()]
        decayed, rest = ([one for is_spared, one in spared if is_spared == asked] for asked in (False, True))
        return [Group(decayed, settings.learning_rate, settings.weight_decay), Group(rest, settings.learning_rate)]

    def train_mode(self) -> None:
        """Dropout is drawn."""
        self.network.train()
        self.without_event = 0

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Batches of an epoch's passes over the units, drawn ahead."""
        return prefetched(self._batches(epoch))

    def _batches(self, epoch: int) -> Iterator[Batch]:
        settings = self.settings
        shuffled = np.random.default_rng([settings.seed, epoch])
        orders = (shuffled.permutation(len(self.units)) for _ in range(self.passes))
        batches = (rows for order in orders for rows in self._cut(order))
        for step, rows in enumerate(batches):
            rngs = [np.random.default_rng([settings.seed, epoch, step, row]) for row in range(len(rows))]
            yield self._draw(rows, rngs)

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        if self.by_event and self.event is not None and not self.random_batches:
            return event_batches(order, self.event, self.settings.batch_size)
        return [order[batch] for batch in batch_slices(len(order), self.settings.batch_size)]

    def _draw(self, rows: np.ndarray, rngs: list[np.random.Generator]) -> Batch:
        if self.units.bags is None:
            return Batch(rows, torch.zeros(len(rows), 0, 0), torch.zeros(len(rows), dtype=torch.long))
        how: dict[str, Any] = {"tokens": self.settings.tokens, "short": "mask", "rngs": rngs}
        how["in_order"] = self.network.ordered
        if self.resident is not None:
            bags, numbers = self.resident
            if bags.fits(chosen := [numbers[row] for row in rows]):
                return bags.draw(np.array(chosen), rows, **how)
        return self.loader.draw(self.units.bags, rows, **how)

    def backward(self, batch: Batch, at: Progress, check: Check) -> tuple[dict[str, float], int]:
        """The gradient of the batch's total."""
        seed_torch(step_seed(self.settings.seed, at.epoch, at.step), self.device)
        seen = self._seen(batch)
        self.network.at(at)
        with self.arithmetic.autocast():
            out = output_of(self.network, seen, self.parts)
        out = out.in_float32()
        terms = self.objective.terms(out, seen, at) | self.network.terms(out, seen, at)
        values = descend(terms, self.objective.weights(at), check, self.scaler)
        return values, len(batch.units)

    def _seen(self, batch: Batch) -> seam.Batch:
        rows = on_device(batch.units, self.device)
        counts: Tensor = batch.counts  # type: ignore[assignment]  # draw_batch counts where it pads
        patches = received(batch, self.device)
        places = torch.arange(patches.shape[1], device=self.device)
        mask = places[None, :] < on_device(counts, self.device)[:, None]
        return seam.Batch(patches, mask, self.genes[rows], self.targets.of(rows), counts)

    def stepped(self, batch: Batch) -> None:
        """Batches that taught nothing of survival are counted."""
        if self.by_event and self.event is not None:
            self.without_event += not self.event[batch.units].any()

    def measures(self) -> dict[str, float]:
        """``batches_without_event`` of the epoch, for a Cox loss: of random batches, and where events are too few."""
        return {"batches_without_event": float(self.without_event)} if self.by_event and self.event is not None else {}

    def not_finite(self, batch: Batch, at: Progress, values: Mapping[str, float]) -> str:
        """The units whose features are to blame, or what to lower."""
        finite = batch.patches.isfinite().all(dim=2).all(dim=1).cpu().numpy()
        names = [self.units.name(int(unit)) for unit in batch.units[~finite]]
        why = (
            f"features of {', '.join(names[:3])} hold NaN or infinite values; make them again"
            if names
            else "lower train.learning_rate, set train.precision: float32, or look for extreme features or expression"
        )
        return f"training stopped: the loss is not finite at epoch {at.epoch + 1}, step {at.step + 1}; {why}"

    def out_of_memory(self) -> str:
        """What to lower."""
        return (
            f"the GPU's memory is full at batch_size {self.settings.batch_size} with {self.settings.tokens} tokens, "
            "and with half a batch at a time; lower the method's train.batch_size or train.tokens"
        )

    def need_less(self) -> bool:
        """Bags leave the GPU's memory and are read from their files again; batches go through in halves."""
        freed, whole = free_all(), self.parts == 1 and self.settings.batch_size > 1
        self.resident = None
        if whole:
            self.parts = 2
            logger.warning("half of a batch of %d at a time from now on", self.settings.batch_size)
        return freed or whole
