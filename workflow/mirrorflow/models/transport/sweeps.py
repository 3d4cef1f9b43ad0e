"""Algorithm 2 of TTA, generalised: sweeps that contract, and a fixed number of them that autograd can follow."""

import math

import numpy as np
import torch
from torch import Tensor

from mirrorflow.models.transport.kernel import TINY, Kernel, Vectors, columns_of, row_weights
from mirrorflow.models.transport.newton import Solved, residual_of
from mirrorflow.models.transport.problem import Problem

PASSES, WIDTH = 4, 12
"""A solve by Newton costs about four sweeps, and one for every twelve columns (measured)."""


def affordable(problem: Problem, small: float) -> int:
    """How many sweeps surely take an error of 1 below ``small``, where Newton costs as many or more; else 0.

    A sweep shrinks the largest error of the log scalings by ``problem.contraction`` at least: row scalings move by no
    more than column scalings did, and back, times the exponents. With a held column nothing is sure: Newton is taken.
    """
    if not 0 < problem.contraction < 1:
        return 0
    count = math.ceil(math.log(small) / math.log(problem.contraction))
    return count if count <= PASSES + len(problem.masses) / WIDTH else 0


def sweep(kernel: Kernel, theta: Vectors, count: int, *, small: float) -> Solved:
    """``count`` sweeps from ``theta`` [slide, column], and whether the error is then surely below ``small``."""
    for _ in range(count):
        theta = theta - residual_of(kernel, theta, kernel.masses(theta))
    left = np.abs(residual_of(kernel, theta, kernel.masses(theta))).max(axis=1)
    passes = np.full(len(theta), count + 1)
    return Solved(theta, passes, left < small * (1 - kernel.problem.contraction))


def unrolled(cost: Tensor, mask: Tensor | None, problem: Problem, count: int, until: float) -> tuple[Tensor, ...]:
    """Plan [slide, token, column], log scalings and sweeps done after at most ``count`` sweeps from scalings of 1.

    As printed (Algorithm 2): the last update is the columns', so that rows are met only at convergence. Stops where the
    norm of the change of v over all slides is at most ``until``, which is how the released code stops; 0: never.
    Autograd follows each sweep, which keeps vectors alone. Costs of padding may be anything.
    """
    columns, row = columns_of(problem), problem.row_exponent
    f, log_masses, closed = (torch.from_numpy(one).to(cost) for one in columns)
    power = (f * log_masses).exp()
    exponents = -cost / problem.epsilon
    if mask is not None:
        exponents = exponents.masked_fill(~mask[..., None], 0.0)
    if problem.sink:
        exponents = torch.nn.functional.pad(exponents, (0, 1))
    exponents = exponents + closed
    top = exponents.detach().amax(dim=2)
    g = (exponents - top[..., None]).exp()
    weights = row_weights(cost, mask)
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
