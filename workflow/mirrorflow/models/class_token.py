"""What the class token of a slide encoder attends to, patch by patch: the rows of its attention, and their rollout.

Exact attention's row is its softmax. That of Nystrom attention is the row of the approximation itself (Xiong et al.
2021, Eq. 13): softmax(q K~') pinv(softmax(Q~ K~')) softmax(Q~ K'), whose middle factor is no softmax, so that weights
may be negative and need not add up to 1. Rollout: Abnar & Zuidema 2020, Eq. 1, with heads averaged; what convolutions
mix (positions, the values' residual) is in neither.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mirrorflow.models.attention import (
    BagAttention,
    NystromAttention,
    iterated_pinv,
    landmark_means,
    masked_softmax,
)
from mirrorflow.models.seam import PatchWeights
from mirrorflow.models.transmil import SlideEncoder, squared

QUERIES = 512
"""Rows of exact attention at once."""


def class_token_weights(encoder: SlideEncoder, patches: Tensor, counts: Tensor | None = None) -> list[PatchWeights]:
    """Weights that the class token gives one bag's patches [1, patch, feature], scaled as in training.

    Of block 2 (which makes the slide's vector), of the rollout through both, of block 1. A patch whose token was
    repeated to fill the square has what all its tokens get. What is missing to 1 went to the class token itself and,
    without ``counts``, to the padding of the Nystrom form.
    """
    tokens, mask, sides = squared(encoder.embed(patches), counts)
    first = torch.cat([encoder.cls, tokens], dim=1)
    mixed = encoder.first(first, mask)
    second = torch.cat([mixed[:, :1], encoder.placed(mixed[:, 1:], sides)], dim=1)
    tokens_of = (encoder.first.norm(first), encoder.second.norm(second))
    attentions = (encoder.first.attention, encoder.second.attention)
    rows = [attention_rows(one, seen, mask) for one, seen in zip(attentions, tokens_of, strict=True)]
    rolled = _rollout(rows[1].mean(0), attentions[0], tokens_of[0], mask)
    count, form = patches.shape[1], attentions[0]
    named = (("block 2", rows[1]), ("rollout", rolled[None]), ("block 1", rows[0]))
    return [_weights(name, folded(row[:, 1:], count), form) for name, row in named]


def _weights(name: str, heads: Tensor, attention: BagAttention) -> PatchWeights:
    nystrom = isinstance(attention, NystromAttention)
    form = "Nystrom attention as approximated, whose weights may be negative" if nystrom else "exact attention"
    what = f"the class token's attention in {name} of 2, a mean of its {attention.heads} heads ({form})"
    if name == "rollout":
        what = f"the class token's attention rolled out through both blocks, heads averaged, half kept in each ({form})"
    return PatchWeights(name, heads.mean(0)[None], what, heads[None])


def attention_rows(
    attention: BagAttention, tokens: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """The first token's row [head, token] of one bag's attention; or ``weights`` [token] times all its rows.

    tokens [1, token, width] as the attention gets them; mask [1, token] is True at real ones.
    """
    if isinstance(attention, NystromAttention):
        return _nystrom_rows(attention, tokens, mask, weights)
    q, k, _ = (part[0] for part in attention.project(tokens, mask))
    keys = None if mask is None else ~mask[0]
    coefficients = torch.ones(1, device=q.device) if weights is None else weights
    found = q.new_zeros(q.shape[0], k.shape[1])
    for start in range(0, len(coefficients), QUERIES):
        own = coefficients[start : start + QUERIES]
        scores = (q[:, start : start + len(own)] * q.shape[-1] ** -0.5) @ k.mT
        if keys is not None:
            scores = scores.masked_fill(keys, float("-inf"))
        found += own @ scores.softmax(-1)
    return found


def _nystrom_rows(attention: NystromAttention, tokens: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor:
    """As :func:`attention_rows`, padded in front as in the forward pass; what went to padding is left out."""
    front = -tokens.shape[1] % attention.landmarks
    mask = None if mask is None else F.pad(mask, (front, 0), value=False)
    q, k, _ = attention.project(F.pad(tokens, (0, 0, front, 0)), mask)
    real = None if mask is None else mask[:, None, :]
    q_marks, marked = landmark_means(q, real, attention.landmarks)
    k_marks, _ = landmark_means(k, real, attention.landmarks)
    scale = q.shape[-1] ** -0.5
    asked, rows = q[:, :, front:], None if real is None else real[..., front:]
    if weights is None:
        asked, weights = asked[:, :, :1], torch.ones(1, device=q.device)
        rows = None if rows is None else rows[..., :1]
    to_marks = masked_softmax(asked @ (k_marks * scale).mT, rows, marked)
    among = masked_softmax(q_marks * scale @ k_marks.mT, marked, marked)
    from_marks = masked_softmax(q_marks * scale @ k.mT, marked, real)
    found = (((weights @ to_marks)[:, :, None] @ iterated_pinv(among)) @ from_marks)[0, :, 0]
    return (found if mask is None else found.masked_fill(~mask, 0.0))[:, front:]


def _rollout(row: Tensor, first: BagAttention, tokens: Tensor, mask: Tensor | None) -> Tensor:
    """The class token's row [token] of (A2 + I)/2 (A1 + I)/2; ``row``: that of A2, ``first`` gives A1."""
    itself = torch.zeros_like(row)
    itself[0] = 1.0
    half = (row + itself) / 2
    return (attention_rows(first, tokens, mask, half).mean(0) + half) / 2


def folded(rows: Tensor, count: int) -> Tensor:
    """Weights [head, token] of a square's tokens, in which patches repeat, as those of the patches [head, count]."""
    place = torch.arange(rows.shape[1], device=rows.device) % count
    return rows.new_zeros(rows.shape[0], count).index_add(1, place, rows)
