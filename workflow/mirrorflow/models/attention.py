"""Self-attention over the tokens of a bag: the published Nystrom form and the exact one, on the same weights.

The two differ in how they mix tokens, not in what they learn: a state dict of one loads into the other.
Source: Xiong et al. 2021, "Nystromformer"; MIRROR's slide encoder uses it through TransMIL.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.config.bounds import check_heads
from mirrorflow.config.training_settings import PairedShape
from mirrorflow.models.banded import along_sequence
from mirrorflow.models.nystrom import first_weights, nystrom_attention
from mirrorflow.models.settings import AttentionForm

RESIDUAL_KERNEL = 33
PLAIN_SCORES_GB = 2.0
"""Plain products hold the scores of a whole batch, in each of three blocks: no more than this."""


class BagAttention(nn.Module, ABC):
    """What both forms share: projections, and a depth-wise convolution of the values along the sequence.

    ``forward(tokens [batch, token, width], mask [batch, token] | None) -> [batch, token, width]``, where
    the mask is True at real tokens. Whatever a masked token holds, the real ones do not see it.

    Raises ConfigError when ``heads`` do not divide ``width``.
    """

    def __init__(self, width: int, heads: int, *, dropout: float = PairedShape.dropout) -> None:
        super().__init__()
        check_heads(width, heads, what="slide_heads")
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * width, bias=False)
        self.to_out = nn.Linear(width, width)
        self.residual = nn.Conv2d(
            heads, heads, (RESIDUAL_KERNEL, 1), padding=(RESIDUAL_KERNEL // 2, 0), groups=heads, bias=False
        )
        self.dropout = nn.Dropout(dropout)

    def project(self, tokens: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [batch, head, token, width / heads], zero at masked tokens."""
        # One copy to the layout that every product below wants, instead of one in each of them.
        split = self.to_qkv(tokens).unflatten(-1, (3, self.heads, -1))
        q, k, v = split.permute(2, 0, 3, 1, 4).contiguous().unbind(0)
        if mask is None:
            return q, k, v
        padding = ~mask[:, None, :, None]
        return q.masked_fill(padding, 0), k.masked_fill(padding, 0), v.masked_fill(padding, 0)

    def smooth(self, values: Tensor) -> Tensor:
        """The convolution of values [batch, head, token, width / heads]; its operations are what the paper counts."""
        half_on_cpu = values.device.type == "cpu" and values.dtype in (torch.bfloat16, torch.float16)
        if values.is_meta or half_on_cpu:
            return self.residual(values)
        return along_sequence(values, self.residual.weight[:, 0, :, 0])

    def first(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """What ``forward`` gives the first token where no dropout is drawn [batch, 1, width]: values are summed before
        they are projected.
        """
        weights = self.first_weights(tokens, mask)
        taps = self.residual.weight[:, 0, RESIDUAL_KERNEL // 2 :, 0][:, : tokens.shape[1]].to(weights.dtype)
        weights = torch.cat([weights[..., : taps.shape[1]] + taps[:, None], weights[..., taps.shape[1] :]], dim=-1)
        if mask is not None:
            weights = weights.masked_fill(~mask[:, None, None], 0)
        summed = weights.squeeze(2) @ tokens.to(weights.dtype)
        values = torch.einsum("bhw,hdw->bhd", summed, self._weights_of(2))
        return self.to_out(values.flatten(1))[:, None]

    @abstractmethod
    def first_weights(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """How the first of ``tokens`` [batch, token, width] sums the values of all: [batch, head, 1, token]."""

    def _weights_of(self, part: int) -> Tensor:
        """Of queries (0), keys (1) or values (2) [head, width / heads, width]."""
        return self.to_qkv.weight.chunk(3)[part].unflatten(0, (self.heads, -1))

    def _heads_of(self, tokens: Tensor, part: int) -> Tensor:
        """Queries (0) or keys (1) of tokens [batch, head, token, width / heads]."""
        made = F.linear(tokens, self.to_qkv.weight.chunk(3)[part])
        return made.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def merge(self, mixed: Tensor) -> Tensor:
        """Join the heads [batch, head, token, width / heads] and project the result."""
        return self.dropout(self.to_out(mixed.transpose(1, 2).flatten(2)))


class ExactAttention(BagAttention):
    """Softmax attention over all pairs of tokens (flash attention where the device has it)."""

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix ``tokens`` [batch, token, width]; see :class:`BagAttention` for the mask."""
        q, k, v = self.project(tokens, mask)
        keys = None if mask is None else mask[:, None, None, :]
        return self.merge(exact_attention(q, k, v, keys) + self.smooth(v))

    def first_weights(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Softmax over real tokens; their keys are not formed either."""
        query = self._heads_of(tokens[:, :1], 0) * (tokens.shape[-1] // self.heads) ** -0.5
        by_width = torch.einsum("bhod,hdw->bhow", query, self._weights_of(1))
        scores = by_width.squeeze(2) @ tokens.to(by_width.dtype).mT
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None], torch.finfo(scores.dtype).min)
        return scores.softmax(dim=-1)[:, :, None]


class NystromAttention(BagAttention):
    """Attention through landmarks (means of runs of tokens) and an iterated pseudo-inverse.

    The sequence is padded in front with zeros to a multiple of ``landmarks``. Published behaviour, kept:
    without a mask those zeros take part in the softmax. Not kept: the published pseudo-inverse starts from the
    largest sums of the whole batch, so that a sample's output depends (slightly) on its batch; here it starts from
    the sample's own, which is what the published one does with a batch of one.
    """

    def __init__(self, width: int, heads: int, *, landmarks: int, dropout: float = PairedShape.dropout) -> None:
        super().__init__(width, heads, dropout=dropout)
        self.landmarks = landmarks

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix ``tokens`` [batch, token, width]; see :class:`BagAttention` for the mask."""
        count = tokens.shape[1]
        front = -count % self.landmarks
        tokens = F.pad(tokens, (0, 0, front, 0)) if front else tokens  # nothing in front would be a copy
        mask = None if mask is None else F.pad(mask, (front, 0), value=False)
        q, k, v = self.project(tokens, mask)
        mixed = nystrom_attention(q, k, v, landmarks=self.landmarks, mask=mask)
        return self.merge(mixed + self.smooth(v))[:, -count:]

    def first(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """As :meth:`BagAttention.first`; padded bags go the long way."""
        return super().first(tokens) if mask is None else self(tokens, mask)[:, :1]

    def first_weights(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Through landmarks; the zeros in front have no value."""
        front = -tokens.shape[1] % self.landmarks
        padded = F.pad(tokens, (0, 0, front, 0)) if front else tokens
        marks = padded
        if padded.shape[1] > self.landmarks:
            marks = padded.unflatten(1, (self.landmarks, -1)).mean(dim=2)
        weights = first_weights(self._heads_of(marks, 0), self._heads_of(tokens[:, :1], 0), self._heads_of(padded, 1))
        return weights[..., front:]


def make_attention(
    form: AttentionForm, width: int, heads: int, *, landmarks: int, dropout: float
) -> NystromAttention | ExactAttention:
    """The attention that the setting ``attention: nystrom | exact`` names."""
    if form == "nystrom":
        return NystromAttention(width, heads, landmarks=landmarks, dropout=dropout)
    return ExactAttention(width, heads, dropout=dropout)


def exact_attention(q: Tensor, k: Tensor, v: Tensor, keys: Tensor | None) -> Tensor:
    """softmax(QK') V over [batch, head, token, width]; ``keys`` [batch, 1, 1, token] is True at real ones. A sample
    without a real token gives 0, as from the fused kernel.

    On CPUs with AVX512-BF16 but no AMX the fused kernel gains nothing from bfloat16, while plain products
    do (measured at 2,117 tokens, forward and backward: 0.32 against 0.49 s a sample).
    """
    if not _plain_products_win(q):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=keys)
    with torch.autocast("cpu", enabled=False):
        scores = (q * q.shape[-1] ** -0.5) @ k.mT
        if keys is None:
            return scores.softmax(dim=-1) @ v
        scores = scores.masked_fill(~keys, torch.finfo(scores.dtype).min)  # -inf alone has no softmax
        return (scores.softmax(dim=-1) @ v).masked_fill(~keys.any(dim=-1, keepdim=True), 0.0)


def _plain_products_win(q: Tensor) -> bool:
    if q.device.type != "cpu" or q.dtype != torch.bfloat16 or torch.cpu._is_amx_tile_supported():
        return False
    scores_gb = q.shape[0] * q.shape[1] * q.shape[2] ** 2 * 2 / 1e9
    return scores_gb <= PLAIN_SCORES_GB
