"""The iterated pseudo-inverse of Nystromformer, applied to what it is multiplied with, and its gradient by hand.

Published (Xiong et al. 2021, Eq. 11): Z0 = A' / c and Z' = Z r(AZ) / 4 with r(X) = 13 - X (15 - X (7 - X)), six times.
The forward pass is that: each X = AZ is computed anew, which corrects what rounding did to Z. The last iteration is not
formed but applied to V, which is thin. With S = XX: r(X) = 13 - 15 X + 7 S - XS.

In float32 the backward pass uses what holds without rounding: X0 = AA' / c and X' = X r(X) / 4 are symmetric
polynomials of one matrix, so that they commute, and Z6 V = A' / c * r(X5) / 4 * ... * r(X0) / 4 * V. Gradients by X are
then symmetric, too, and cost three products of squares an iteration in place of eight. Half types round too much for
that: theirs follows the iteration as it is, from the Z that are kept. A test holds all against autograd in float64.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def pinv_times(matrices: Tensor, values: Tensor, scale: Tensor, iterations: int) -> Tensor:
    """The iterated pseudo-inverse of ``matrices`` [..., m, m] times ``values`` [..., m, width].

    ``scale`` [..., 1, 1], broadcast over the leading axes: c, by which the start A' is divided.
    """
    leading = matrices.shape[:-2]
    whole = scale.expand(*leading, 1, 1).flatten(0, -3)
    found = _PinvTimes.apply(matrices.flatten(0, -3), values.flatten(0, -3), whole, iterations)
    return found.unflatten(0, leading)


class _PinvTimes(torch.autograd.Function):
    """Keeps two squares an iteration (one in half types), where autograd would keep each product and sum."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, values: Tensor, scale: Tensor, iterations: int) -> Tensor:
        """a [n, m, m], values [n, m, width], scale [n, 1, 1] of one type."""
        z, kept = a.mT / scale, []
        for _ in range(iterations - 1):
            x = torch.bmm(a, z)
            s = torch.bmm(x, x)
            kept += [z] if is_half(a) else [x, s]
            r = torch.baddbmm(x, x, s, beta=-15, alpha=-1).add_(s, alpha=7)
            z = torch.bmm(z, _plus(r, 13)).mul_(0.25)
        last = torch.bmm(a, z)
        kept += [] if is_half(a) else [last]
        out = torch.bmm(z, _applied(values, *_powers(last, values)))
        ctx.save_for_backward(a, values, scale, out, z, *kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients by a, values and scale."""
        a, v, scale, out, z, *kept = ctx.saved_tensors
        x = torch.bmm(a, z) if is_half(a) else kept.pop()
        steps = _last_backward(x, torch.bmm(z.mT, grad))
        by_v = steps[0]
        if is_half(a):
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


def is_half(tensor: Tensor) -> bool:
    """Whether numbers have 11 bits or fewer."""
    return tensor.dtype in (torch.bfloat16, torch.float16)


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
