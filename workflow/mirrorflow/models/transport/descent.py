"""The dual as a convex function, for the rare problem in which Newton on its equations runs in circles.

Its gradient by theta is c - t, t = b exp(-w theta), w = (1 - f) / f. Newton's direction on it is one of descent, and a
step that does not bring it down is halved until it does: this ends at the optimum from everywhere. On soft columns it
is slower than :mod:`.newton`.
"""

import math

import torch
from torch import Tensor

from mirrorflow.models.transport.kernel import columns_of
from mirrorflow.models.transport.newton import LONGEST, Solved
from mirrorflow.models.transport.problem import Problem

ENOUGH, HALVINGS, RIDGE = 1e-4, 30, 1e-13


def descend(cost: Tensor, problem: Problem, theta: Tensor, *, small: float, limit: int) -> Solved:
    """From scalings ``theta`` [1, column] of one slide's costs [1, token, prototype], all tokens real, in float64."""
    exponents = torch.nn.functional.pad(cost[0] / -problem.epsilon, (0, int(problem.sink)))
    dual = _Dual(exponents, problem)
    one, length, passes = theta[0], math.inf, 0
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
    settled = torch.tensor([length < small], device=cost.device)
    return Solved(one[None], torch.tensor([passes], device=cost.device), settled)


class _Dual:
    """Value, gradient and Hessian of one slide's dual at scalings [column]."""

    def __init__(self, exponents: Tensor, problem: Problem) -> None:
        self.columns = columns_of(problem, exponents.device)
        self.exponents, self.row = exponents + self.columns.closed, problem.row_exponent
        self.shifts = problem.all_held
        f = self.columns.exponents
        self.pinned, self.held = f == 0, f == 1
        self.ratios = torch.where(self.pinned, 0.0, (1 - f) / f)

    def at(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The three; a pinned column stays where it is."""
        tops = torch.logsumexp(self.exponents + theta, dim=1)
        shares = (self.exponents + theta - tops[:, None]).exp()
        each = 1 / len(tops)
        rows = torch.full_like(tops, each) if self.row == 1 else each**self.row * ((1 - self.row) * tops).exp()
        wanted = (self.columns.log_masses - self.ratios * theta).exp()
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
