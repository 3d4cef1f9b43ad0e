"""Newton on the dual: one equation a column, in logarithms.

With c(theta) the column masses once rows are eliminated, the optimum has R = f (log c - log b) + (1 - f) theta = 0:
theta minus its sweep. Its Jacobian is f (diag c - f_row sum_i r_i q_i q_i') / c + (1 - f), q_i the row's shares: one
product of an N x K matrix with itself. In logarithms a soft column is nearly linear however small its weight, where
Newton on c - b exp(-w theta) creeps or leaps. Once steps are short the last Jacobian serves again, as long as each step
is at most a quarter of the one before.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mirrorflow.models.transport.kernel import TINY, Columns, Kernel
from mirrorflow.models.transport.problem import Problem

LONGEST = 5.0
"""The largest change of a log scaling in a step."""
SHORT, SHRINKS = 0.4, 0.25
"""A step below the first needs no new Jacobian after it: where this one is new, or it shrank by the second."""


class Solved(NamedTuple):
    """Scalings [slide, column] in float64, passes over the tokens and whether they settled [slide]."""

    theta: Tensor
    passes: Tensor
    settled: Tensor


def newton(kernel: Kernel, theta: Tensor, *, small: float, limit: int) -> Solved:
    """From ``theta`` until the error that a step leaves is below ``small``, or ``limit`` passes are done.

    A step leaves its own length times by how much steps shrink. The device is looked at three times a pass: how far the
    scalings went, who has settled, who needs a Jacobian. No slide's course depends on the others.
    """
    slides, columns = theta.shape
    settled = torch.zeros(slides, dtype=torch.bool, device=theta.device)
    passes = torch.zeros(slides, dtype=torch.long, device=theta.device)
    stale = ~settled
    last = theta.new_full((slides,), TINY)  # the first step counts whole
    matrix = theta.new_zeros(slides, columns, columns)
    for _ in range(limit):
        products = torch.zeros_like(matrix) if bool(stale.any()) else None
        masses = kernel.masses(theta, (~settled).tolist(), products)
        if products is not None:
            fresh = jacobian(products, masses, kernel.columns, kernel.problem)
            matrix = torch.where(stale[:, None, None], fresh, matrix)
            factors, pivots, _ = torch.linalg.lu_factor_ex(matrix)
        residual = kernel.residual(theta, masses)
        step = torch.linalg.lu_solve(factors, pivots, residual[..., None])[..., 0]
        step = torch.where(step.isfinite().all(dim=1, keepdim=True), step, residual)  # a sweep where it is singular
        step, moved = _held_back(-step, masses, kernel.problem)
        shrinks = (moved / last).clamp(max=1)
        passes += ~settled
        theta = torch.where(settled[:, None], theta, theta + step)
        settled = settled | (moved * shrinks < small)
        if bool(settled.all()):
            break
        stale = ~settled & ~((moved < SHORT) & (stale | (shrinks < SHRINKS)))
        last = moved
    return Solved(theta, passes, settled)


def _held_back(step: Tensor, masses: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
    """The step, no longer than it may be, and the largest change [slide] that it makes.

    Where rows are held a shift of all scalings moves nothing: it is not counted, and may be of any size.
    """
    shift = torch.zeros_like(step[:, :1])
    if problem.row_exponent == 1:
        shift = (step * masses).sum(dim=1, keepdim=True) / masses.sum(dim=1, keepdim=True)
    rest = step - shift
    longest = rest.abs().amax(dim=1, keepdim=True)
    return shift + rest * (LONGEST / longest).clamp(max=1), longest[:, 0].clamp(max=LONGEST)


def jacobian(products: Tensor, masses: Tensor, columns: Columns, problem: Problem) -> Tensor:
    """Of R by theta [slide, column, column], from the row sums of r q q' and the column masses."""
    f = columns.exponents
    whole = torch.diag_embed(masses) - problem.row_exponent * products
    matrix = f[:, None] * whole / masses.clamp(min=TINY)[..., None] + torch.diag(1 - f)
    if problem.all_held:
        matrix = matrix + masses[:, None]  # scalings are known up to a shift
    return matrix
