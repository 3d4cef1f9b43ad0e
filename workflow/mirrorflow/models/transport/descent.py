"""For the rare problem in which Newton runs in circles: annealing, and descent on the dual, a convex function.

The dual's gradient by theta is c - t, t = b exp(-w theta), w = (1 - f) / f. Newton's direction on it is one of descent,
and a step that does not bring it down is halved until it does: this ends at the optimum from everywhere. On soft
columns it is slower than :mod:`.newton`.
"""

import math

import numpy as np
import torch
from torch import Tensor

from mirrorflow.models.transport.kernel import Kernel, Vectors, columns_of
from mirrorflow.models.transport.newton import LONGEST, Solved, newton
from mirrorflow.models.transport.problem import Problem

ENOUGH, HALVINGS, RIDGE = 1e-4, 30, 1e-13
ROUGH, PATIENT = 0.05, 40
"""Error of scalings that is enough on the way down, and passes of Newton before descent is tried."""


def annealed(cost: Tensor, problem: Problem, small: float) -> Solved:
    """From a problem with a large epsilon, whose optimum is near, down to this one, each from the last's potentials.

    The weights of the marginals stay what they are. ``cost`` [slide, token, prototype], all tokens real, in float64.
    """
    epsilon = max(problem.epsilon, float(cost.max() - cost.min()) / 4)
    potentials = np.zeros((len(cost), len(problem.masses)))
    passes = np.zeros(len(cost), dtype=np.int64)
    while True:
        now = problem.with_epsilon(epsilon)
        kernel = Kernel(cost, None, now)
        kernel.rebase(potentials / epsilon)
        enough = small if epsilon == problem.epsilon else ROUGH
        solved = newton(kernel, potentials / epsilon, small=enough, limit=PATIENT)
        passes += solved.passes
        if not solved.settled.all():
            solved = descend(cost, now, potentials / epsilon, small=enough, limit=10 * PATIENT)
            passes += solved.passes
        potentials = solved.theta * epsilon
        if epsilon == problem.epsilon:
            return Solved(solved.theta, passes, solved.settled)
        epsilon = max(problem.epsilon, epsilon / 2)


def descend(cost: Tensor, problem: Problem, theta: Vectors, *, small: float, limit: int) -> Solved:
    """From scalings ``theta`` [1, column] of one slide's costs [1, token, prototype], all tokens real, in float64."""
    exponents = torch.nn.functional.pad(cost[0] / -problem.epsilon, (0, int(problem.sink)))
    dual = _Dual(exponents, problem)
    one, length, passes = torch.as_tensor(theta[0], device=cost.device), math.inf, 0
    value, gradient, hessian = dual.at(one)
    while length >= small and passes < limit:
        step = -torch.linalg.solve_ex(hessian, gradient)[0]
        length = float(step.abs().amax())
        step = step * min(1.0, LONGEST / length) if length else step
        slope = float(step @ gradient)
        for _ in range(HALVINGS):
            after = dual.at(one + step)
            passes += 1
            if float(after[0]) <= float(value) + ENOUGH * slope + RIDGE * abs(float(value)):
                break
            step = step / 2
        one, (value, gradient, hessian) = one + step, after
    return Solved(one[None].cpu().numpy(), np.array([passes]), np.array([length < small]))


class _Dual:
    """Value, gradient and Hessian of one slide's dual at scalings [column]."""

    def __init__(self, exponents: Tensor, problem: Problem) -> None:
        f, self.log_masses, closed = (torch.from_numpy(one).to(exponents.device) for one in columns_of(problem))
        self.exponents, self.row = exponents + closed, problem.row_exponent
        self.shifts = problem.all_held
        self.pinned, self.held = f == 0, f == 1
        self.ratios = torch.where(self.pinned, 0.0, (1 - f) / f)

    def at(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The three; a pinned column stays where it is."""
        tops = torch.logsumexp(self.exponents + theta, dim=1)
        shares = (self.exponents + theta - tops[:, None]).exp()
        each = 1 / len(tops)
        rows = torch.full_like(tops, each) if self.row == 1 else each**self.row * ((1 - self.row) * tops).exp()
        wanted = (self.log_masses - self.ratios * theta).exp()
        masses = rows @ shares
        value = (rows * tops).sum() if self.row == 1 else rows.sum() / (1 - self.row)
        by_column = torch.where(self.held, -wanted * theta, wanted / self.ratios)
        gradient = (masses - wanted).where(~self.pinned, 0.0)
        hessian = torch.diag(masses + self.ratios * wanted + RIDGE) - self.row * (shares.T * rows) @ shares
        if self.shifts:
            hessian = hessian + masses[:, None] * masses
        apart = torch.eye(len(theta), dtype=torch.float64, device=theta.device)
        hessian = torch.where(self.pinned[:, None] | self.pinned, apart, hessian)
        return value + by_column.where(~self.pinned, 0.0).sum(), gradient, hessian
