"""What the class token of a slide encoder attends to, patch by patch: the rows of its attention, and their rollout.

Exact attention's row is its softmax. That of Nystrom attention is the row of the approximation itself (Xiong et al.
2021, Eq. 13): softmax(q K~') pinv(softmax(Q~ K~')) softmax(Q~ K'), whose middle factor is no softmax, so that weights
may be negative and need not add up to 1. Rollout: Abnar & Zuidema 2020, Eq. 1, with heads averaged; what convolutions
mix (positions, the values' residual) is in neither.
"""

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mirrorflow.models.attention import BagAttention, NystromAttention, exact_attention
from mirrorflow.models.nystrom import iterated_pinv, landmark_means, masked_softmax
from mirrorflow.models.seam import PatchWeights

QUERIES = 512
"""Rows of exact attention at once."""


class TwoBlocks(Protocol):
    """An encoder of two blocks with a class token in front, positions between them: TransMIL's."""

    @property
    def first(self) -> Any:
        """x + attention(norm(x))."""

    @property
    def second(self) -> Any:
        """x + attention(norm(x))."""

    def before_first(self, patches: Tensor, counts: Tensor | None) -> tuple[Tensor, Tensor | None, list[int] | None]:
        """Tokens as the first block takes them, which are real, each bag's side."""

    def placed(self, tokens: Tensor, sides: list[int] | None) -> Tensor:
        """Positions added to the patches' tokens."""


def class_token_weights(encoder: TwoBlocks, patches: Tensor, counts: Tensor | None = None) -> list[PatchWeights]:
    """Weights that the class token gives one bag's patches [1, patch, feature], scaled as in training.

    Of block 2 (which makes the slide's vector), of the rollout through both, of block 1. A patch whose token was
    repeated to fill the square has what all its tokens get. What is missing to 1 went to the class token itself and,
    without ``counts``, to the padding of the Nystrom form.
    """
    first, mask, sides = encoder.before_first(patches, counts)
    one = mixing_of(encoder.first.attention, encoder.first.norm(first), mask)
    mixed = first + one.mixed()
    second = torch.cat([mixed[:, :1], encoder.placed(mixed[:, 1:], sides)], dim=1)
    last = mixing_of(encoder.second.attention, encoder.second.norm(second), mask).rows()
    count, form = patches.shape[1], encoder.first.attention
    named = (("block 2", last), ("rollout", _rollout(last.mean(0), one)[None]), ("block 1", one.rows()))
    return [_weights(name, folded(row[:, 1:], count), form) for name, row in named]


def _weights(name: str, heads: Tensor, attention: BagAttention) -> PatchWeights:
    nystrom = isinstance(attention, NystromAttention)
    form = "Nystrom attention as approximated, whose weights may be negative" if nystrom else "exact attention"
    what = f"the class token's attention in {name} of 2, a mean of its {attention.heads} heads ({form})"
    if name == "rollout":
        what = f"the class token's attention rolled out through both blocks, heads averaged, half kept in each ({form})"
    return PatchWeights(name, heads.mean(0)[None], what, heads[None])


class Mixing(Protocol):
    """An attention on one bag's tokens."""

    def rows(self, weights: Tensor | None = None) -> Tensor:
        """The first token's row [head, token]; or ``weights`` [token] times all rows."""

    def mixed(self) -> Tensor:
        """What the attention gives [1, token, width]."""


def mixing_of(attention: BagAttention, tokens: Tensor, mask: Tensor | None = None) -> Mixing:
    """``attention`` on one bag's tokens [1, token, width] as it gets them; mask [1, token] is True at real ones."""
    return (
        _Nystrom(attention, tokens, mask)
        if isinstance(attention, NystromAttention)
        else _Exact(attention, tokens, mask)
    )


class _Exact:
    """All pairs, a run of queries at a time."""

    def __init__(self, attention: BagAttention, tokens: Tensor, mask: Tensor | None) -> None:
        self.attention, self.mask = attention, mask
        self.q, self.k, self.v = attention.project(tokens, mask)

    def rows(self, weights: Tensor | None = None) -> Tensor:
        """Of the softmax."""
        q, k = self.q[0], self.k[0]
        coefficients = torch.ones(1, device=q.device) if weights is None else weights
        found = q.new_zeros(q.shape[0], k.shape[1])
        for start in range(0, len(coefficients), QUERIES):
            own = coefficients[start : start + QUERIES]
            scores = (q[:, start : start + len(own)] * q.shape[-1] ** -0.5) @ k.mT
            if self.mask is not None:
                scores = scores.masked_fill(~self.mask[0], float("-inf"))
            found += own @ scores.softmax(-1)
        return found

    def mixed(self) -> Tensor:
        """As its own forward pass."""
        keys = None if self.mask is None else self.mask[:, None, None, :]
        both = exact_attention(self.q, self.k, self.v, keys) + self.attention.smooth(self.v)
        return self.attention.merge(both)


class _Nystrom:
    """Padded in front as in the forward pass; what went to padding is left out of the rows. One pseudo-inverse is made
    for the rows and for what is mixed.
    """

    def __init__(self, attention: NystromAttention, tokens: Tensor, mask: Tensor | None) -> None:
        self.attention, self.front = attention, -tokens.shape[1] % attention.landmarks
        self.mask = None if mask is None else F.pad(mask, (self.front, 0), value=False)
        self.q, k, self.v = attention.project(F.pad(tokens, (0, 0, self.front, 0)), self.mask)
        self.real = None if self.mask is None else self.mask[:, None, :]
        q_marks, self.marked = landmark_means(self.q, self.real, attention.landmarks)
        self.k_marks, _ = landmark_means(k, self.real, attention.landmarks)
        q_marks = q_marks * self.q.shape[-1] ** -0.5
        self.pinv = iterated_pinv(masked_softmax(q_marks @ self.k_marks.mT, self.marked, self.marked))
        self.from_marks = masked_softmax(q_marks @ k.mT, self.marked, self.real)

    def _to_marks(self, asked: slice) -> Tensor:
        real = None if self.real is None else self.real[..., asked]
        scores = self.q[:, :, asked] @ (self.k_marks * self.q.shape[-1] ** -0.5).mT
        return masked_softmax(scores, real, self.marked)

    def rows(self, weights: Tensor | None = None) -> Tensor:
        """Of the three factors' product."""
        first = slice(self.front, self.front + 1) if weights is None else slice(self.front, None)
        coefficients = torch.ones(1, device=self.q.device) if weights is None else weights
        found = (((coefficients @ self._to_marks(first))[:, :, None] @ self.pinv) @ self.from_marks)[0, :, 0]
        return (found if self.mask is None else found.masked_fill(~self.mask, 0.0))[:, self.front :]

    def mixed(self) -> Tensor:
        """As its own forward pass, up to rounding."""
        values = self._to_marks(slice(0, None)) @ (self.pinv @ (self.from_marks @ self.v))
        return self.attention.merge(values + self.attention.smooth(self.v))[:, self.front :]


def _rollout(row: Tensor, first: Mixing) -> Tensor:
    """The class token's row [token] of (A2 + I)/2 (A1 + I)/2; ``row``: that of A2, ``first`` gives A1."""
    itself = torch.zeros_like(row)
    itself[0] = 1.0
    half = (row + itself) / 2
    return (first.rows(half).mean(0) + half) / 2


def folded(rows: Tensor, count: int) -> Tensor:
    """Weights [head, token] of a square's tokens, in which patches repeat, as those of the patches [head, count]."""
    place = torch.arange(rows.shape[1], device=rows.device) % count
    return rows.new_zeros(rows.shape[0], count).index_add(1, place, rows)
