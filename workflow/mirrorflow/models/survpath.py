"""SurvPath: pathway tokens and patch tokens in a memory-efficient Transformer (Jaume et al., CVPR 2024).

Pathway tokens (Sec. 3.1): a self-normalising network of its own for each pathway's genes. Fusion (Sec. 3.3):
pathways attend to pathways and patches, patches attend to pathways only, so that the cost grows with the
number of patches, not with its square. Both kinds of tokens are then averaged and joined for the head. ``form:
public`` has the layers of the authors' code, ``before-1.0`` those of this project before it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.config.fidelity import Layer
from mirrorflow.config.fields import NULL, Settings, count, number, same, setting
from mirrorflow.config.training_settings import Form, Layers, Pathways
from mirrorflow.models.layers import PatchEmbedding, PathwayGenes, masked_mean, start_pathways
from mirrorflow.models.seam import Batch, Output, PatchWeights
from mirrorflow.models.supervised import Sizes, SupervisedNetwork


@dataclass(frozen=True)
class SurvPathSettings(Settings):
    """Sizes of the network."""

    VERSION: ClassVar[int] = 2

    width: int = count("width of the tokens.", 256, origin="published")
    dropout: float = number(
        "dropout (alpha dropout in self-normalising layers).", 0.25, minimum=0, exclusiveMaximum=1, origin="published"
    )
    feed_dropout: float | None = setting(
        "dropout of the feed-forward layer; null - as `dropout`.",
        0.1,
        origin="published",
        anyOf=[{"type": "number", "minimum": 0, "exclusiveMaximum": 1}, NULL],
    )
    form: Form = same(Layers, "form")


class PathwayTokens(nn.Module):
    """Expression to one token a pathway by two self-normalising layers each, all pathways at once.

    A pathway with few genes is padded with an input that is always 0; its weights start at 0 and get no
    gradient, so that padding changes nothing. ``scaled``: weights start from N(0, 1 / inputs), biases at 0; else each
    layer starts as torch starts a linear layer of its own size.
    """

    def __init__(self, sizes: Sizes, width: int, dropout: float, *, scaled: bool) -> None:
        super().__init__()
        sets = sizes.gene_sets
        self.genes = PathwayGenes(sets, sizes.gene_count)
        first = torch.zeros(len(sets), max(map(len, sets)), width)
        for row, genes in enumerate(sets):
            first[row, : len(genes)] = torch.randn(len(genes), width) * len(genes) ** -0.5
        self.first = nn.Parameter(first)
        self.first_bias = nn.Parameter(torch.zeros(len(sets), width))
        self.second = nn.Parameter(torch.randn(len(sets), width, width) * width**-0.5)
        self.second_bias = nn.Parameter(torch.zeros(len(sets), width))
        self.dropout = nn.AlphaDropout(dropout)
        if not scaled:
            start_pathways(self.first, self.first_bias, [len(genes) for genes in sets])
            bound = width**-0.5
            nn.init.uniform_(self.second, -bound, bound)
            nn.init.uniform_(self.second_bias, -bound, bound)

    def forward(self, genes: Tensor) -> Tensor:
        """Tokens [batch, pathway, width] of genes [batch, gene]."""
        hidden = self.dropout(F.elu(torch.bmm(self.genes(genes), self.first) + self.first_bias[:, None]))
        tokens = self.dropout(F.elu(torch.bmm(hidden, self.second) + self.second_bias[:, None]))
        return tokens.transpose(0, 1)


class SparseAttention(nn.Module):
    """Attention among pathways, and between pathways and patches; none among patches. One head, as published.

    Its output is ``inner`` wide, neither projected nor added to anything.
    """

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * inner, bias=False)

    def forward(self, pathways: Tensor, patches: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Mix pathways [batch, pathway, width] and patches [batch, patch, width]; ``mask`` True at real patches."""
        path_q, path_k, path_v = self.to_qkv(self.norm(pathways)).chunk(3, dim=-1)
        patch_q, patch_k, patch_v = self.to_qkv(self.norm(patches)).chunk(3, dim=-1)
        keys, values = torch.cat([path_k, patch_k], dim=1), torch.cat([path_v, patch_v], dim=1)
        seen = torch.cat([mask.new_ones(pathways.shape[:2]), mask], dim=1)[:, None, :]
        to_pathways = F.scaled_dot_product_attention(path_q, keys, values, attn_mask=seen)
        to_patches = F.scaled_dot_product_attention(patch_q, path_k, path_v)
        return to_pathways, to_patches

    def on_patches(self, pathways: Tensor, patches: Tensor, mask: Tensor) -> Tensor:
        """The weight [batch, patch] that pathways give each patch: a mean over pathways, 0 at padded patches."""
        path_q, path_k, _ = self.to_qkv(self.norm(pathways)).chunk(3, dim=-1)
        _, patch_k, _ = self.to_qkv(self.norm(patches)).chunk(3, dim=-1)
        scores = path_q @ torch.cat([path_k, patch_k], dim=1).mT * path_q.shape[-1] ** -0.5
        seen = torch.cat([mask.new_ones(pathways.shape[:2]), mask], dim=1)[:, None, :]
        shares = scores.float().masked_fill(~seen, float("-inf")).softmax(dim=-1)
        return shares[:, :, pathways.shape[1] :].mean(1)


