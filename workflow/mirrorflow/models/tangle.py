"""TANGLE (Jaume et al., CVPR 2024): ABMIL over patches and an MLP over genes, aligned by symmetric InfoNCE.

What is published: the parts, hidden and embedding width 768, one attention head, temperature 0.01, 2,048
patches a step; MIRROR's paper adds 11.41 M parameters and 9.69 GFLOPs a sample, and RNA vectors downstream.
Inferred: two layers before the attention, a gate as wide as the rest, three layers over the genes. This shape
gives both numbers; others might.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.config.fields import positive
from mirrorflow.config.training_settings import PairedShape
from mirrorflow.models.draws import Draws
from mirrorflow.models.paired import PairedNetwork, PairedOutput


@dataclass(frozen=True)
class TangleSettings(PairedShape):
    """Everything that shapes the network."""

    temperature: float = positive(
        "TANGLE: temperature of its InfoNCE (MIRROR learns its own).", 0.01, origin="published"
    )


class GatedAttentionPool(nn.Module):
    """Attention-based pooling with a gate (Ilse et al. 2018, Eq. 9): one weight a patch, one vector a bag."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.content = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.score = nn.Linear(width, 1)

    def forward(self, tokens: Tensor, counts: Tensor | None = None) -> Tensor:
        """Tokens [batch, patch, width] -> [batch, width]; only the first ``counts[i]`` of bag i weigh."""
        scores = self.score(self.content(tokens).tanh() * self.gate(tokens).sigmoid())
        if counts is not None:
            place = torch.arange(tokens.shape[1], device=tokens.device)
            padding = place >= counts.to(tokens.device)[:, None]
            scores = scores.masked_fill(padding[..., None], float("-inf"))
        return (scores.softmax(dim=1).mT @ tokens)[:, 0]


class Tangle(PairedNetwork):
    """The pretraining network; :meth:`encode` is what downstream tasks keep of it, which is all."""

    settings: TangleSettings
    inverse_temperature: Tensor

    def __init__(self, settings: TangleSettings) -> None:
        super().__init__(settings)
        s = settings
        self.register_buffer("inverse_temperature", torch.tensor(1 / s.temperature), persistent=False)
        self.embed = nn.Sequential(*_layer(s.patch_dim, s.width, s.dropout), *_layer(s.width, s.width, s.dropout))
        self.pool = GatedAttentionPool(s.width)
        self.rna_encoder = nn.Sequential(
            nn.Linear(s.gene_count, s.width),
            nn.ReLU(),
            nn.Dropout(s.dropout),
            nn.Linear(s.width, s.width),
            nn.ReLU(),
            nn.Dropout(s.dropout),
            nn.Linear(s.width, s.width),
        )

    def forward(
        self,
        patches: Tensor,
        genes: Tensor,
        *,
        counts: Tensor | None = None,
        generator: Draws = None,
    ) -> PairedOutput:
        """One pretraining pass; nothing is drawn but dropout."""
        slide, rna = self.encode(patches, genes, counts=counts)
        return PairedOutput(slide, rna, *self.align(slide, rna), self.tau_tensor())

    def unit_terms(self, output: PairedOutput) -> dict[str, Tensor]:
        """None: InfoNCE is all there is."""
        return {}

    def term_names(self) -> list[str]:
        """InfoNCE alone."""
        return ["alignment"]

    def encoders(self) -> Iterator[nn.Module]:
        """The layers before the pooling, the pooling, and those over the genes."""
        yield from (self.embed, self.pool, self.rna_encoder)

    def loss_weights(self) -> dict[str, float]:
        """One term, as it is."""
        return {"alignment": 1.0}

    def encode_slides(self, patches: Tensor, *, counts: Tensor | None = None) -> Tensor:
        """Pooled patches."""
        return self.pool(self.embed(self._scaled(patches)), counts)

    def encode_rna(self, genes: Tensor) -> Tensor:
        """Of the three layers over the genes."""
        return self.rna_encoder(genes)

    def rna_embedding(self) -> nn.Module:
        """The first of the three layers: the only one whose shape the genes decide."""
        return self.rna_encoder[0]

    def align(self, slide: Tensor, rna: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors [batch, width]: TANGLE compares the embeddings themselves."""
        return F.normalize(slide, dim=1), F.normalize(rna, dim=1)

    def tau_tensor(self) -> Tensor:
        """Fixed: the inverse of the temperature."""
        return self.inverse_temperature


def _layer(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.GELU(), nn.Dropout(dropout)]


SETTINGS, NETWORK = TangleSettings, Tangle
