"""PORPOISE: slides and expression fused by a Kronecker product (Chen et al., Cancer Cell 2022, STAR Methods).

Slides: attention-based MIL (Ilse et al. 2018, Eq. 7, 9). Expression: a self-normalising network (Klambauer et
al. 2017) with an L1 penalty on its weights. Fusion: each modality's vector is gated by both, a 1 is appended,
and the outer product of the two holds every single and pairwise term (as in the group's Pathomic Fusion); the
vectors themselves join again before the head. The paper accumulates gradients over single slides; here a batch is
padded and masked, which is the same sum.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mirrorflow.config.fields import Settings, count, number
from mirrorflow.models.layers import GatedAttentionPooling, PatchEmbedding, SelfNormalizing
from mirrorflow.models.seam import Batch, Output, Progress
from mirrorflow.models.supervised import Sizes, SupervisedNetwork


@dataclass(frozen=True)
class PorpoiseSettings(Settings):
    """Sizes of the network, and the penalty on its expression part."""

    width: int = count("width of the tokens.", 256, origin="ours")
    attention_width: int = count("hidden width of the gated attention.", 256, origin="ours")
    fusion_width: int = count("width of each modality in the Kronecker product.", 32, origin="ours")
    dropout: float = number(
        "dropout (alpha dropout in self-normalising layers).", 0.25, minimum=0, exclusiveMaximum=1, origin="ours"
    )
    l1: float = number("L1 penalty on the weights of the expression network.", 0.0001, minimum=0, origin="ours")


class KroneckerFusion(nn.Module):
    """Two vectors [batch, width] to one [batch, width] by gating and an outer product of ``fusion_width`` each."""

    def __init__(self, width: int, fusion_width: int, dropout: float) -> None:
        super().__init__()
        self.gates = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(2))
        self.contents = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.outs = nn.ModuleList(
            nn.Sequential(nn.Linear(width, fusion_width), nn.ReLU(), nn.Dropout(dropout)) for _ in range(2)
        )
        self.joined = nn.Sequential(nn.Linear((fusion_width + 1) ** 2, width), nn.ReLU(), nn.Dropout(dropout))
        self.last = nn.Sequential(nn.Linear(3 * width, width), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, slide: Tensor, rna: Tensor) -> Tensor:
        """Fuse the modalities' vectors."""
        both = torch.cat([slide, rna], dim=1)
        one, other = (
            out(torch.sigmoid(gate(both)) * torch.relu(content(vector)))
            for gate, content, out, vector in zip(self.gates, self.contents, self.outs, (slide, rna), strict=True)
        )
        one, other = (torch.cat([part, torch.ones_like(part[:, :1])], dim=1) for part in (one, other))
        product = self.joined((one[:, :, None] * other[:, None, :]).flatten(1))
        return self.last(torch.cat([product, slide, rna], dim=1))


class Porpoise(SupervisedNetwork):
    """AMIL and SNN, Kronecker fusion, linear head."""

    def __init__(
        self, sizes: Sizes, width: int, attention_width: int, fusion_width: int, dropout: float, l1: float
    ) -> None:
        super().__init__(sizes, width)
        self.embed = PatchEmbedding(sizes.patch_dim, width, dropout)
        self.pool = GatedAttentionPooling(width, attention_width, dropout)
        self.genes = nn.Sequential(
            SelfNormalizing(sizes.gene_count, width, dropout), SelfNormalizing(width, width, dropout)
        )
        self.fuse = KroneckerFusion(width, fusion_width, dropout)
        self.head = nn.Linear(width, sizes.outputs)
        self.l1 = l1

    def output(self, batch: Batch) -> Output:
        """Logits of bags and expression, and the attention among patches."""
        pooled, attention = self.pool(self.embed(batch.patches), batch.mask)
        return Output(self.head(self.fuse(pooled, self.genes(batch.genes))), attention)

    def terms(self, out: Output, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """L1 norm of the expression network's weights, times ``l1``; no term where that is 0."""
        if not self.l1:
            return {}
        return {"l1": self.l1 * sum((p.abs().sum() for p in self.genes.parameters()), start=batch.genes.new_zeros(()))}


def build(
    sizes: Sizes,
    *,
    width: int,
    attention_width: int,
    fusion_width: int,
    dropout: float,
    l1: float,
) -> Porpoise:
    """A PORPOISE network; ``fusion_width`` is that of each modality in the outer product."""
    return Porpoise(sizes, width, attention_width, fusion_width, dropout, l1)


SETTINGS = PorpoiseSettings
