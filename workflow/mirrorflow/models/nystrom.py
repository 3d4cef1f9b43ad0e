"""Nystrom attention as functions of queries, keys and values [batch, head, token, width] (Xiong et al. 2021)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mirrorflow.models.pinv import pinv_times, projected

PINV_ITERATIONS = 6
SCORES_GB = 0.25
"""Scores of landmarks and tokens that are formed at a time."""


def nystrom_attention(q: Tensor, k: Tensor, v: Tensor, *, landmarks: int, mask: Tensor | None = None) -> Tensor:
    """softmax(QK~') pinv(softmax(Q~K~')) softmax(Q~K') V with landmarks Q~, K~ (Nystromformer, Eq. 13).

    Queries, keys and values are [batch, head, token, width], the number of tokens a multiple of
    ``landmarks``; ``mask`` [batch, token] is True at real tokens. Without one the outer two softmaxes are fused
    with what they are multiplied by, and products go from right to left: the same, up to rounding. With a landmark a
    token all three softmaxes are one.
    """
    if mask is not None or q.is_meta:
        return _in_published_order(q, k, v, landmarks, mask)
    q_marks, k_marks = (landmark_means(part, None, landmarks)[0].to(q.dtype) for part in (q, k))
    among_marks = _softmax(q_marks, k_marks)
    start = start_scale(among_marks)
    if landmarks == q.shape[2]:
        return projected(among_marks, among_marks @ v, start, PINV_ITERATIONS)
    gathered = F.scaled_dot_product_attention(q_marks, k, v)
    spread = pinv_times(among_marks, gathered, start, PINV_ITERATIONS)
    return F.scaled_dot_product_attention(q, k_marks, spread)


def first_weights(q_marks: Tensor, q_first: Tensor, k: Tensor) -> Tensor:
    """By what :func:`nystrom_attention` weighs the values of all tokens for one query: [batch, head, 1, token].

    q_marks: means of the queries' runs [batch, head, landmark, width]; q_first [batch, head, 1, width]; all keys k.
    """
    landmarks = q_marks.shape[2]
    k_marks = landmark_means(k, None, landmarks)[0].to(k.dtype)
    among_marks, own = _softmax(q_marks, k_marks), _softmax(q_first, k_marks)
    # A row times the pseudo-inverse is that of the transposed matrix times a column.
    spread = pinv_times(among_marks.mT, own.mT, start_scale(among_marks), PINV_ITERATIONS).mT
    if landmarks == k.shape[2]:
        return spread @ among_marks
    at_a_time = max(1, int(SCORES_GB * 1e9 / (4 * k.shape[1] * landmarks * k.shape[2])))
    groups = zip(*(part.split(at_a_time) for part in (spread, q_marks, k)), strict=True)
    return torch.cat([some @ _softmax(marks, keys) for some, marks, keys in groups])


def _softmax(q: Tensor, k: Tensor) -> Tensor:
    """softmax(QK'), scaled as usual, in the type of the products."""
    return ((q * q.shape[-1] ** -0.5) @ k.mT).softmax(dim=-1).to(q.dtype)


def _in_published_order(q: Tensor, k: Tensor, v: Tensor, landmarks: int, mask: Tensor | None) -> Tensor:
    """The same with every softmax formed, which padding needs; its operations are what the paper counts."""
    scale = q.shape[-1] ** -0.5
    real = None if mask is None else mask[:, None, :]
    q_marks, marked = landmark_means(q, real, landmarks)
    k_marks, _ = landmark_means(k, real, landmarks)
    # What is scaled is the landmarks of either side, which are fewer than the tokens.
    q_marks = q_marks * scale
    to_marks = masked_softmax(q @ (k_marks * scale).mT, real, marked)
    among_marks = masked_softmax(q_marks @ k_marks.mT, marked, marked)
    from_marks = masked_softmax(q_marks @ k.mT, marked, real)
    return (to_marks @ iterated_pinv(among_marks)) @ (from_marks @ v)


def landmark_means(tokens: Tensor, real: Tensor | None, landmarks: int) -> tuple[Tensor, Tensor | None]:
    """Mean of each run's real tokens [batch, head, landmark, width], and which runs hold any.

    Tokens that are not real are zero already (:meth:`BagAttention.project`).
    """
    if real is None and landmarks == tokens.shape[2]:
        return tokens, None
    runs = tokens.unflatten(2, (landmarks, -1))
    if real is None:
        return runs.mean(dim=3), None
    counts = real.unflatten(2, (landmarks, -1)).sum(dim=3)
    return runs.sum(dim=3) / counts.clamp(min=1)[..., None], counts > 0


def masked_softmax(scores: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    """Softmax over the last axis among real columns; a row that is not real becomes uniform."""
    if rows is not None and columns is not None:
        hidden = ~(rows[..., :, None] & columns[..., None, :])
        scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1)


def start_scale(matrices: Tensor) -> Tensor:
    """|A|_1 |A|_inf [batch, 1, 1, 1] of softmaxes, each the largest over a sample's heads.

    So a batch gives what one by one gives.
    """
    wide = torch.promote_types(matrices.dtype, torch.float32)
    rows, columns = (matrices.sum(dim=dim, dtype=wide).amax(dim=(1, 2)) for dim in (-1, -2))
    return (rows * columns)[:, None, None, None].to(matrices.dtype)


def iterated_pinv(matrices: Tensor, iterations: int = PINV_ITERATIONS) -> Tensor:
    """Approximate pseudo-inverse of [batch, head, m, m] by a third-order iteration (Nystromformer, Eq. 11).

    The start is A' / c, see :func:`start_scale`.
    """
    start = matrices.mT / start_scale(matrices)
    a, z = matrices.flatten(0, 1), start.flatten(0, 1)
    eye = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)[None]
    first, second, third = 1.75 * eye, -3.75 * eye, 3.25 * eye
    for _ in range(iterations):
        # z (13 I - az (15 I - az (7 I - az))) / 4, with the signs and the quarter drawn into the innermost bracket.
        az = torch.bmm(a, z)
        inner = torch.baddbmm(second, az, torch.add(first, az, alpha=-0.25))
        z = torch.bmm(z, torch.baddbmm(third, az, inner))
    return z.unflatten(0, matrices.shape[:2])
