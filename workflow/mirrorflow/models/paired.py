"""What every network that is pretrained on paired slides and RNA offers; training and embedding know no more."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from mirrorflow.models.draws import Draws
from mirrorflow.models.losses import alignment_loss
from mirrorflow.models.seam import PatchWeights


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

    @property
    def same_patient_negatives(self) -> Literal["keep", "drop"]:
        """Whether units of one patient are negatives of each other in InfoNCE."""


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
        generator: Draws = None,
    ) -> PairedOutput:
        """One pretraining pass over patches [batch, patch, feature] and expression [batch, gene].

        ``counts`` [batch]: how many leading patches of each bag are real (None: all). ``generator`` draws
        what the network draws; it lives on the tensors' device.
        """

    @abstractmethod
    def unit_terms(self, output: PairedOutput) -> dict[str, Tensor]:
        """The unweighted terms of the objective that are means over units: all but InfoNCE."""

    @abstractmethod
    def loss_weights(self) -> dict[str, float]:
        """Weight of each term, ``alignment`` (InfoNCE) among them, as it enters the total."""

    @abstractmethod
    def term_names(self) -> list[str]:
        """The terms that are switched on, in the order of the history."""

    @abstractmethod
    def encode_slides(self, patches: Tensor, *, counts: Tensor | None = None) -> Tensor:
        """Slide vectors [batch, width] of patches [batch, patch, feature]."""

    def patch_weights(self, patches: Tensor, *, counts: Tensor | None = None) -> list[PatchWeights]:
        """Where the weight lies among the patches of slide vectors, the main kind first; arguments as those of
        :meth:`encode_slides`.
        """
        return []

    @abstractmethod
    def encode_rna(self, genes: Tensor) -> Tensor:
        """RNA vectors [batch, width] of expression [batch, gene]."""

    @abstractmethod
    def rna_embedding(self) -> nn.Module:
        """The layers of the RNA encoder that depend on which genes there are: what adaptation trains anew."""

    def encode(self, patches: Tensor, genes: Tensor, *, counts: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Slide and RNA vector, each [batch, width]: the representation downstream tasks use."""
        return self.encode_slides(patches, counts=counts), self.encode_rna(genes)

    @abstractmethod
    def align(self, slide: Tensor, rna: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [batch, width] in the space in which InfoNCE compares them."""

    @abstractmethod
    def tau_tensor(self) -> Tensor | None:
        """Inverse temperature of InfoNCE, a scalar; None where nothing is aligned."""

    def tau(self) -> float:
        """Inverse temperature of InfoNCE as a number; NaN where nothing is aligned."""
        tau = self.tau_tensor()
        return float("nan") if tau is None else float(tau.detach())

    def loss_terms(self, output: PairedOutput, patients: Tensor | None = None) -> dict[str, Tensor]:
        """The unweighted terms of the objective, by name; ``patients`` [batch], a number each."""
        terms = {}
        if output.aligned_slide is not None and output.aligned_rna is not None and output.tau is not None:
            aligned = (output.aligned_slide, output.aligned_rna)
            terms["alignment"] = self.alignment_term(*aligned, output.tau, patients)
        return terms | self.unit_terms(output)

    def alignment_term(self, slide: Tensor, rna: Tensor, tau: Tensor, patients: Tensor | None) -> Tensor:
        """Symmetric InfoNCE of aligned vectors [batch, width]; same-patient negatives by setting."""
        return alignment_loss(slide, rna, tau, patients if self.settings.same_patient_negatives == "drop" else None)

    def looks_at_padding(self) -> bool:
        """True where a unit's embedding depends on how far its bag is padded, even in evaluation mode."""
        return False

    def prepare_step(self) -> None:
        """Called before each optimisation step."""

    def finish_step(self) -> None:
        """Called after each optimisation step."""

    def judged(self, *, sampled: bool) -> None:
        """Evaluation mode, for losses of units left out; ``sampled``: what is no dropout is drawn all the same."""
        self.eval()

    def heavy_blocks(self) -> Iterator[nn.Module]:
        """Submodules whose activations fill the memory, and that follow an attribute ``checkpointing``."""
        yield from ()

    @abstractmethod
    def encoders(self) -> Iterator[nn.Module]:
        """The submodules that do most of the work."""

    def scale_patches(self, mean: Tensor, sd: Tensor) -> None:
        """Standardise patch features from now on with ``mean`` and ``sd`` [feature] of training patches."""
        self.patch_mean.copy_(mean)
        self.patch_sd.copy_(sd)

    def _scaled(self, patches: Tensor) -> Tensor:
        return (patches - self.patch_mean) / self.patch_sd


def total_loss(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """The weighted sum of the terms that are there."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()
