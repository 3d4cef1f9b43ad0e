"""Newton on the dual: one equation a column, in logarithms.

With c(theta) the column masses once rows are eliminated, the optimum has R = f (log c - log b) + (1 - f) theta = 0:
theta minus its sweep. Its Jacobian is f (diag c - f_row sum_i r_i q_i q_i') / c + (1 - f), q_i the row's shares: one
product of an N x K matrix with itself. In logarithms a soft column is nearly linear however small its weight, where
Newton on c - b exp(-w theta) creeps or leaps.

The inverse of a Jacobian serves again, corrected by each step's outcome (Broyden's update: the least change with which
it would have foretold it), as long as a step is at most a third of the one before.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mirrorflow.models.transport.kernel import TINY, Columns, Kernel, Vectors
from mirrorflow.models.transport.problem import Problem

LONGEST = 5.0
"""The largest change of a log scaling in a step."""
SHRINKS = 0.3
"""Steps that shrink less than to this share of the last want a new Jacobian..."""
MUCH = 100.0
"""... if they are so many times the error that is asked."""
LEAST = 0.01
"""No first step is trusted to leave less than this share: one that shrinks a lot may be luck."""


class Solved(NamedTuple):
    """Scalings [slide, column], passes over all tokens and whether they settled [slide]."""

    theta: Vectors
    passes: NDArray[np.int64]
    settled: NDArray[np.bool_]


def newton(kernel: Kernel, theta: Vectors, *, small: float, limit: int) -> Solved:
    """From ``theta`` until the error that a step leaves is below ``small``, or ``limit`` passes are done.

    A step leaves its own length times by how much steps shrink. No slide's course depends on the others. The first
    Jacobian may be rough: where it is far off, the next steps show it.
    """
    slides, columns = theta.shape
    settled, passes = np.zeros(slides, dtype=bool), np.zeros(slides, dtype=np.int64)
    last, shrinks = np.full(slides, TINY), np.full(slides, LEAST)  # the first step counts whole
    inverse = np.zeros((slides, columns, columns))
    residual, step = np.zeros_like(theta), np.zeros_like(theta)
    for done in range(limit):
        masses = kernel.masses(theta)
        before, residual = residual, residual_of(kernel, theta, masses)
        inverse = _corrected(inverse, step, residual - before) if done else inverse
        step, moved = _step(inverse, residual, masses, kernel.problem)
        stale = ~settled & ((done == 0) | (moved > np.maximum(SHRINKS * last, MUCH * small)))
        if stale.any():
            fresh = _inverse(jacobian(*kernel.products(roughly=not done), kernel.columns, kernel.problem))
            inverse = np.where(stale[:, None, None], fresh, inverse)
            step, moved = _step(inverse, residual, masses, kernel.problem)
        passes += ~settled
        step[settled] = 0.0
        theta = theta + step
        before_that, shrinks = shrinks, np.minimum(moved / last, 1)
        settled = settled | (moved * np.maximum(shrinks, before_that) < small)
        if settled.all():
            break
        shrinks[last == TINY] = LEAST
        last = moved
    return Solved(theta, passes, settled)


def residual_of(kernel: Kernel, theta: Vectors, masses: Vectors) -> Vectors:
    """Theta minus its sweep: f (log c - log b) + (1 - f) theta, 0 at the optimum."""
    f, log_masses, _ = kernel.columns
    return f * (np.log(np.maximum(masses, TINY)) - log_masses) + (1 - f) * theta


def _corrected(inverse: Vectors, step: Vectors, change: Vectors) -> Vectors:
    """Broyden's update: the inverse that takes the ``change`` of R to the ``step`` that made it."""
    foretold = (inverse @ change[..., None])[..., 0]
    pulled = step[:, None] @ inverse
    scale = (step * foretold).sum(axis=1, keepdims=True)
    usable = np.abs(scale) > 0.1 * (step * step).sum(axis=1, keepdims=True)
    ratios = np.divide(step - foretold, scale, out=np.zeros_like(step), where=usable)
    return inverse + ratios[..., None] * pulled


def _step(inverse: Vectors, residual: Vectors, masses: Vectors, problem: Problem) -> tuple[Vectors, Vectors]:
    """The step, no longer than it may be, and the largest change [slide] that it makes.

    Where rows are held a shift of all scalings moves nothing: it is not counted, and may be of any size.
    """
    step = -(inverse @ residual[..., None])[..., 0]
    shift = 0.0
    if problem.row_exponent == 1:
        shift = (step * masses).sum(axis=1, keepdims=True) / masses.sum(axis=1, keepdims=True)
    rest = step - shift
    longest = np.abs(rest).max(axis=1, keepdims=True)
    if (longest > LONGEST).any():
        rest *= np.minimum(LONGEST / np.maximum(longest, TINY), 1)
    return shift + rest, np.minimum(longest[:, 0], LONGEST)


def jacobian(products: Vectors, masses: Vectors, columns: Columns, problem: Problem) -> Vectors:
    """Of R by theta [slide, column, column], from the row sums of r q q' and the column masses."""
    f, each = columns.exponents, np.arange(len(columns.exponents))
    whole = products * -problem.row_exponent
    whole[:, each, each] += masses
    matrix = whole * (f / np.maximum(masses, TINY))[..., None]
    matrix[:, each, each] += 1 - f
    if problem.all_held:
        matrix += masses[:, None]  # scalings are known up to a shift
    return matrix


def _inverse(matrix: Vectors) -> Vectors:
    """Of each slide's; where there is none the identity, whose step is a sweep."""
    try:
        return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    except np.linalg.LinAlgError:
        if len(matrix) > 1:
            return np.concatenate([_inverse(one[None]) for one in matrix])
        return np.eye(matrix.shape[1])[None]
