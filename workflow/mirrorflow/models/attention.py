"""Self-attention over the tokens of a bag: the published Nystrom form and the exact one, on the same weights.

The two differ in how they mix tokens, not in what they learn: a state dict of one loads into the other.
Source: Xiong et al. 2021, "Nystromformer"; MIRROR's slide encoder uses it through TransMIL.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.config.bounds import check_heads
from mirrorflow.config.training_settings import PairedShape
from mirrorflow.models.pinv import pinv_times
from mirrorflow.models.settings import AttentionForm

RESIDUAL_KERNEL = 33
PINV_ITERATIONS = 6
PLAIN_SCORES_GB = 2.0
"""Plain products hold the scores of a whole batch, in each of three blocks: no more than this."""


class BagAttention(nn.Module):
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

    def merge(self, mixed: Tensor) -> Tensor:
        """Join the heads [batch, head, token, width / heads] and project the result."""
        return self.dropout(self.to_out(mixed.transpose(1, 2).flatten(2)))


class ExactAttention(BagAttention):
    """Softmax attention over all pairs of tokens (flash attention where the device has it)."""

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix ``tokens`` [batch, token, width]; see :class:`BagAttention` for the mask."""
        q, k, v = self.project(tokens, mask)
        keys = None if mask is None else mask[:, None, None, :]
        return self.merge(exact_attention(q, k, v, keys) + self.residual(v))


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
        tokens = F.pad(tokens, (0, 0, front, 0))
        mask = None if mask is None else F.pad(mask, (front, 0), value=False)
        q, k, v = self.project(tokens, mask)
        mixed = nystrom_attention(q, k, v, landmarks=self.landmarks, mask=mask)
        return self.merge(mixed + self.residual(v))[:, -count:]


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


def nystrom_attention(q: Tensor, k: Tensor, v: Tensor, *, landmarks: int, mask: Tensor | None = None) -> Tensor:
    """softmax(QK~') pinv(softmax(Q~K~')) softmax(Q~K') V with landmarks Q~, K~ (Nystromformer, Eq. 13).

    Queries, keys and values are [batch, head, token, width], the number of tokens a multiple of
    ``landmarks``; ``mask`` [batch, token] is True at real tokens. Without one the outer two softmaxes are fused
    with what they are multiplied by, and products go from right to left: the same, up to rounding.
    """
    if mask is not None or q.is_meta:
        return _in_published_order(q, k, v, landmarks, mask)
    q_marks, k_marks = (landmark_means(part, None, landmarks)[0].to(q.dtype) for part in (q, k))
    among_marks = ((q_marks * q.shape[-1] ** -0.5) @ k_marks.mT).softmax(dim=-1).to(q.dtype)
    gathered = F.scaled_dot_product_attention(q_marks, k, v)
    spread = pinv_times(among_marks, gathered, start_scale(among_marks), PINV_ITERATIONS)
    return F.scaled_dot_product_attention(q, k_marks, spread)


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
    """|A|_1 |A|_inf [batch, 1, 1, 1], each the largest over a sample's heads: a batch gives what one by one gives."""
    sizes = matrices.abs()
    wide = torch.promote_types(matrices.dtype, torch.float32)
    rows, columns = (sizes.sum(dim=dim, dtype=wide).amax(dim=(1, 2)) for dim in (-1, -2))
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