class _Attended(SupervisedNetwork):
    """What both forms say of their patches: the attention that pathways pay them."""

    pathways: PathwayTokens
    embed: nn.Module
    attend: SparseAttention

    def patch_weights(self, batch: Batch) -> list[PatchWeights]:
        """Attention from pathways to patches, a mean over pathways, as shares among the patches."""
        pathways, tokens = self.pathways(batch.genes), self.embed((batch.patches - self.patch_mean) / self.patch_sd)
        weights = self.attend.on_patches(pathways, tokens, batch.mask)
        total = weights.sum(1, keepdim=True)
        said = (
            f"the attention that pathways pay each patch, one head, a mean over {pathways.shape[1]} pathways, which "
            f"give patches {float(total[0]):.1%} of it and pathways the rest; patches also reach the head through a "
            "mean without weights"
        )
        return [PatchWeights("pathways", weights / total, said)]


class SurvPath(_Attended):
    """Pathway and patch tokens, one layer of sparse attention of half the width, feed-forward, means, head.

    As published without residual connections: a patch reaches the head through a mixture of pathways, and a pathway
    through one of pathways and patches.
    """

    def __init__(self, sizes: Sizes, settings: SurvPathSettings) -> None:
        super().__init__(sizes, settings.width)
        width, inner = settings.width, settings.width // 2
        self.pathways = PathwayTokens(sizes, width, settings.dropout, scaled=False)
        self.embed = nn.Linear(sizes.patch_dim, width)
        self.attend = SparseAttention(width, inner)
        self.feed = _feed_forward(inner, _of_feed(settings))
        self.norm = nn.LayerNorm(inner)
        self.head = _head(2 * inner, width, sizes.outputs)

    def output(self, batch: Batch) -> Output:
        """Logits of bags and expression."""
        pathways, tokens = self.attend(self.pathways(batch.genes), self.embed(batch.patches), batch.mask)
        pathways, tokens = (self.norm(self.feed(part)) for part in (pathways, tokens))
        return Output(self.head(torch.cat([pathways.mean(1), masked_mean(tokens, batch.mask)], dim=1)))


class ResidualSurvPath(_Attended):
    """SurvPath before 1.0: attention of the whole width with an output projection, and residual connections."""

    def __init__(self, sizes: Sizes, settings: SurvPathSettings) -> None:
        super().__init__(sizes, settings.width)
        width = settings.width
        self.pathways = PathwayTokens(sizes, width, settings.dropout, scaled=True)
        self.embed = PatchEmbedding(sizes.patch_dim, width, settings.dropout)
        self.attend = SparseAttention(width, width)
        self.to_out = nn.Linear(width, width)
        self.feed = _feed_forward(width, _of_feed(settings))
        self.norm = nn.LayerNorm(width)
        self.head = _head(2 * width, width, sizes.outputs)

    def output(self, batch: Batch) -> Output:
        """Logits of bags and expression."""
        both = self.pathways(batch.genes), self.embed(batch.patches)
        mixed = self.attend(*both, batch.mask)
        pathways, tokens = (part + self.to_out(other) for part, other in zip(both, mixed, strict=True))
        pathways, tokens = (self.norm(part + self.feed(part)) for part in (pathways, tokens))
        return Output(self.head(torch.cat([pathways.mean(1), masked_mean(tokens, batch.mask)], dim=1)))


def _of_feed(settings: SurvPathSettings) -> float:
    return settings.dropout if settings.feed_dropout is None else settings.feed_dropout


def _feed_forward(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width)
    )


def _head(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width // 4), nn.ReLU(), nn.Linear(width // 4, outputs))


def build(sizes: Sizes, **settings: Any) -> SurvPath | ResidualSurvPath:
    """A network of these :class:`SurvPathSettings`.

    ``sizes.gene_sets`` holds at least one pathway, each with at least one gene.
    """
    asked = SurvPathSettings(**settings)
    return SurvPath(sizes, asked) if asked.form == "public" else ResidualSurvPath(sizes, asked)


SETTINGS, INPUTS = SurvPathSettings, Pathways

LAYERS = (
    Layer(
        "pathway tokens",
        "a network a pathway, each of two blocks of linear to 256, ELU, alpha dropout 0.25",
        "the same, width {width}, all pathways at once",
    ),
    Layer("patch tokens", "linear to 256, no activation, no dropout", "linear to {width}"),
    Layer(
        "attention",
        "LayerNorm; one head of half the width; pathways attend to pathways and patches, patches to pathways; no "
        "output projection, no residual",
    ),
    Layer(
        "feed-forward",
        "LayerNorm, linear, GELU, dropout 0.1, linear, all of half the width; no residual; LayerNorm",
        "the same, dropout {feed_dropout}",
    ),
    Layer("head", "means of pathways and of patches joined; linear 256 to 64, ReLU, linear"),
    Layer("start", "torch's own, each pathway's network by its own number of genes"),
    Layer(
        "training",
        "one patient at a time, 4,096 patches, RAdam or Adam, rates and penalties from a grid, alpha 0.5 for censored "
        "patients",
        "as every method trained on labels",
        "one training for all, so that the networks are what is compared; `train` sets others",
    ),
    Layer(
        "task",
        "disease-specific survival alone",
        "subtyping, too",
        "MIRROR's Table III has its subtyping; logits of classes",
    ),
)
