"""The one training loop: optimiser groups, clipping, schedule, history, the choice of an epoch, state to resume from.

All that learns by gradients is trained here. What differs is a :class:`Training`: parameters, batches, loss terms.
"""

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from mirrorflow.errors import MirrorflowError
from mirrorflow.models.seam import Progress, weighted
from mirrorflow.training.best_epoch import Best, better
from mirrorflow.training.devices import UNSCALED, guarded, wait_for
from mirrorflow.training.schedule import Schedule, learning_rate_factor

B = TypeVar("B")
T = TypeVar("T")

SCALER = "loss_scale"
"""Where the state of the loss scale stands in that of the optimiser."""

Check = Callable[[Mapping[str, float]], None]
"""Is told a step's terms and total before the optimiser moves; raises where the total is not finite."""


@dataclass(frozen=True)
class Group:
    """Parameters that share a learning rate and a weight decay (decoupled with ``adamw``, else an L2 penalty)."""

    parameters: Sequence[nn.Parameter]
    learning_rate: float
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Course:
    """How a training goes: epochs of ``steps`` optimisation steps, the schedule over all of them, the optimiser.

    stop_after: end with this epoch; learning rates are those of the whole schedule. clip_norm: the gradient's norm is
    cut to it; None: not.
    """

    epochs: int
    steps: int
    schedule: Schedule = "constant"
    warmup_epochs: int = 0
    stop_after: int | None = None
    optimizer: Literal["adam", "adamw"] = "adam"
    fused: bool = True
    clip_norm: float | None = None

    @property
    def last(self) -> int:
        """The last epoch that is trained, from 1."""
        return min(self.stop_after or self.epochs, self.epochs)

    def progress(self, epoch: int, step: int) -> Progress:
        """Where ``step`` of ``epoch`` is."""
        steps = max(1, self.steps)
        return Progress(epoch, step, (epoch * steps + step) / max(1, self.epochs * steps), step / steps)

    def rate_factor(self, epoch: int, step: int) -> float:
        """The factor on every learning rate at a step."""
        return learning_rate_factor(
            epoch * self.steps + step,
            self.epochs * self.steps,
            schedule=self.schedule,
            warmup_steps=self.warmup_epochs * self.steps,
        )

    def optimizer_of(self, groups: Sequence[Group]) -> torch.optim.Optimizer:
        """The optimiser of the groups."""
        kind = torch.optim.AdamW if self.optimizer == "adamw" else torch.optim.Adam
        parts: list[dict[str, Any]] = [
            {"params": list(group.parameters), "lr": group.learning_rate, "weight_decay": group.weight_decay}
            for group in groups
        ]
        return kind(parts, fused=True) if self.fused else kind(parts)


class Training(Protocol[B]):
    """What is trained, from what, towards what. In float16 it also has the ``scaler`` that its loss is scaled by."""

    @property
    def network(self) -> nn.Module:
        """What holds the weights; on :attr:`device`."""

    @property
    def device(self) -> torch.device:
        """Where it is trained."""

    def groups(self) -> Sequence[Group]:
        """The parameters that are trained; all others stay as they are."""

    def train_mode(self) -> None:
        """Called before each epoch: puts the network into the mode that it is trained in."""

    def batches(self, epoch: int) -> Iterator[B]:
        """The batches of an epoch; they follow from the epoch alone."""

    def backward(self, batch: B, at: Progress, check: Check) -> tuple[dict[str, float], int]:
        """Leave the gradients of a batch; returns its terms with their ``total``, and how many units it held."""

    def stepped(self, batch: B) -> None:
        """Called after the optimiser has moved by the gradient of ``batch``."""

    def measures(self) -> dict[str, float]:
        """Further values of an epoch's row of the history."""

    def not_finite(self, batch: B, at: Progress, values: Mapping[str, float]) -> str:
        """What to tell the user of a total that is not finite: where, and what to change."""

    def out_of_memory(self) -> str:
        """What to lower when the GPU's memory is full."""

    def need_less(self) -> bool:
        """Ask for less memory from now on, with the same objective; False where nothing can be done."""


@dataclass
class TrainingState:
    """A training after ``epoch`` finished epochs. The tensors are the live ones: save before training goes on."""

    epoch: int
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    history: list[dict[str, float]] = field(default_factory=list)
    best: Best | None = None
    """Of the epochs so far, where the epoch is chosen."""


OnEpoch = Callable[[TrainingState, Mapping[str, float]], None]
"""Is told the state after each finished epoch, and its row of the history."""


@dataclass(frozen=True)
class Judge:
    """What chooses the epoch that is kept: the one with the least ``loss_of(epoch)`` (from 1), the first of equals,
    the last epoch where no loss is finite.
    ``name``: the history's column of these losses.
    """

    loss_of: Callable[[int], float]
    name: str


