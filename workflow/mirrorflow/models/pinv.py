"""The iterated pseudo-inverse of Nystromformer, applied to what it is multiplied with, and its gradient by hand.

Published (Xiong et al. 2021, Eq. 11): Z0 = A' / c and Z' = Z r(AZ) / 4 with r(X) = 13 - X (15 - X (7 - X)), six times.
The forward pass is that: each X = AZ is computed anew, which corrects what rounding did to Z. The last iteration is not
formed but applied to V, which is thin. With S = XX: r(X) = 13 - 15 X + 7 S - XS.

In float32 the backward pass uses what holds without rounding: X0 = AA' / c and X' = X r(X) / 4 are symmetric
polynomials of one matrix, so that they commute, and Z6 V = A' / c * r(X5) / 4 * ... * r(X0) / 4 * V. Gradients by X are
then symmetric, too, and cost three products of squares an iteration in place of eight. Half types and TF32 round too
much for that: theirs follows the iteration as it is, from the Z that are kept. A test holds all against autograd in
float64.

Where no gradient is asked for, the forward pass takes that chain, too (:func:`chained`): two products of squares an
iteration in place of four. Of values that a softmax has summed, as attention's are, its error is that of float32 (m =
65: standard deviation 0.4e-6 to 1.5e-6 of the result's, for 0.3e-6 to 0.4e-6; at most 7e-6, for 6e-6). Matrices below
``CHAIN_FROM``, which are cheap, go without it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CACHE_BYTES = 2**20
"""Of a core: matrices are worked on in groups whose four squares fit (m = 65: 1.3 to 1.5 times as fast)."""
CHAIN_FROM = 32
FEW = 16
"""Values so many times fewer than a matrix has rows are multiplied by the last X, which is a polynomial, unformed."""


def pinv_times(matrices: Tensor, values: Tensor, scale: Tensor, iterations: int) -> Tensor:
    """The iterated pseudo-inverse of ``matrices`` [..., m, m] times ``values`` [..., m, width].

    ``scale`` [..., 1, 1], broadcast over the leading axes: c, by which the start A' is divided.
    """
    times = _chain_times if _goes_in_chain(matrices) else _PinvTimes.apply
    found = [times(*group, iterations) for group in _groups(matrices, values, scale)]
    return torch.cat(found).unflatten(0, matrices.shape[:-2])


def projected(matrices: Tensor, values: Tensor, scale: Tensor, iterations: int) -> Tensor:
    """``matrices`` times their iterated pseudo-inverse times ``values``, as :func:`pinv_times`; in the chain AZ = X."""
    if not _goes_in_chain(matrices):
        return matrices @ pinv_times(matrices, values, scale, iterations)
    found = []
    for a, v, c in _groups(matrices, values, scale):
        x = torch.bmm(a, a.mT).div_(c)
        for _ in range(iterations):
            x = chained(x, shifted(x))
        found.append(torch.bmm(x, v))
    return torch.cat(found).unflatten(0, matrices.shape[:-2])


def _goes_in_chain(matrices: Tensor) -> bool:
    return not torch.is_grad_enabled() and not rounds_much(matrices) and matrices.shape[-1] >= CHAIN_FROM


def _groups(matrices: Tensor, values: Tensor, scale: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Along one leading axis, and on a CPU cut into parts that stay in the cores' caches."""
    whole = scale.expand(*matrices.shape[:-2], 1, 1)
    flat = [tensor.flatten(0, -3) for tensor in (matrices, values, whole)]
    size = len(flat[0])
    if matrices.device.type == "cpu":
        squares = 4 * matrices.shape[-1] ** 2 * matrices.element_size()
        size = torch.get_num_threads() * max(1, CACHE_BYTES // max(1, squares))
    return list(zip(*(tensor.split(max(1, size)) for tensor in flat), strict=True))


class _PinvTimes(torch.autograd.Function):
    """Keeps two squares an iteration (one in half types), where autograd would keep each product and sum."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, values: Tensor, scale: Tensor, iterations: int) -> Tensor:
        """a [n, m, m], values [n, m, width], scale [n, 1, 1] of one type."""
        z, kept = a.mT / scale, []
        for _ in range(iterations - 1):
            x = torch.bmm(a, z)
            s = torch.bmm(x, x)
            kept += [z] if rounds_much(a) else [x, s]
            r = torch.baddbmm(x, x, s, beta=-15, alpha=-1).add_(s, alpha=7)
            z = torch.bmm(z, _plus(r, 13)).mul_(0.25)
        last = torch.bmm(a, z)
        kept += [] if rounds_much(a) else [last]
        out = torch.bmm(z, _applied(values, *_powers(last, values)))
        ctx.save_for_backward(a, values, scale, out, z, *kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients by a, values and scale."""
        a, v, scale, out, z, *kept = ctx.saved_tensors
        x = torch.bmm(a, z) if rounds_much(a) else kept.pop()
        steps = _last_backward(x, torch.bmm(z.mT, grad))
        by_v = steps[0]
        if rounds_much(a):
            first, second, third = _powers(x, v)
            by_x = _of_last(steps, (v, first, second))
            by_z = torch.bmm(grad, _applied(v, first, second, third).mT)
            by_a = torch.bmm(by_x, z.mT)
            by_z.baddbmm_(a.mT, by_x)
            for one in reversed(kept):
                by_z, by_a = _step_backward(a, one, by_z, by_a)
            by_scale = _inner(by_z, a.mT).div_(scale)
            return by_a.add_(by_z.mT.div(scale)), by_v, by_scale.neg_().div_(scale), None
        by_a, by_scale = _chain_backward((a, v, scale, out, x), kept, grad)
        return by_a, by_v, by_scale, None


def rounds_much(tensor: Tensor) -> bool:
    """Whether products of such tensors have 11 bits or fewer: half types, and TF32 on a GPU."""
    in_tf32 = tensor.is_cuda and torch.backends.cuda.matmul.allow_tf32
    return tensor.dtype in (torch.bfloat16, torch.float16) or (in_tf32 and tensor.dtype == torch.float32)


def shifted(x: Tensor) -> Tensor:
    """M = XX - 3.5 X of symmetric matrices [n, m, m]: what every polynomial of an iteration is made of."""
    return torch.baddbmm(x, x, x, beta=-3.5)


def chained(x: Tensor, m: Tensor) -> Tensor:
    """X r(X) / 4, which is (3.375 X - 2.75 M - MM) / 4."""
    return torch.add(m, x, alpha=-3.375 / 2.75).baddbmm_(m, m, beta=-2.75 / 4, alpha=-0.25)


def _chain_times(a: Tensor, values: Tensor, scale: Tensor, iterations: int) -> Tensor:
    """As ``_PinvTimes``, without gradients. Values lie as rows, which products of a few are fastest with."""
    x, rows = torch.bmm(a, a.mT).div_(scale), values.mT.contiguous()
    few = iterations > 1 and rows.shape[1] * FEW <= a.shape[-1]
    for _ in range(iterations - 2 if few else iterations - 1):
        m = shifted(x)
        by_x = torch.bmm(rows, x)
        # r(X) = 13 - 2.75 X + (3.5 - X) M
        rest = torch.sub(rows, by_x, alpha=1 / 3.5)
        rows = torch.sub(rows, by_x, alpha=2.75 / 13).baddbmm_(rest, m, beta=3.25, alpha=0.875)
        x = chained(x, m)
    rows = _applied(rows, *_rows_times_powers(rows, x))
    if few:
        made = [rows]
        for _ in range(3):
            first, second, third = _rows_times_powers(made[-1], x)
            made.append(_applied(first, second, third, torch.bmm(third, x)))
        rows = _applied(*made)
    return torch.bmm(rows, a).div_(scale).mT


def _rows_times_powers(rows: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """vX, vXX, vXXX."""
    first = torch.bmm(rows, x)
    second = torch.bmm(first, x)
    return first, second, torch.bmm(second, x)


def _chain_backward(
    given: tuple[Tensor, Tensor, Tensor, Tensor, Tensor], kept: Sequence[Tensor], grad: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients by A and c through the chain of X alone; ``given``: A, V, c, the result and the last X."""
    a, v, scale, out, last = given
    xs, squares, steps = kept[::2], kept[1::2], []
    for x, s in zip(xs, squares, strict=True):
        second = torch.bmm(s, v)
        steps.append((x, s, v, second))
        v = _applied(v, torch.bmm(x, v), second, torch.bmm(x, second))
    first, second, third = _powers(last, v)
    passed = _last_backward(last, torch.bmm(a, grad).div_(scale))
    by_v, by_x = passed[0], _twice_symmetric(_of_last(passed, (v, first, second)))
    by_a = torch.bmm(_applied(v, first, second, third), grad.mT)
    for step in reversed(steps):
        by_v, by_x = _backward(*step, by_v, by_x)
    by_scale = _inner(grad, out) + 0.5 * _inner(by_x, xs[0] if xs else last)
    return torch.baddbmm(by_a, by_x, a).div_(scale), by_scale.neg_().div_(scale)


def _step_backward(a: Tensor, z: Tensor, by_z: Tensor, by_a: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients by Z, and by A so far, of one iteration Z r(AZ) / 4, which is computed again."""
    x = torch.bmm(a, z)
    p = _plus(x.neg(), 7)
    q = _plus(torch.bmm(x, p).neg_(), 15)
    r = _plus(torch.bmm(x, q).neg_(), 13)
    quarter = by_z * 0.25
    by_r = torch.bmm(z.mT, quarter)
    by_q = torch.bmm(x.mT, by_r).neg_()
    by_x = torch.bmm(by_r, q.mT).add_(torch.bmm(by_q, p.mT)).neg_().add_(torch.bmm(x.mT, by_q))
    by_a = by_a.baddbmm_(by_x, z.mT)
    return torch.bmm(quarter, r.mT).baddbmm_(a.mT, by_x), by_a


def _plus(matrices: Tensor, number: float) -> Tensor:
    """With ``number`` added to the diagonal, in place."""
    matrices.diagonal(dim1=-2, dim2=-1).add_(number)
    return matrices


def _powers(x: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Xv, XXv, XXXv."""
    first = torch.bmm(x, v)
    second = torch.bmm(x, first)
    return first, second, torch.bmm(x, second)


def _applied(v: Tensor, first: Tensor, second: Tensor, third: Tensor) -> Tensor:
    """r(X) v / 4, from v, Xv, XXv and XXXv."""
    return (v * 13).sub_(first, alpha=15).add_(second, alpha=7).sub_(third).mul_(0.25)


def _last_backward(x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of the last r(X) v / 4: by v, Xv, XXv and, but for its sign, XXXv."""
    quarter = grad * 0.25
    by_second = (quarter * 7).sub_(torch.bmm(x.mT, quarter))
    by_first = torch.bmm(x.mT, by_second).sub_(quarter, alpha=15)
    return torch.bmm(x.mT, by_first).add_(quarter, alpha=13), by_first, by_second, quarter


def _of_last(steps: Sequence[Tensor], thins: Sequence[Tensor]) -> Tensor:
    """The gradient by the last X; ``thins``: v, Xv and XXv."""
    _, by_first, by_second, quarter = steps
    v, first, second = thins
    left, right = torch.cat([-quarter, by_second, by_first], dim=-1), torch.cat([second, first, v], dim=-1)
    return torch.bmm(left, right.mT)


def _backward(x: Tensor, s: Tensor, v: Tensor, second: Tensor, by_v: Tensor, by_x: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients by v and, twice, by X of one iteration, from those by its r(X) v / 4 and, twice, by its X'.

    That by X', a quarter of which is h below, is symmetric: with P = Xh and Q = XP,
    (13 X - 15 S + (7 X - S) S) / 4 gives S the gradient 7 P - Q - Q' - 15 h, and X itself 13 h + 7 Q'.
    """
    quarter, h = by_v * 0.25, by_x * 0.125
    back = torch.bmm(x.mT, quarter)
    by_second = (quarter * 7).sub_(back)
    new_by_v = torch.baddbmm(quarter, s.mT, by_second, beta=13).sub_(back, alpha=15)
    p = torch.bmm(x, h)
    q = torch.bmm(x, p)
    by_s = torch.baddbmm((p * 7).sub_(q, alpha=2), by_second, v.mT).sub_(h, alpha=15)
    through_s = torch.bmm(x, _twice_symmetric(by_s))
    direct = torch.baddbmm(q, quarter, second.add(v, alpha=15).mT, beta=7, alpha=-1)
    return new_by_v, _twice_symmetric(direct.add_(through_s)).add_(h, alpha=26)


def _twice_symmetric(matrices: Tensor) -> Tensor:
    """The symmetric part, twice."""
    return matrices + matrices.mT


def _inner(left: Tensor, right: Tensor) -> Tensor:
    """Sum of the products of each pair of matrices [n, 1, 1]."""
    return (left * right).sum(dim=(-2, -1), keepdim=True)
