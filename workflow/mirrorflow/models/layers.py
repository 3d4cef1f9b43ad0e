"""Layers that several supervised methods are built from."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean [batch, width] of the real tokens [batch, token, width]; ``mask`` [batch, token] is True at them."""
    weights = mask.to(tokens.dtype)[..., None]
    return (tokens.masked_fill(~mask[..., None], 0.0) * weights).sum(1) / weights.sum(1)


class PathwayGenes(nn.Module):
    """Expression [batch, gene] to the genes of each pathway, [pathway, batch, place], padded with 0 to the longest."""

    places: Tensor

    def __init__(self, gene_sets: Sequence[Sequence[int]], gene_count: int) -> None:
        super().__init__()
        places = torch.full((len(gene_sets), max(map(len, gene_sets))), gene_count)
        for row, genes in enumerate(gene_sets):
            places[row, : len(genes)] = torch.tensor(genes)
        self.register_buffer("places", places, persistent=False)

    def forward(self, genes: Tensor) -> Tensor:
        """The genes of each pathway."""
        return F.pad(genes, (0, 1))[:, self.places].transpose(0, 1)


@torch.no_grad()
def start_pathways(weight: Tensor, bias: Tensor, inputs: Sequence[int]) -> None:
    """A layer a pathway as torch starts a linear layer of its own size: uniform within 1 / sqrt(its inputs).

    weight [pathway, place, width], of which a pathway's first ``inputs`` places are its own; bias [pathway, width].
    """
    for row, genes in enumerate(inputs):
        bound = genes**-0.5
        weight[row, :genes].uniform_(-bound, bound)
        bias[row].uniform_(-bound, bound)


class PatchEmbedding(nn.Sequential):
    """A patch's features [..., feature] to tokens [..., width]: linear, ReLU, dropout."""

    def __init__(self, features: int, width: int, dropout: float) -> None:
        super().__init__(nn.Linear(features, width), nn.ReLU(), nn.Dropout(dropout))


class GatedAttentionPooling(nn.Module):
    """A bag's tokens as one vector: Eq. 7 with the gated weights of Eq. 9 of Ilse et al. 2018.

    z = sum_k a_k h_k, a = softmax_k(w'(tanh(V h_k) * sigmoid(U h_k))).
    """

    def __init__(self, width: int, attention_width: int, dropout: float) -> None:
        super().__init__()
        self.content = nn.Sequential(nn.Linear(width, attention_width), nn.Tanh(), nn.Dropout(dropout))
        self.gate = nn.Sequential(nn.Linear(width, attention_width), nn.Sigmoid(), nn.Dropout(dropout))
        self.score = nn.Linear(attention_width, 1)

    def weights(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Attention [batch, token]: adds up to 1 over the real tokens, 0 at padded ones."""
        scores = self.score(self.content(tokens) * self.gate(tokens)).squeeze(-1)
        return scores.float().masked_fill(~mask, float("-inf")).softmax(dim=1)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [batch, token, width] pooled to [batch, width], and the attention [batch, token].

        ``mask`` [batch, token] is True at real tokens.
        """
        weights = self.weights(tokens, mask)
        return (weights[..., None] * tokens.masked_fill(~mask[..., None], 0.0)).sum(1), weights


class SelfNormalizing(nn.Sequential):
    """A block of a self-normalising network (Klambauer et al. 2017): linear, ELU, alpha dropout.

    ELU as in PORPOISE and SurvPath. ``scaled``: weights start from N(0, 1 / inputs), biases at 0, which keeps the
    variance of standardised inputs through the layers; else as torch starts them.
    """

    def __init__(self, inputs: int, width: int, dropout: float, *, scaled: bool = True) -> None:
        linear = nn.Linear(inputs, width)
        if scaled:
            start_self_normalizing(linear)
        super().__init__(linear, nn.ELU(), nn.AlphaDropout(dropout))


def start_self_normalizing(linear: nn.Linear) -> None:
    """Weights from N(0, 1 / inputs), bias 0."""
    nn.init.normal_(linear.weight, std=max(linear.in_features, 1) ** -0.5)
    nn.init.zeros_(linear.bias)
