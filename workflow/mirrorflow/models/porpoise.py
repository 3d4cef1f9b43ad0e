"""PORPOISE: slides and expression fused by a Kronecker product (Chen et al., Cancer Cell 2022, STAR Methods).

Slides: attention-based MIL (Ilse et al. 2018, Eq. 7, 9). Expression: a self-normalising network (Klambauer et al.
2017). Fusion: each modality's vector is gated by both, a 1 is appended, and the outer product of the two holds every
single and pairwise term (as in the group's Pathomic Fusion); the vectors themselves join again before the head. An L1
penalty keeps the expression network, in the public code also the fusion, sparse. The paper accumulates gradients over
single slides; here a batch is padded and masked, which is the same sum. ``form: public`` has the layers of the authors'
code, ``before-1.0`` those of this project before it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mirrorflow.config.fidelity import Layer
from mirrorflow.config.fields import COUNT, NULL, Settings, count, number, same, setting
from mirrorflow.config.training_settings import Form, Layers
from mirrorflow.models.layers import GatedAttentionPooling, PatchEmbedding, SelfNormalizing
from mirrorflow.models.seam import Batch, Output, Progress
from mirrorflow.models.supervised import Sizes, SupervisedNetwork


@dataclass(frozen=True)
class PorpoiseSettings(Settings):
    """Sizes of the network, and its penalty."""

    VERSION: ClassVar[int] = 2

    width: int = count("width of each modality's vector.", 256, origin="published")
    patch_width: int | None = setting(
        "width of the patches' tokens, brought to `width` after pooling; null - tokens of `width`, no layer after it.",
        512,
        origin="published",
        anyOf=[COUNT, NULL],
    )
    attention_width: int = count("hidden width of the gated attention.", 256, origin="published")
    fusion_width: int = count("width of each modality in the Kronecker product.", 32, origin="published")
    dropout: float = number(
        "dropout (alpha dropout in self-normalising layers).", 0.25, minimum=0, exclusiveMaximum=1, origin="published"
    )
    l1: float = number(
        "L1 penalty on the expression network and the fusion (before-1.0: on the former alone).",
        0.00001,
        minimum=0,
        origin="published",
    )
    form: Form = same(Layers, "form")


class GatedFusion(nn.Module):
    """Two vectors [batch, width] to one [batch, width]: gating and an outer product, both ``fusion_width`` wide."""

    def __init__(self, width: int, fusion_width: int, dropout: float) -> None:
        super().__init__()
        self.contents = nn.ModuleList(nn.Sequential(nn.Linear(width, fusion_width), nn.ReLU()) for _ in range(2))
        self.gates = nn.ModuleList(nn.Linear(2 * width, fusion_width) for _ in range(2))
        self.outs = nn.ModuleList(
            nn.Sequential(nn.Linear(fusion_width, fusion_width), nn.ReLU(), nn.Dropout(dropout)) for _ in range(2)
        )
        self.joined = nn.Sequential(nn.Dropout(dropout), nn.Linear((fusion_width + 1) ** 2, width), nn.ReLU())
        self.last = nn.Sequential(nn.Linear(3 * width, width), nn.ReLU())

    def forward(self, slide: Tensor, rna: Tensor) -> Tensor:
        """Fuse the modalities' vectors."""
        both = torch.cat([slide, rna], dim=1)
        one, other = (
            out(torch.sigmoid(gate(both)) * content(vector))
            for gate, content, out, vector in zip(self.gates, self.contents, self.outs, (slide, rna), strict=True)
        )
        return self.last(torch.cat([self.joined(outer_product(one, other)), slide, rna], dim=1))


class WideGatedFusion(nn.Module):
    """As :class:`GatedFusion`, before 1.0: gates as wide as the vectors, dropout behind the layers."""

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
        return self.last(torch.cat([self.joined(outer_product(one, other)), slide, rna], dim=1))


