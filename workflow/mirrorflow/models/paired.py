"""What every network that is pretrained on paired slides and RNA offers; training and embedding know no more."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn


class PairedSettings(Protocol):
    """What training reads from a network's settings."""

    @property
    def patch_dim(self) -> int:
        """Width of a patch's features."""

    @property
    def width(self) -> int:
        """Width of the embeddings."""

    @property
    def tokens(self) -> int:
        """Patches of a full bag."""


@dataclass(frozen=True)
class PairedOutput:
    """Embeddings [batch, width]; aligned_*: what InfoNCE compares [batch, width], with tau, a scalar."""

    slide: Tensor
    rna: Tensor
    aligned_slide: Tensor | None = None
    aligned_rna: Tensor | None = None
    tau: Tensor | None = None


class PairedNetwork(nn.Module, ABC):
    """A slide encoder and an RNA encoder that are trained together without labels.

    Patch features are standardised with ``patch_mean`` and ``patch_sd`` [feature], buffers that travel with
    the weights (0 and 1, i.e. nothing, unless :meth:`scale_patches` set them).
    """

    patch_mean: Tensor
    patch_sd: Tensor

    def __init__(self, settings: PairedSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("patch_mean", torch.zeros(settings.patch_dim))
        self.register_buffer("patch_sd", torch.ones(settings.patch_dim))

    @abstractmethod
    def forward(
        self,
        patches: Tensor,
        genes: Tensor,
        *,
        counts: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> PairedOutput:
        """One pretraining pass over patches [batch, patch, feature] and expression [batch, gene].

        ``counts`` [batch]: how many leading patches of each bag are real (None: all). ``generator`` draws
        what the network draws; it lives on the tensors' device.
        """

    @abstractmethod
    def loss_terms(self, output: PairedOutput, patients: Tensor | None = None) -> dict[str, Tensor]:
        """The unweighted terms of the objective, by name; ``patients`` [batch], a number each."""

    @abstractmethod
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term as it enters the total."""

    @abstractmethod
    def encode(self, patches: Tensor, genes: Tensor, *, counts: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Slide and RNA vector, each [batch, width]: the representation downstream tasks use."""

    @abstractmethod
    def align(self, slide: Tensor, rna: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [batch, width] in the space in which InfoNCE compares them."""

    def tau(self) -> float:
        """Inverse temperature of InfoNCE; NaN where nothing is aligned."""
        return float("nan")

    def looks_at_the_batch(self) -> bool:
        """True where a unit's embedding depends on the units beside it, even in evaluation mode."""
        return False

    def prepare_step(self) -> None:
        """Called before each optimisation step."""

    def heavy_blocks(self) -> Iterator[nn.Module]:
        """Submodules whose activations fill the memory."""
        yield from ()

    def scale_patches(self, mean: Tensor, sd: Tensor) -> None:
        """Standardise patch features from now on with ``mean`` and ``sd`` [feature] of training patches."""
        self.patch_mean.copy_(mean)
        self.patch_sd.copy_(sd)

    def _scaled(self, patches: Tensor) -> Tensor:
        return (patches - self.patch_mean) / self.patch_sd


def total_loss(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """The weighted sum of the terms that are there."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
