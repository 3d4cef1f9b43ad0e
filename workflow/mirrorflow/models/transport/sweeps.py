"""Algorithm 2 of TTA, generalised: sweeps that contract, and a fixed number of them that autograd can follow."""

import math

import torch
from torch import Tensor

from mirrorflow.models.transport.kernel import TINY, Kernel, columns_of
from mirrorflow.models.transport.newton import Solved
from mirrorflow.models.transport.problem import Problem

PASSES, WIDTH = 4, 8
"""A solve by Newton costs about four sweeps, and one for every eight columns."""


def affordable(problem: Problem, small: float) -> int:
    """How many sweeps surely take an error of 1 below ``small``, where Newton costs as many or more; else 0.

    A sweep shrinks the largest error of the log scalings by ``problem.contraction`` at least: row scalings move by no
    more than column scalings did, and back, times the exponents. With a held column nothing is sure: Newton is taken.
    """
    if not 0 < problem.contraction < 1:
        return 0
    count = math.ceil(math.log(small) / math.log(problem.contraction))
    return count if count <= PASSES + len(problem.masses) / WIDTH else 0


def sweep(kernel: Kernel, theta: Tensor, count: int, *, small: float) -> Solved:
    """``count`` sweeps from ``theta`` [slide, column], and whether the error is then surely below ``small``."""
    for _ in range(count):
        theta = theta - kernel.residual(theta, kernel.masses(theta))
    left = kernel.residual(theta, kernel.masses(theta)).abs().amax(dim=1)
    contraction = kernel.problem.contraction
    passes = torch.full((len(theta),), count + 1, device=theta.device)
    return Solved(theta, passes, left < small * (1 - contraction))


def unrolled(cost: Tensor, mask: Tensor | None, problem: Problem, count: int, until: float) -> tuple[Tensor, ...]:
    """Plan [slide, token, column], log scalings and sweeps done after at most ``count`` sweeps from scalings of 1.

    As printed (Algorithm 2): the last update is the columns', so that rows are met only at convergence. Stops where the
    norm of the change of v over all slides is at most ``until``, which is how the released code stops; 0: never.
    Autograd follows each sweep, which keeps vectors alone. Costs of padding may be anything.
    """
    columns = columns_of(problem, cost.device)
    f, row = columns.exponents.to(cost.dtype), problem.row_exponent
    power = (f * columns.log_masses.to(cost.dtype)).exp()
    exponents = -cost / problem.epsilon
    if mask is not None:
        exponents = exponents.masked_fill(~mask[..., None], 0.0)
    if problem.sink:
        exponents = torch.nn.functional.pad(exponents, (0, 1))
    exponents = exponents + columns.closed.to(cost.dtype)
    top = exponents.detach().amax(dim=2)
    g = (exponents - top[..., None]).exp()
    weights = _weights(cost, mask)
    v, done = cost.new_ones(len(cost), len(f)), 0
    for _ in range(count):
        sums = torch.bmm(g, v[..., None])[..., 0]
        masses = weights if row == 1 else weights**row * ((1 - row) * (sums.log() + top)).exp()
        u = masses / sums
        column_sums = torch.bmm(u[:, None], g)[:, 0].clamp(min=torch.finfo(cost.dtype).tiny)
        last, v, done = v, power * column_sums.pow(-f), done + 1
        if until and float((v - last).detach().norm()) <= until:
            break
    plan = u[..., None] * g * v[:, None]
    return plan, v.double().clamp(min=TINY).log(), torch.full((len(cost),), done, device=cost.device)


def _weights(cost: Tensor, mask: Tensor | None) -> Tensor:
    """1/n at the n real tokens of each slide, else 0."""
    if mask is None:
        return cost.new_full(cost.shape[:2], 1 / cost.shape[1])
    return mask.to(cost.dtype) / mask.sum(dim=1, keepdim=True)
