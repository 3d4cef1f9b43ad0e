"""ILRA-MIL: iterative low-rank attention (Xiang & Zhang, ICLR 2023, "Exploring Low-Rank Property in MIL ...").

In each of ``layers`` blocks a small set of learned latent vectors gathers from the patches and the patches gather back
from the latents (two gated attentions, Eq. 16, so that patches see each other at a cost linear in their number); a
learned query then pools the bag by attention. ``form: public`` has the layers of the authors' code, ``before-1.0``
those that this project wrote from the paper's text before it. The contrastive pretraining of patch features (the
low-rank constraint) is no part of either: features are given.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.config.bounds import check_heads
from mirrorflow.config.fidelity import Layer
from mirrorflow.config.fields import Settings, count, number, same
from mirrorflow.config.training_settings import Form, Layers
from mirrorflow.models.attention import exact_attention
from mirrorflow.models.layers import PatchEmbedding
from mirrorflow.models.seam import Batch, Output
from mirrorflow.models.supervised import Sizes, SupervisedNetwork


@dataclass(frozen=True)
class IlraSettings(Settings):
    """Sizes of the network. Raises ConfigError where the heads do not divide the width."""

    VERSION: ClassVar[int] = 2

    width: int = count("width of the tokens.", 256, origin="published")
    heads: int = count("attention heads; they divide the width.", 8, origin="published")
    layers: int = count("low-rank blocks.", 2, origin="published")
    latents: int = count("latent vectors of a block, its rank (public code: 1).", 1, origin="published")
    dropout: float = number("dropout.", 0.0, minimum=0, exclusiveMaximum=1, origin="published")
    form: Form = same(Layers, "form")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.width, self.heads, what="heads")


@dataclass(frozen=True)
class Shape:
    """What every attention of a network shares; ``twice``: queries, keys and values are projected twice (public)."""

    width: int
    heads: int
    dropout: float
    twice: bool


class CrossAttention(nn.Module):
    """Queries gather from tokens: multi-head attention, residual, a feed-forward layer; gated by the queries.

    The gate multiplies the result by SiLU of a linear map of the queries (the paper's gated attention block);
    without it this is the attention block of Set Transformers (Lee et al. 2019). The public code projects first, then
    hands the projections to an attention that projects again, and its output, too.
    """

    def __init__(self, query_width: int, token_width: int, shape: Shape, *, gated: bool) -> None:
        super().__init__()
        width, self.heads = shape.width, shape.heads
        self.to_q = nn.Linear(query_width, width)
        self.to_k, self.to_v = (nn.Linear(token_width, width) for _ in range(2))
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(shape.dropout))
        self.gate = nn.Linear(query_width, width) if gated else None
        self.second = nn.MultiheadAttention(width, shape.heads, batch_first=True) if shape.twice else None

    def forward(self, queries: Tensor, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """[batch, query, width] from tokens [batch, token, width]; ``mask`` [batch, token] True at real ones."""
        asked = self.to_q(queries)
        out = self.before(asked + self._mixed(asked, self.to_k(tokens), self.to_v(tokens), mask))
        out = self.after(out + self.feed(out))
        return out if self.gate is None else out * F.silu(self.gate(queries))

    def _mixed(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if self.second is not None:
            return self.second(q, k, v, key_padding_mask=None if mask is None else ~mask, need_weights=False)[0]
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        mixed = exact_attention(q, k, v, None if mask is None else mask[:, None, None, :])
        return mixed.transpose(1, 2).flatten(2)


class LowRankBlock(nn.Module):
    """Patches to latents and back: attention of rank ``latents`` among the patches of a bag."""

    def __init__(self, token_width: int, latents: int, shape: Shape) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.empty(1, latents, shape.width))
        nn.init.xavier_uniform_(self.latents)
        self.gather = CrossAttention(shape.width, token_width, shape, gated=True)
        self.spread = CrossAttention(token_width, shape.width, shape, gated=True)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Mix tokens [batch, token, width]; padded ones are not seen."""
        latents = self.gather(self.latents.expand(len(tokens), -1, -1), tokens, mask)
        return self.spread(tokens, latents, None)


class IlraMil(SupervisedNetwork):
    """Low-rank blocks, pooling by a learned query, linear head; before 1.0 patches were embedded first."""

    def __init__(self, sizes: Sizes, settings: IlraSettings) -> None:
        super().__init__(sizes, settings.width)
        public = settings.form == "public"
        shape = Shape(settings.width, settings.heads, settings.dropout, twice=public)
        self.embed = None if public else PatchEmbedding(sizes.patch_dim, settings.width, settings.dropout)
        first = sizes.patch_dim if public else settings.width
        widths = [first, *[settings.width] * (settings.layers - 1)]
        self.blocks = nn.ModuleList(LowRankBlock(width, settings.latents, shape) for width in widths)
        self.query = nn.Parameter(torch.empty(1, 1, settings.width))
        nn.init.xavier_uniform_(self.query)
        self.pool = CrossAttention(settings.width, settings.width, shape, gated=False)
        self.head = nn.Linear(settings.width, sizes.outputs)
        if public:
            self.apply(_start)

    def output(self, batch: Batch) -> Output:
        """Logits of the bags; the expression is not looked at."""
        tokens = batch.patches if self.embed is None else self.embed(batch.patches)
        for block in self.blocks:
            tokens = block(tokens, batch.mask)
        pooled = self.pool(self.query.expand(len(tokens), -1, -1), tokens, batch.mask)
        return Output(self.head(pooled.squeeze(1)))


def _start(module: nn.Module) -> None:
    """The public start: Xavier normal weights in linear layers; biases are torch's own."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_normal_(module.weight)


def build(sizes: Sizes, **settings: Any) -> IlraMil:
    """An ILRA-MIL network of these :class:`IlraSettings`."""
    return IlraMil(sizes, IlraSettings(**settings))


SETTINGS = IlraSettings

LAYERS = (
    Layer("patch embedding", "none: the first block takes the features as they are"),
    Layer("blocks", "2, each of two gated attentions over latents of width 256", "{layers}, of width {width}"),
    Layer("rank", "1 in its config, said to be tuned", "{latents}"),
    Layer(
        "attention",
        "8 heads; queries, keys and values are projected to the width, then once more inside the attention, whose "
        "output is projected, too",
        "{heads} heads; the same",
    ),
    Layer(
        "after the attention",
        "added to the projected queries; LayerNorm; linear and ReLU added; LayerNorm; times SiLU of a linear map of "
        "the raw queries",
    ),
    Layer(
        "pooling",
        "as many learned queries as the rank, no gate; its classifier takes one",
        "one learned query, no gate",
        "with a rank above 1 the public code has no way to join the queries",
    ),
    Layer("dropout", "0 everywhere", "{dropout} everywhere"),
    Layer("start", "Xavier normal weights in linear layers, biases torch's own; Xavier uniform for latents and query"),
    Layer(
        "training",
        "Adam at 1e-4 with a cosine, 100 epochs, one bag at a time, no label smoothing",
        "as every method trained on labels",
        "one training for all, so that the networks are what is compared; `train` sets others",
    ),
    Layer(
        "patch features",
        "pretrained with a contrastive low-rank constraint",
        "given",
        "all methods are compared on the same features",
    ),
)
