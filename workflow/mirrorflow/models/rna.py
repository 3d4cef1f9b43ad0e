"""RNA encoder: Eq. 4 of MIRROR."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.config.bounds import check_heads

EPS = 1e-6
"""Of every LayerNorm on the RNA side (published; on the slide side torch's 1e-5)."""


class HeadAttention(nn.Module):
    """Attention in which the heads of one vector are the sequence: 12 heads of 64 attend to one another."""

    def __init__(self, width: int, heads: int, *, dropout: float) -> None:
        super().__init__()
        check_heads(width, heads, what="rna_heads")
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width)
        self.to_out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors [batch, width] -> [batch, width]."""
        q, k, v = self.to_qkv(vectors).unflatten(-1, (3, self.heads, -1)).unbind(dim=1)
        return self.dropout(self.to_out(F.scaled_dot_product_attention(q, k, v).flatten(1)))


class RnaBlock(nn.Module):
    """Pre-norm transformer block on one vector a patient; the MLP is ``int(mlp_ratio * width)`` wide."""

    def __init__(self, width: int, heads: int, *, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        hidden = int(mlp_ratio * width)
        self.attention_norm = nn.LayerNorm(width, eps=EPS)
        self.attention = HeadAttention(width, heads, dropout=dropout)
        self.mlp_norm = nn.LayerNorm(width, eps=EPS)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, width),
            nn.Dropout(dropout),
        )

    @torch.no_grad()
    def damp(self) -> None:
        """Divide what is added to the residual stream by sqrt(2): the published start of the retention block."""
        for last in (self.attention.to_out, self.mlp[3]):
            assert isinstance(last, nn.Linear)
            last.weight.div_(2**0.5)

    def forward(self, vectors: Tensor) -> Tensor:
        """Vectors [batch, width] -> [batch, width]."""
        vectors = vectors + self.attention(self.attention_norm(vectors))
        return vectors + self.mlp(self.mlp_norm(vectors))


class RnaEncoder(nn.Module):
    """Expression [batch, gene] -> [batch, width]: embedding, gene token added, two blocks, LayerNorm."""

    def __init__(self, gene_count: int, width: int, *, heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(gene_count, 2 * width),
            nn.GELU(),
            nn.LayerNorm(2 * width, eps=EPS),
            nn.Linear(2 * width, width),
        )
        self.gene_token = nn.Parameter(torch.zeros(1, width))
        nn.init.trunc_normal_(self.gene_token, std=0.02)
        self.blocks = nn.Sequential(*(RnaBlock(width, heads, mlp_ratio=mlp_ratio, dropout=dropout) for _ in range(2)))
        self.norm = nn.LayerNorm(width, eps=EPS)

    def forward(self, genes: Tensor) -> Tensor:
        """Expression [batch, gene], in the order of the gene manifest -> [batch, width]."""
        return self.norm(self.blocks(self.embed(genes) + self.gene_token))
