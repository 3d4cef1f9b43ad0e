"""Patches and pathways as tokens of one width (Sec. 3.1 of TTA, Eqs. 1 and 2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.models.layers import PathwayGenes, start_pathways
from mirrorflow.models.supervised import Sizes

SLOPE = 0.1
"""Of the leaky ReLU, as in the released code."""


class PatchTokens(nn.Module):
    """A patch's features [batch, patch, feature] to tokens [batch, patch, width], 0 at padded patches.

    ``activated``: linear, leaky ReLU, dropout (released code); else linear alone (Sec. 3.1).
    """

    def __init__(self, features: int, width: int, dropout: float, *, activated: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(features, width)
        self.dropout = nn.Dropout(dropout)
        self.activated = activated

    def forward(self, patches: Tensor, mask: Tensor) -> Tensor:
        """``mask`` [batch, patch] is True at real patches."""
        tokens = self.linear(patches)
        if self.activated:
            tokens = self.dropout(F.leaky_relu(tokens, SLOPE))
        return tokens.masked_fill(~mask[..., None], 0.0)


class PathwayTokens(nn.Module):
    """A pathway's genes to one token by a layer of its own, all pathways at once: genes [batch, gene] to
    [batch, pathway, width].

    A pathway with few genes is padded with an input that is always 0; its weights start at 0 and get no gradient, so
    that padding changes nothing. Each layer starts as torch starts a linear layer of its own size.
    """

    def __init__(self, sizes: Sizes, width: int, dropout: float, *, activated: bool) -> None:
        super().__init__()
        counts = [len(genes) for genes in sizes.gene_sets]
        self.genes = PathwayGenes(sizes.gene_sets, sizes.gene_count)
        self.weight = nn.Parameter(torch.zeros(len(counts), max(counts), width))
        self.bias = nn.Parameter(torch.zeros(len(counts), width))
        start_pathways(self.weight, self.bias, counts)
        self.dropout = nn.Dropout(dropout)
        self.activated = activated

    def forward(self, genes: Tensor) -> Tensor:
        """Tokens of scaled expression."""
        tokens = torch.bmm(self.genes(genes), self.weight) + self.bias[:, None]
        if self.activated:
            tokens = self.dropout(F.leaky_relu(tokens, SLOPE))
        return tokens.transpose(0, 1)


class SharedSpace(nn.Module):
    """Tokens to logits over prototypes: Eq. 3, cosine similarity / temperature, by one of ``heads`` projections.

    ``banks``: 1 where both modalities share the prototypes, else one bank each.
    """

    def __init__(self, width: int, heads: int, prototypes: int, banks: int, temperature: float) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(width, heads * width) for _ in range(2))
        self.prototypes = nn.Parameter(torch.randn(banks, prototypes, width))
        self.heads, self.temperature = heads, temperature

    def _layer(self, modality: int) -> nn.Linear:
        layer = self.projections[modality]
        assert isinstance(layer, nn.Linear)
        return layer

    def projected(self, tokens: Tensor, modality: int, head: Tensor) -> Tensor:
        """Unit vectors [batch, token, width] of ``tokens`` by the projection ``head`` (a number, on their device)."""
        layer = self._layer(modality)
        width = layer.in_features
        weight = layer.weight.view(self.heads, width, width).index_select(0, head.view(1))[0]
        bias = layer.bias.view(self.heads, width).index_select(0, head.view(1))[0]
        return F.normalize(F.linear(tokens, weight, bias), dim=-1)

    def logits(self, projected: Tensor, modality: int) -> Tensor:
        """[batch, token, prototype] of unit vectors."""
        bank = self.prototypes[modality if len(self.prototypes) > 1 else 0]
        return projected @ F.normalize(bank, dim=-1).T / self.temperature

    def head_vectors(self, tokens: Tensor, modality: int) -> Tensor:
        """Unit vectors of every head [batch, token, head, width]."""
        layer = self._layer(modality)
        shape = (*tokens.shape[:2], self.heads, layer.in_features)
        return F.normalize(F.linear(tokens, layer.weight, layer.bias).view(shape), dim=-1)

    def head_scores(self, vectors: Tensor, mask: Tensor, modality: int) -> Tensor:
        """Logits of every head, averaged over the tokens that ``mask`` [batch, token] has: [head, batch, prototype]."""
        weights = mask.to(vectors.dtype)
        weights = weights / weights.sum(1, keepdim=True)
        mean = torch.einsum("bn,bnhd->hbd", weights, vectors)  # a logit is linear in its vector
        return self.logits(mean, modality)
