"""SurvPath: pathway tokens and patch tokens in a memory-efficient Transformer (Jaume et al., CVPR 2024).

Pathway tokens (Sec. 3.1): a self-normalising network of its own for each pathway's genes. Fusion (Sec. 3.3):
pathways attend to pathways and patches, patches attend to pathways only, so that the cost grows with the
number of patches, not with its square. Both kinds of tokens are then averaged and joined for the head.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.config.fields import Settings, count, number, shared
from mirrorflow.models.layers import PatchEmbedding, masked_mean
from mirrorflow.models.seam import Batch, Output
from mirrorflow.models.supervised import Sizes, SupervisedNetwork


@dataclass(frozen=True)
class SurvPathSettings(Settings):
    """Sizes of the network."""

    width: int = count("width of the tokens.", 256, origin="ours")
    dropout: float = number(
        "dropout (alpha dropout in self-normalising layers).", 0.25, minimum=0, exclusiveMaximum=1, origin="ours"
    )


@dataclass(frozen=True)
class SurvPathInputs(Settings):
    """The pathways. None: those of ``expression.selection``."""

    gene_sets: Any = shared(
        "gene_sets",
        "CSV of pathways, one column a set, or {download: <data set>}; by default expression.selection.gene_sets; "
        "`random` - random groups of the selected genes.",
        None,
        origin="ours",
    )


class PathwayTokens(nn.Module):
    """Expression to one token a pathway by two self-normalising layers each, all pathways at once.

    A pathway with few genes is padded with an input that is always 0; its weights start at 0 and get no
    gradient, so that padding changes nothing.
    """

    places: Tensor

    def __init__(self, sizes: Sizes, width: int, dropout: float) -> None:
        super().__init__()
        sets = sizes.gene_sets
        longest = max(map(len, sets))
        places = torch.full((len(sets), longest), sizes.gene_count)
        first = torch.zeros(len(sets), longest, width)
        for row, genes in enumerate(sets):
            places[row, : len(genes)] = torch.tensor(genes)
            first[row, : len(genes)] = torch.randn(len(genes), width) * len(genes) ** -0.5
        self.register_buffer("places", places, persistent=False)
        self.first = nn.Parameter(first)
        self.first_bias = nn.Parameter(torch.zeros(len(sets), width))
        self.second = nn.Parameter(torch.randn(len(sets), width, width) * width**-0.5)
        self.second_bias = nn.Parameter(torch.zeros(len(sets), width))
        self.dropout = nn.AlphaDropout(dropout)

    def forward(self, genes: Tensor) -> Tensor:
        """Tokens [batch, pathway, width] of genes [batch, gene]."""
        own = F.pad(genes, (0, 1))[:, self.places].transpose(0, 1)
        hidden = self.dropout(F.elu(torch.bmm(own, self.first) + self.first_bias[:, None]))
        tokens = self.dropout(F.elu(torch.bmm(hidden, self.second) + self.second_bias[:, None]))
        return tokens.transpose(0, 1)


class SparseAttention(nn.Module):
    """Attention among pathways, and between pathways and patches; none among patches. One head, as published."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.to_out = nn.Linear(width, width)

    def forward(self, pathways: Tensor, patches: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Mix pathways [batch, pathway, width] and patches [batch, patch, width]; ``mask`` True at real patches."""
        path_q, path_k, path_v = self.to_qkv(self.norm(pathways)).chunk(3, dim=-1)
        patch_q, patch_k, patch_v = self.to_qkv(self.norm(patches)).chunk(3, dim=-1)
        keys, values = torch.cat([path_k, patch_k], dim=1), torch.cat([path_v, patch_v], dim=1)
        seen = torch.cat([mask.new_ones(pathways.shape[:2]), mask], dim=1)[:, None, :]
        to_pathways = F.scaled_dot_product_attention(path_q, keys, values, attn_mask=seen)
        to_patches = F.scaled_dot_product_attention(patch_q, path_k, path_v)
        return pathways + self.to_out(to_pathways), patches + self.to_out(to_patches)


class SurvPath(SupervisedNetwork):
    """Pathway and patch tokens, one layer of sparse attention, feed-forward, means, head.

    Deviation: attention and feed-forward have residual connections, as in the usual Transformer block: without
    them patches reach the head only through mixtures of pathways.
    """

    def __init__(self, sizes: Sizes, width: int, dropout: float) -> None:
        super().__init__(sizes, width)
        self.pathways = PathwayTokens(sizes, width, dropout)
        self.embed = PatchEmbedding(sizes.patch_dim, width, dropout)
        self.attend = SparseAttention(width)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Sequential(nn.Linear(2 * width, width // 4), nn.ReLU(), nn.Linear(width // 4, sizes.outputs))

    def output(self, batch: Batch) -> Output:
        """Logits of bags and expression."""
        pathways, tokens = self.attend(self.pathways(batch.genes), self.embed(batch.patches), batch.mask)
        pathways, tokens = (self.norm(part + self.feed(part)) for part in (pathways, tokens))
        return Output(self.head(torch.cat([pathways.mean(1), masked_mean(tokens, batch.mask)], dim=1)))


def build(sizes: Sizes, *, width: int, dropout: float) -> SurvPath:
    """A SurvPath network; ``sizes.gene_sets`` holds at least one pathway, each with at least one gene."""
    return SurvPath(sizes, width, dropout)


SETTINGS, INPUTS = SurvPathSettings, SurvPathInputs