class Trainer(Generic[B]):
    """A training under way."""

    def __init__(self, training: Training[B], course: Course, judge: Judge | None = None) -> None:
        self.training, self.course, self.judge = training, course, judge
        self.optimizer = course.optimizer_of(training.groups())
        self._rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.scaler: torch.amp.GradScaler = getattr(training, "scaler", UNSCALED)
        self.history: list[dict[str, float]] = []
        self.best: Best | None = None

    def resume(self, state: TrainingState) -> None:
        """Take up where ``state`` ended."""
        self.training.network.load_state_dict(state.model)
        kept = dict(state.optimizer)
        self.scaler.load_state_dict(kept.pop(SCALER, {}))
        self.optimizer.load_state_dict(kept)
        self.history, self.best = list(state.history), state.best

    def fit(self, on_epoch: OnEpoch | None = None) -> list[dict[str, float]]:
        """Train to the last epoch; the network then holds the chosen epoch's weights, in evaluation mode.

        Returns the history, a row an epoch: every term, their weighted total, learning rate, units a second, seconds,
        seconds waited for data, peak memory. torch's own random state is as before afterwards. Raises MirrorflowError
        naming epoch and step when the total is not finite, or saying what to lower when the GPU's memory is full.
        """
        training = self.training
        with torch.random.fork_rng(devices=[training.device] if training.device.type == "cuda" else []):
            for epoch in range(len(self.history), self.course.last):
                self._finish(epoch, self._epoch(epoch), on_epoch)
        if self.best is not None:
            getattr(training.network, "load_best", training.network.load_state_dict)(self.best.model)
        training.network.eval()
        return self.history

    @property
    def reported(self) -> int:
        """The epoch, from 1, whose weights the network holds after :meth:`fit`."""
        return len(self.history) if self.best is None else self.best.epoch

    def _finish(self, epoch: int, row: dict[str, float], on_epoch: OnEpoch | None) -> None:
        if self.judge is not None:
            row[self.judge.name] = self.judge.loss_of(epoch + 1)
            self.best = better(self.best, row[self.judge.name], self.training.network, epoch + 1)
        self.history.append(row)
        if on_epoch is not None:
            model, optimizer = self.training.network.state_dict(), self.optimizer.state_dict()
            if scale := self.scaler.state_dict():
                optimizer[SCALER] = scale
            on_epoch(TrainingState(epoch + 1, model, optimizer, list(self.history), self.best), row)

    def _epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch; returns its row of the history."""
        started, seen, waited = time.perf_counter(), 0, 0.0
        sums: dict[str, float] = {}
        self.training.train_mode()
        with closing(_closable(self.training.batches(epoch))) as batches:
            for step, (batch, seconds) in enumerate(timed(batches)):
                values, units = self._guarded_step(batch, epoch, step)
                seen, waited = seen + units, waited + seconds
                for name, value in values.items():
                    sums[name] = sums.get(name, 0.0) + value * units
        wait_for(self.training.device)  # the last step may still be computed
        seconds = time.perf_counter() - started
        row = {"epoch": epoch + 1.0} | {name: total / seen for name, total in sums.items()}
        return row | self.training.measures() | self._measures(seconds, seen) | {"waited_seconds": waited}

    def _measures(self, seconds: float, seen: int) -> dict[str, float]:
        return {
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "samples_per_second": seen / seconds,
            "seconds": seconds,
            "peak_memory_mb": peak_memory_mb(self.training.device),
        }

    def _guarded_step(self, batch: B, epoch: int, step: int) -> tuple[dict[str, float], int]:
        def once_more() -> tuple[dict[str, float], int]:
            self.optimizer.zero_grad(set_to_none=True)
            if not self.training.need_less():
                raise MirrorflowError(self.training.out_of_memory())
            return self._step(batch, epoch, step)

        return guarded(lambda: self._step(batch, epoch, step), self.training.out_of_memory, once_more)

    def _step(self, batch: B, epoch: int, step: int) -> tuple[dict[str, float], int]:
        at, factor = self.course.progress(epoch, step), self.course.rate_factor(epoch, step)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        self.optimizer.zero_grad(set_to_none=True)

        def check(values: Mapping[str, float]) -> None:
            if not np.isfinite(values["total"]):
                raise MirrorflowError(self.training.not_finite(batch, at, values))

        values, units = self.training.backward(batch, at, check)
        if self.course.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            parameters = [one for group in self.optimizer.param_groups for one in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.course.clip_norm)
        self._move()
        self.training.stepped(batch)
        return values, units

    def _move(self) -> None:
        """One step of the optimiser; in float16 none where a scaled gradient overflowed."""
        if not self.scaler.is_enabled():
            self.optimizer.step()
            return
        self.scaler.step(self.optimizer)
        self.scaler.update()


def descend(
    terms: Mapping[str, Tensor],
    weights: Mapping[str, float],
    check: Check,
    scaler: torch.amp.GradScaler = UNSCALED,
) -> dict[str, float]:
    """Leave the (scaled) gradient of the weighted total of ``terms``; returns the total and the terms as numbers."""
    total = weighted(terms, weights)
    values = dict(zip(["total", *terms], torch.stack([total, *terms.values()]).tolist(), strict=True))
    check(values)
    scaler.scale(total).backward()
    return values


def _closable(items: Iterator[T]) -> Any:
    """The iterator itself where it can be closed (a generator), else as a generator."""
    return items if hasattr(items, "close") else (item for item in items)


def timed(items: Iterator[T]) -> Iterator[tuple[T, float]]:
    """Each item with the seconds it was waited for."""
    while True:
        started = time.perf_counter()
        try:
            item = next(items)
        except StopIteration:
            return
        yield item, time.perf_counter() - started


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MB (10^6 bytes): allocated on the GPU, or resident in this process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
