"""Adapting a pretrained network to another cohort: a new RNA embedding and a linear head are trained, nothing else.

MIRROR, Sec. V-B: encoders frozen, "the embedding layer together with a linear classifier" trained. The slide encoder
takes no part in training, so slides come as vectors computed once; every draw (order, dropout) follows from
(seed, epoch, step) alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mirrorflow.errors import InputError, MirrorflowError
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.training.batches import batch_slices
from mirrorflow.training.loop import OnEpoch, run_epochs
from mirrorflow.training.pretraining import step_seed
from mirrorflow.training.schedule import choose_device
from mirrorflow.training.settings import AdaptationSettings

LossOf = Callable[[Tensor, Tensor], Tensor]
"""Loss of logits [batch, output] of the units at rows [batch], on the CPU."""


@dataclass(frozen=True)
class AdaptedUnits:
    """Slide vectors [draw, unit, width] (epoch e sees draw e modulo the draws) and scaled expression [unit, gene].

    Raises InputError when the two do not pair up or the expression is not finite.
    """

    slides: np.ndarray
    genes: np.ndarray

    def __post_init__(self) -> None:
        if self.slides.shape[1] != len(self.genes):
            message = f"{self.slides.shape[1]} slide vectors beside {len(self.genes)} expression profiles"
            raise InputError(message)
        if not np.isfinite(self.genes).all():
            message = "expression holds NaN or infinite values; scale it first"
            raise InputError(message)

    def __len__(self) -> int:
        return len(self.genes)


class AdaptedModel(nn.Module):
    """``network`` (frozen but for its RNA embedding) and a linear head on slide and RNA vectors, side by side."""

    def __init__(self, network: PairedNetwork, outputs: int, seed: int) -> None:
        super().__init__()
        self.network = network
        # skip_init leaves torch's global random state alone.
        self.head = nn.utils.skip_init(nn.Linear, 2 * network.settings.width, outputs)
        nn.init.normal_(self.head.weight, std=0.01, generator=torch.Generator().manual_seed(seed))
        nn.init.zeros_(self.head.bias)

    def forward(self, slides: Tensor, genes: Tensor) -> Tensor:
        """Slide vectors [batch, width] and expression [batch, gene] -> logits [batch, output]."""
        return self.head(torch.cat([slides, self.network.encode_rna(genes)], dim=1))


def train_adapted(
    model: AdaptedModel,
    units: AdaptedUnits,
    loss_of: LossOf,
    settings: AdaptationSettings,
    *,
    label: str = "adaptation",
    on_epoch: OnEpoch | None = None,
    device: str = "auto",
) -> list[float]:
    """Train the RNA embedding and the head of ``model`` in place; returns the mean loss of each epoch.

    Raises InputError for no unit, MirrorflowError naming the epoch when the loss is not finite.
    """
    if not len(units):
        message = f"{label}: no training unit"
        raise InputError(message)
    run = _Run(model, units, loss_of, settings, choose_device(device))
    history = run_epochs(run.epoch, settings.epochs, label=label, on_epoch=on_epoch, device=run.device)
    model.eval()
    return history


@torch.inference_mode()
def predict_adapted(model: AdaptedModel, units: AdaptedUnits, *, draw: int = 0, device: str = "auto") -> Tensor:
    """Logits [unit, output] on the CPU, in evaluation mode, from ``draw`` (modulo the draws) of the slides."""
    where = choose_device(device)
    model.to(where).eval()
    slides = torch.as_tensor(units.slides[draw % len(units.slides)], dtype=torch.float32)
    return model(slides.to(where), torch.as_tensor(units.genes, dtype=torch.float32).to(where)).cpu()


class _Run:
    """One training under way."""

    def __init__(
        self,
        model: AdaptedModel,
        units: AdaptedUnits,
        loss_of: LossOf,
        settings: AdaptationSettings,
        device: torch.device,
    ) -> None:
        self.model, self.loss_of, self.settings, self.device = model.to(device), loss_of, settings, device
        self.slides = torch.as_tensor(units.slides, dtype=torch.float32).to(device)
        self.genes = torch.as_tensor(units.genes, dtype=torch.float32).to(device)
        head = {"params": list(model.head.parameters()), "lr": settings.learning_rate}
        embedding = {"params": list(model.network.rna_embedding().parameters()), "lr": settings.embedding_learning_rate}
        head["weight_decay"], embedding["weight_decay"] = settings.weight_decay, settings.embedding_weight_decay
        self.optimizer = torch.optim.Adam([head, embedding], fused=True)

    def epoch(self, epoch: int) -> float:
        """Train one epoch; returns its mean loss."""
        self.model.train(self.settings.dropout)
        slides, total, seen = self.slides[epoch % len(self.slides)], 0.0, 0
        for step, rows in enumerate(self._batches(epoch)):
            torch.manual_seed(step_seed(self.settings.seed, epoch, step))
            there = rows.to(self.device)
            loss = self.loss_of(self.model(slides[there], self.genes[there]).cpu(), rows)
            if not torch.isfinite(loss):
                message = (
                    f"adaptation stopped: the loss is not finite at epoch {epoch + 1}, step {step + 1}; lower "
                    "embedding_learning_rate or the probe's learning rate, or look for extreme expression values"
                )
                raise MirrorflowError(message)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            total, seen = total + float(loss.detach()) * len(rows), seen + len(rows)
        return total / seen

    def _batches(self, epoch: int) -> list[Tensor]:
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(len(self.genes))
        slices = batch_slices(len(order), self.settings.batch_size, drop_last=self.settings.drop_last)
        return [torch.from_numpy(order[batch]) for batch in slices]
