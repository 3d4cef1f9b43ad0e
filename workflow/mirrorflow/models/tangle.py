"""TANGLE (Jaume et al., CVPR 2024): ABMIL over patches and an MLP over genes, aligned by symmetric InfoNCE.

Layers and training are those of its public code, at the width of its pan-cancer variant (its BRCA and NSCLC variant has
layers over the genes as wide as there are genes): 11,410,945 parameters at 768 features and 10,234 genes, and 9.69
GFLOPs a sample, both as MIRROR's paper has them. RNA vectors downstream are MIRROR's paper's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.config.fidelity import Layer
from mirrorflow.config.fields import NULL, number, positive, same, setting, switch
from mirrorflow.config.training_settings import PairedShape, PretrainSettings, Schedule
from mirrorflow.models.draws import Draws
from mirrorflow.models.paired import PairedNetwork, PairedOutput
from mirrorflow.models.seam import PatchWeights


@dataclass(frozen=True)
class TangleSettings(PairedShape):
    """Everything that shapes the network."""

    VERSION: ClassVar[int] = 2

    temperature: float = positive(
        "TANGLE: temperature of its InfoNCE (MIRROR learns its own).", 0.01, origin="published"
    )
    attention_dropout: float = number(
        "TANGLE: dropout after tanh and after sigmoid of its attention.",
        0.25,
        minimum=0,
        exclusiveMaximum=1,
        origin="published",
    )
    rna_norm: bool = switch("TANGLE: LayerNorm in its layers over the genes.", True, origin="published")
    rna_dropout: float | None = setting(
        "TANGLE: dropout of its layers over the genes; null - as `dropout`.",
        0.2,
        origin="published",
        anyOf=[{"type": "number", "minimum": 0, "exclusiveMaximum": 1}, NULL],
    )


@dataclass(frozen=True)
class TangleTraining(PretrainSettings):
    """How its public code pretrains it; what the config's section ``pretrain`` names stands on top."""

    batch_size: int = same(PretrainSettings, "batch_size", unset=64)
    learning_rate: float = same(PretrainSettings, "learning_rate", unset=1e-4)
    weight_decay: float = same(PretrainSettings, "weight_decay", unset=0.01)
    schedule: Schedule = same(PretrainSettings, "schedule", unset="cosine")
    warmup_epochs: int = same(PretrainSettings, "warmup_epochs", unset=5)
    replacement: bool = same(PretrainSettings, "replacement", unset=True)
    kept_epoch: Literal["protocol", "smooth_rank"] = same(PretrainSettings, "kept_epoch", unset="smooth_rank")


class GatedAttentionPool(nn.Module):
    """Attention-based pooling with a gate (Ilse et al. 2018, Eq. 9): one weight a patch, one vector a bag.

    ``dropout`` is drawn after tanh and after sigmoid.
    """

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.content = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.score = nn.Linear(width, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, counts: Tensor | None = None) -> Tensor:
        """Tokens [batch, patch, width] -> [batch, width]; only the first ``counts[i]`` of bag i weigh."""
        return (self.weights(tokens, counts).mT @ tokens)[:, 0]

    def weights(self, tokens: Tensor, counts: Tensor | None = None) -> Tensor:
        """The weight of each token [batch, patch, 1]."""
        content, gate = self.content(tokens).tanh(), self.gate(tokens).sigmoid()
        scores = self.score(self.dropout(content) * self.dropout(gate))
        if counts is not None:
            place = torch.arange(tokens.shape[1], device=tokens.device)
            padding = place >= counts.to(tokens.device)[:, None]
            scores = scores.masked_fill(padding[..., None], float("-inf"))
        return scores.softmax(dim=1)


class Tangle(PairedNetwork):
    """The pretraining network; :meth:`encode` is what downstream tasks keep of it, which is all."""

    settings: TangleSettings
    inverse_temperature: Tensor

    def __init__(self, settings: TangleSettings) -> None:
        super().__init__(settings)
        s = settings
        self.register_buffer("inverse_temperature", torch.tensor(1 / s.temperature), persistent=False)
        self.embed = nn.Sequential(*_layer(s.patch_dim, s.width, s.dropout), *_layer(s.width, s.width, s.dropout))
        self.pool = GatedAttentionPool(s.width, s.attention_dropout)
        self.rna_encoder = nn.Sequential(
            *_rna_layer(s.gene_count, s), *_rna_layer(s.width, s), nn.Linear(s.width, s.width)
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

    def patch_weights(self, patches: Tensor, *, counts: Tensor | None = None) -> list[PatchWeights]:
        """The gated attention of the pooling."""
        weights = self.pool.weights(self.embed(self._scaled(patches)), counts)[..., 0]
        said = "the gated attention that pools the bag, one head, a softmax over its patches"
        return [PatchWeights("attention", weights, said)]

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


def _rna_layer(inputs: int, s: TangleSettings) -> list[nn.Module]:
    norm = [nn.LayerNorm(s.width)] if s.rna_norm else []
    return [nn.Linear(inputs, s.width), *norm, nn.ReLU(), nn.Dropout(_of_rna(s))]


def _of_rna(s: TangleSettings) -> float:
    return s.dropout if s.rna_dropout is None else s.rna_dropout


SETTINGS, NETWORK, TRAIN = TangleSettings, Tangle, TangleTraining

LAYERS = (
    Layer(
        "patch embedding",
        "twice: linear to the features' width (768), LayerNorm, GELU, dropout 0.1",
        "twice: linear to {width}, LayerNorm, GELU, dropout {dropout}",
        "features of another width (ResNet-50: 1,024) end at the width of the RNA vectors, too",
    ),
    Layer(
        "pooling",
        "gated attention, one head, hidden width 768, dropout 0.25 after tanh and after sigmoid",
        "gated attention, one head, hidden width {width}, dropout {attention_dropout}",
    ),
    Layer(
        "expression",
        "twice: linear, LayerNorm, ReLU, dropout 0.2; then linear; hidden width 768 (v2) or the number of genes",
        "twice: linear to {width}, LayerNorm, ReLU, dropout {rna_dropout}; then linear",
        "768 gives the 11.41 M parameters of MIRROR's paper; the number of genes would give over 200 M",
    ),
    Layer("objective", "InfoNCE both ways on unit vectors at temperature 0.01", "the same, temperature {temperature}"),
    Layer("start", "torch's own"),
    Layer("patches of a step", "2,048 with replacement, from every bag", "{tokens} with replacement, from every bag"),
    Layer(
        "batch",
        "64, the last incomplete one kept",
        "{batch_size}, the last incomplete one kept; one of a single unit joins the one before",
        "a batch of one has no negative",
    ),
    Layer(
        "optimiser",
        "AdamW at 1e-4, weight decay 0.01 (AdamW's own; its option is not used)",
        "AdamW at {learning_rate}, weight decay {weight_decay}",
    ),
    Layer(
        "schedule",
        "5 warm-up epochs (the sixth stays at the rate), a cosine to 1e-8, 100 epochs",
        "{warmup_epochs} warm-up epochs, a cosine to 0, {epochs} epochs",
        "one schedule for all methods; its cosine begins an epoch later and ends before it is through",
    ),
    Layer(
        "epoch that is kept",
        "that of the highest smooth rank of the training slides' embeddings, made after each step",
        "the same (`kept_epoch: {kept_epoch}`)",
    ),
    Layer(
        "downstream",
        "slide vectors of all patches",
        "slide and RNA vectors, the slide's of {tokens} drawn patches",
        "MIRROR's paper probes both vectors; its own draw is taken for both methods",
    ),
)
