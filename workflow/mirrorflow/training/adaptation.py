"""Adapting a pretrained network to another cohort: a new RNA embedding and a linear head are trained, nothing else.

MIRROR, Sec. V-B: encoders frozen, "the embedding layer together with a linear classifier" trained. The slide encoder
takes no part in training, so slides come as vectors computed once; every draw (order, dropout) follows from
(seed, epoch, step) alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from mirrorflow.errors import InputError
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.models.seam import Batch, Objective, Output, Progress, TargetTensors
from mirrorflow.training.batches import batch_slices
from mirrorflow.training.devices import Arithmetic, choose_device, guarded
from mirrorflow.training.seeds import seed_torch, step_seed
from mirrorflow.training.settings import AdaptationSettings
from mirrorflow.training.trainer import Check, Course, Group, Judge, Trainer, descend

PREDICTION_FULL = (
    "the GPU's memory is full while an adapted model predicts, and while it predicts half of the units: other "
    "processes fill it; let fewer jobs share the GPU, or set CUDA_VISIBLE_DEVICES to nothing"
)


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


@dataclass(frozen=True)
class AdaptedTargets:
    """Units to adapt to, their targets [unit], and what is minimised."""

    units: AdaptedUnits
    targets: TargetTensors
    objective: Objective


def train_adapted(
    model: AdaptedModel,
    labelled: AdaptedTargets,
    settings: AdaptationSettings,
    *,
    label: str = "adaptation",
    judge: Judge | None = None,
    device: str = "auto",
) -> Trainer:
    """Train the RNA embedding and the head of ``model`` in place; the trainer has history and kept epoch.

    Raises InputError for no unit, MirrorflowError naming the epoch when the loss is not finite.
    """
    if not len(labelled.units):
        message = f"{label}: no training unit"
        raise InputError(message)
    training = _Adaptation(model, labelled, settings, choose_device(device))
    trainer = Trainer(training, Course(settings.epochs, len(training.order(0))), judge)
    trainer.fit()
    return trainer


@torch.inference_mode()
def predict_adapted(model: AdaptedModel, units: AdaptedUnits, *, draw: int = 0, device: str = "auto") -> Tensor:
    """Logits [unit, output] on the CPU, in evaluation mode, from ``draw`` (modulo the draws) of the slides."""
    where = choose_device(device)
    model.to(where).eval()
    slides = torch.as_tensor(units.slides[draw % len(units.slides)], dtype=torch.float32)
    genes = torch.as_tensor(units.genes, dtype=torch.float32)

    def logits(parts: int) -> Tensor:
        pairs = zip(slides.chunk(parts), genes.chunk(parts), strict=True)
        return torch.cat([model(some.to(where), theirs.to(where)).cpu() for some, theirs in pairs])

    with Arithmetic(where).autocast():
        return guarded(partial(logits, 1), lambda: PREDICTION_FULL, partial(logits, 2))


class _Adaptation:
    """One training under way, in float32."""

    def __init__(
        self,
        model: AdaptedModel,
        labelled: AdaptedTargets,
        settings: AdaptationSettings,
        device: torch.device,
    ) -> None:
        self.network: AdaptedModel = model.to(device)
        self.objective, self.settings, self.device = labelled.objective, settings, device
        self.slides = torch.as_tensor(labelled.units.slides, dtype=torch.float32).to(device)
        self.genes = torch.as_tensor(labelled.units.genes, dtype=torch.float32).to(device)
        self.targets = labelled.targets.to(device)

    def groups(self) -> list[Group]:
        """The head, and the new RNA embedding."""
        settings, embedding = self.settings, self.network.network.rna_embedding()
        return [
            Group(list(self.network.head.parameters()), settings.learning_rate, settings.weight_decay),
            Group(list(embedding.parameters()), settings.embedding_learning_rate, settings.embedding_weight_decay),
        ]

    def train_mode(self) -> None:
        """The frozen encoder draws dropout where the settings say so."""
        self.network.train(self.settings.dropout)

    def order(self, epoch: int) -> list[Tensor]:
        """Rows of each batch of an epoch."""
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(len(self.genes))
        slices = batch_slices(len(order), self.settings.batch_size, drop_last=self.settings.drop_last)
        return [torch.from_numpy(order[batch]) for batch in slices]

    def batches(self, epoch: int) -> Iterator[Tensor]:
        """As :meth:`order`."""
        return iter(self.order(epoch))

    def backward(self, batch: Tensor, at: Progress, check: Check) -> tuple[dict[str, float], int]:
        """Epoch e sees draw e of the slides modulo the draws."""
        seed_torch(step_seed(self.settings.seed, at.epoch, at.step), self.device)
        rows = batch.to(self.device)
        genes = self.genes[rows]
        with Arithmetic(self.device).autocast():
            logits = self.network(self.slides[at.epoch % len(self.slides)][rows], genes)
        out = Output(logits)
        seen = Batch(
            genes.new_zeros(len(rows), 0, 0), rows.new_zeros(len(rows), 0).bool(), genes, self.targets.of(rows)
        )
        terms = self.objective.terms(out, seen, at)
        values = descend(terms, self.objective.weights(at), check)
        return values, len(rows)

    def stepped(self, batch: Tensor) -> None:
        """Nothing follows a step."""

    def measures(self) -> dict[str, float]:
        """Nothing of its own."""
        return {}

    def not_finite(self, batch: Tensor, at: Progress, values: Mapping[str, float]) -> str:
        """What to lower."""
        return (
            f"adaptation stopped: the loss is not finite at epoch {at.epoch + 1}, step {at.step + 1}; lower "
            "embedding_learning_rate or the probe's learning rate, or look for extreme expression values"
        )

    def out_of_memory(self) -> str:
        """What to lower."""
        return f"the GPU's memory is full at batch_size {self.settings.batch_size}; lower probe.batch_size"

    def need_less(self) -> bool:
        """No part of it can be left out."""
        return False
