"""ILRA-MIL: iterative low-rank attention (Xiang & Zhang, ICLR 2023, "Exploring Low-Rank Property in MIL ...").

Written from the paper's section on feature aggregation: in each of ``layers`` blocks a small set of learned
latent vectors gathers from the patches and the patches gather back from the latents (two gated attentions, so
that patches see each other at a cost linear in their number); a learned query then pools the bag by attention.
Its contrastive pretraining of patch features (the low-rank constraint) is no part of it here: features are given.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.config.bounds import check_heads
from mirrorflow.config.fields import Settings, count, number
from mirrorflow.models.attention import exact_attention
from mirrorflow.models.layers import PatchEmbedding
from mirrorflow.models.seam import Batch, Output
from mirrorflow.models.supervised import Sizes, SupervisedNetwork


@dataclass(frozen=True)
class IlraSettings(Settings):
    """Sizes of the network. Raises ConfigError where the heads do not divide the width."""

    width: int = count("width of the tokens.", 256, origin="ours")
    heads: int = count("attention heads; they divide the width.", 8, origin="ours")
    layers: int = count("low-rank blocks.", 2, origin="ours")
    latents: int = count("latent vectors of a block, its rank.", 64, origin="ours")
    dropout: float = number(
        "dropout (alpha dropout in self-normalising layers).", 0.25, minimum=0, exclusiveMaximum=1, origin="ours"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.width, self.heads, what="heads")


class CrossAttention(nn.Module):
    """Queries gather from tokens: multi-head attention, residual, a feed-forward layer; gated by the queries.

    The gate multiplies the result by SiLU of a linear map of the queries (the paper's gated attention block);
    without it this is the attention block of Set Transformers (Lee et al. 2019).
    """

    def __init__(self, width: int, heads: int, dropout: float, *, gated: bool) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout))
        self.gate = nn.Linear(width, width) if gated else None

    def forward(self, queries: Tensor, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """[batch, query, width] from tokens [batch, token, width]; ``mask`` [batch, token] True at real ones."""
        asked = self.to_q(queries)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (asked, self.to_k(tokens), self.to_v(tokens))
        )
        mixed = exact_attention(q, k, v, None if mask is None else mask[:, None, None, :])
        out = self.before(asked + mixed.transpose(1, 2).flatten(2))
        out = self.after(out + self.feed(out))
        return out if self.gate is None else out * F.silu(self.gate(queries))


class LowRankBlock(nn.Module):
    """Patches to latents and back: attention of rank ``latents`` among the patches of a bag."""

    def __init__(self, width: int, heads: int, latents: int, dropout: float) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.empty(1, latents, width))
        nn.init.xavier_uniform_(self.latents)
        self.gather = CrossAttention(width, heads, dropout, gated=True)
        self.spread = CrossAttention(width, heads, dropout, gated=True)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Mix tokens [batch, token, width]; padded ones are not seen."""
        latents = self.gather(self.latents.expand(len(tokens), -1, -1), tokens, mask)
        return self.spread(tokens, latents, None)


class IlraMil(SupervisedNetwork):
    """Embedding, low-rank blocks, pooling by a learned query, linear head."""

    def __init__(self, sizes: Sizes, width: int, heads: int, layers: int, latents: int, dropout: float) -> None:
        super().__init__(sizes, width)
        self.embed = PatchEmbedding(sizes.patch_dim, width, dropout)
        self.blocks = nn.ModuleList(LowRankBlock(width, heads, latents, dropout) for _ in range(layers))
        self.query = nn.Parameter(torch.empty(1, 1, width))
        nn.init.xavier_uniform_(self.query)
        self.pool = CrossAttention(width, heads, dropout, gated=False)
        self.head = nn.Linear(width, sizes.outputs)

    def output(self, batch: Batch) -> Output:
        """Logits of the bags; the expression is not looked at."""
        tokens = self.embed(batch.patches)
        for block in self.blocks:
            tokens = block(tokens, batch.mask)
        pooled = self.pool(self.query.expand(len(tokens), -1, -1), tokens, batch.mask)
        return Output(self.head(pooled.squeeze(1)))


def build(sizes: Sizes, *, width: int, heads: int, layers: int, latents: int, dropout: float) -> IlraMil:
    """An ILRA-MIL network; ``latents`` is the rank of a block."""
    return IlraMil(sizes, width, heads, layers, latents, dropout)


SETTINGS = IlraSettings
