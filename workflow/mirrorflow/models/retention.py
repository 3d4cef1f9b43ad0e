"""Retention modules: mask three quarters, rebuild what the encoder said there (Eqs. 10 to 13 of MIRROR)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mirrorflow.errors import ConfigError
from mirrorflow.models.draws import Draws, uniform
from mirrorflow.models.rna import EPS, RnaBlock
from mirrorflow.models.settings import AttentionForm
from mirrorflow.models.transmil import AttentionBlock, start_linear


class Retention(NamedTuple):
    """A reconstruction beside what it should be, and where (True) it was masked."""

    prediction: Tensor
    target: Tensor
    masked: Tensor


class SlideRetention(nn.Module):
    """Masked patch modelling on the slide encoder's tokens; [CLS] is never masked."""

    def __init__(
        self,
        width: int,
        *,
        tokens: int,
        heads: int,
        landmarks: int,
        form: AttentionForm,
        dropout: float,
        mask_ratio: float,
    ) -> None:
        super().__init__()
        self.mask_ratio = mask_ratio
        self.embed = nn.Linear(width, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + tokens, width))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.block = AttentionBlock(form, width, heads, landmarks=landmarks, dropout=dropout)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, width)
        self.apply(start_linear)

    def forward(self, tokens: Tensor, counts: Tensor | None = None, *, generator: Draws = None) -> Retention:
        """The encoder's tokens [batch, 1 + patch, width] -> their reconstruction, [CLS] left out.

        Raises ConfigError when a bag holds more patches than there are positions.
        """
        patches = tokens[:, 1:]
        if patches.shape[1] >= self.positions.shape[1]:
            message = f"bag of {patches.shape[1]} patches, but tokens is {self.positions.shape[1] - 1}: raise it"
            raise ConfigError(message)
        masked = random_mask(patches[..., 0], self.mask_ratio, counts, generator)
        embedded = self.embed(tokens)
        hidden = torch.where(masked[..., None], self.mask_token.to(embedded.dtype), embedded[:, 1:])
        placed = torch.cat([embedded[:, :1], hidden], dim=1) + self.positions[:, : tokens.shape[1]]
        rebuilt = self.block(placed, attention_mask(tokens, counts))
        return Retention(self.head(self.norm(rebuilt))[:, 1:], patches, masked)


class RnaRetention(nn.Module):
    """Masked transcriptomics modelling: single entries of the RNA vector give way to one scalar."""

    def __init__(self, width: int, *, heads: int, mlp_ratio: float, dropout: float, mask_ratio: float) -> None:
        super().__init__()
        self.mask_ratio = mask_ratio
        self.embed = nn.Linear(width, width)
        self.mask_token = nn.Parameter(torch.zeros(1))
        self.positions = nn.Parameter(torch.zeros(1, width))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        nn.init.trunc_normal_(self.positions, std=0.02)
        self.block = RnaBlock(width, heads, mlp_ratio=mlp_ratio, dropout=dropout)
        self.block.damp()
        self.norm = nn.LayerNorm(width, eps=EPS)
        self.head = nn.Linear(width, width)

    def forward(self, vectors: Tensor, *, generator: Draws = None) -> Retention:
        """The encoder's vectors [batch, width] -> their reconstruction."""
        masked = random_mask(vectors, self.mask_ratio, None, generator)
        embedded = self.embed(vectors)
        placed = torch.where(masked, self.mask_token.to(embedded.dtype), embedded) + self.positions
        return Retention(self.head(self.norm(self.block(placed))), vectors, masked)


def random_mask(like: Tensor, ratio: float, counts: Tensor | None, generator: Draws) -> Tensor:
    """True at a random ``ratio`` of each row of ``like`` [batch, entry]: what is kept is rounded down.

    With ``counts`` only the first ``counts[i]`` entries of row i can be masked.
    """
    batch, length = like.shape
    noise = uniform(batch, length, generator, like.device)
    if counts is None:
        counts = torch.full((batch,), length, device=like.device)
    counts = counts.to(like.device)[:, None]
    noise = noise.masked_fill(torch.arange(length, device=like.device) >= counts, 2.0)
    hidden = counts - (counts * (1 - ratio) + 1e-6).long()
    return noise.argsort(dim=1).argsort(dim=1) < hidden


def attention_mask(tokens: Tensor, counts: Tensor | None) -> Tensor | None:
    """True at [CLS] and the first ``counts[i]`` patches of bag i; None without ``counts``."""
    if counts is None:
        return None
    return torch.arange(tokens.shape[1], device=tokens.device) <= counts.to(tokens.device)[:, None]
