"""The refiner with its anchors, the contrast between them, and the co-attention (Secs. 3.3 and 3.4 of TTA)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.models.tta_parts.tokens import SLOPE


class AttentionBlock(nn.Module):
    """LayerNorm, self-attention, feed-forward, LayerNorm; nothing is added to its input.

    One head of the whole width, no bias, no output projection (released code). ``twice`` of a call: so many
    first tokens have attention to the others that goes through a softmax before the one over all tokens; 0: none.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width)
        )
        self.last_norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, twice: int = 0) -> Tensor:
        """Tokens [batch, token, width] to as many."""
        query, key, value = self.to_qkv(self.norm(tokens)).chunk(3, dim=-1)
        scores = query @ key.transpose(1, 2) * query.shape[-1] ** -0.5
        if twice:
            first, others = scores[:, :twice], scores[:, twice:]
            own, across = first[..., :twice], first[..., twice:].softmax(-1)
            scores = torch.cat([torch.cat([own, across], dim=-1), others], dim=1)
        return self.last_norm(self.feed(scores.softmax(-1) @ value))


class Apart(nn.Module):
    """Prototype tokens of each modality refined beside its anchor (Eqs. 16, 17), and the contrast (Eqs. 18, 19).

    ``projected``: tokens are mapped to unit vectors first (text before Eq. 16; not in the released code).
    ``phi_on_anchors``: anchors go through phi, too (Eq. 18; the released code only makes them unit vectors).
    """

    def __init__(self, width: int, dropout: float, *, projected: bool, phi_on_anchors: bool) -> None:
        super().__init__()
        self.anchors = nn.Parameter(torch.randn(2, width))
        self.refiners = nn.ModuleList(AttentionBlock(width, dropout) for _ in range(2))
        self.maps = nn.ModuleList(nn.Linear(width, width) for _ in range(2)) if projected else None
        self.phi = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(SLOPE), nn.Linear(width, width))
        self.phi_on_anchors = phi_on_anchors

    def refined(self, tokens: Tensor, modality: int) -> Tensor:
        """Prototype tokens [batch, prototype, width] to as many."""
        if self.maps is not None:
            tokens = F.normalize(self.maps[modality](tokens), dim=-1)
        anchor = self.anchors[modality].expand(len(tokens), 1, -1)
        return self.refiners[modality](torch.cat([tokens, anchor], dim=1))[:, : tokens.shape[1]]

    def contrast(self, refined: Sequence[Tensor], temperature: float) -> Tensor:
        """Eq. 19 of the refined tokens of each modality, a sum over these, a mean over the batch: a scalar."""
        anchors = F.normalize(self.phi(self.anchors) if self.phi_on_anchors else self.anchors, dim=-1)
        loss = refined[0].new_zeros(())
        for modality, tokens in enumerate(refined):
            scores = F.normalize(self.phi(tokens.mean(1)), dim=-1) @ anchors.T / temperature
            loss = loss - scores.log_softmax(1)[:, modality].mean()
        return loss