def outer_product(one: Tensor, other: Tensor) -> Tensor:
    """Every single and pairwise term of two vectors [batch, width], a 1 appended to each: [batch, (width + 1)^2]."""
    one, other = (torch.cat([part, torch.ones_like(part[:, :1])], dim=1) for part in (one, other))
    return (one[:, :, None] * other[:, None, :]).flatten(1)


class Porpoise(SupervisedNetwork):
    """AMIL and SNN, Kronecker fusion, linear head."""

    embeds_first = True

    def __init__(self, sizes: Sizes, settings: PorpoiseSettings) -> None:
        super().__init__(sizes, settings.width)
        width, dropout, public = settings.width, settings.dropout, settings.form == "public"
        tokens = settings.patch_width or width
        self.embed = PatchEmbedding(sizes.patch_dim, tokens, dropout)
        self.pool = GatedAttentionPooling(tokens, settings.attention_width, dropout)
        self.narrow = nn.Identity() if settings.patch_width is None else PatchEmbedding(tokens, width, dropout)
        self.genes = nn.Sequential(
            SelfNormalizing(sizes.gene_count, width, dropout, scaled=not public),
            SelfNormalizing(width, width, dropout, scaled=not public),
        )
        fusion = GatedFusion if public else WideGatedFusion
        self.fuse = fusion(width, settings.fusion_width, dropout)
        self.head = nn.Linear(width, sizes.outputs)
        self.l1, self.sparse = settings.l1, [self.genes, self.fuse] if public else [self.genes]

    def output(self, batch: Batch) -> Output:
        """Logits of bags and expression, and the attention among patches."""
        pooled, attention = self.pool(self.embed(batch.patches), batch.mask)
        return Output(self.head(self.fuse(self.narrow(pooled), self.genes(batch.genes))), attention)

    def terms(self, out: Output, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """L1 norm of the parts that are kept sparse, times ``l1``; no term where that is 0."""
        if not self.l1:
            return {}
        norms = (weight.abs().sum() for part in self.sparse for weight in part.parameters())
        return {"l1": self.l1 * sum(norms, start=batch.genes.new_zeros(()))}


def build(sizes: Sizes, **settings: Any) -> Porpoise:
    """A PORPOISE network of these :class:`PorpoiseSettings`."""
    return Porpoise(sizes, PorpoiseSettings(**settings))


SETTINGS = PorpoiseSettings

LAYERS = (
    Layer("patch embedding", "linear to 512, ReLU, dropout 0.25", "linear to {patch_width}, ReLU, dropout {dropout}"),
    Layer("input dropout", "0 in its command, 0.1 in its class", "none", "the two differ; the command's is taken"),
    Layer(
        "pooling",
        "gated attention of hidden width 256, dropout 0.25 after tanh and after sigmoid",
        "gated attention of hidden width {attention_width}, dropout {dropout} after tanh and after sigmoid",
    ),
    Layer("after pooling", "linear 512 to 256, ReLU, dropout 0.25", "linear to {width}, ReLU, dropout {dropout}"),
    Layer("expression", "two blocks of linear to 256, ELU, alpha dropout 0.25", "the same, width {width}"),
    Layer(
        "fusion",
        "contents and gates of width 32 (content: linear, ReLU; gate: linear of both vectors, sigmoid), their product "
        "through linear, ReLU, dropout; a 1 appended to each; outer product; dropout; linear to 256 and ReLU; joined "
        "with both vectors, linear to 256 and ReLU",
        "the same, of width {fusion_width}; gates and skip are switched on",
        "its command can switch gates and skip off; the paper has them",
    ),
    Layer(
        "penalty",
        "L1 times 1e-5 on all weights and biases of expression network and fusion, added unscaled for each of 32 "
        "slides of a step",
        "L1 times {l1}, once a step",
        "the loss of a step is a mean over its slides; times 32 would be 3.2e-4",
    ),
    Layer("start", "torch's own everywhere"),
    Layer(
        "training",
        "Adam at 2e-4 with an L2 penalty of 1e-5, 20 epochs, one slide at a time, gradients over 32, classes drawn "
        "alike",
        "as every method trained on labels",
        "one training for all, so that the networks are what is compared; `train` sets others",
    ),
)
