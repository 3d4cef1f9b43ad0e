"""The L2-regularised squared-hinge linear SVM, solved exactly in sample space.

scikit-learn's ``LinearSVC`` minimises (its defaults: ``penalty="l2"``, ``loss="squared_hinge"``,
``intercept_scaling=1``, so that the intercept is penalised like a weight)

    1/2 |w|^2 + 1/2 b^2 + C sum_i max(0, 1 - s_i f(x_i))^2,    f(x) = w.x + b,  s_i = +-1.

At the optimum ``w = X' d`` and ``b = sum d`` with one dual value a sample, so only the n x n Gram matrix
``K = X X' + 1`` is needed: ``f = K d``, and over the samples inside the margin
``(K + I / 2C) d = s``. Newton's method with a line search finds that set in a few Cholesky solves
(Keerthi and DeCoste 2005, Chapelle 2007); it stops when the set no longer moves, which is the optimum up
to rounding, not up to a tolerance.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

Array = NDArray[np.float64]

MAX_NEWTON_STEPS = 200
ARMIJO = 1e-4


def one_vs_rest(labels: NDArray, classes: NDArray) -> Array:
    """Signs [machine, sample]: one machine for two classes (+1 = the second), else one a class."""
    positives = classes[1:] if len(classes) == 2 else classes
    return np.where(labels[None, :] == positives[:, None], 1.0, -1.0)


def predict(decisions: Array, classes: NDArray) -> NDArray:
    """Predicted class of each sample from the decision values [machine, sample]."""
    if len(decisions) == 1:
        return classes[(decisions[0] > 0).astype(int)]
    return classes[decisions.argmax(axis=0)]


def fit_duals(gram: Array, signs: Array, *, C: float, start: Array | None = None) -> Array:
    """Dual values [machine, sample] of the machines ``signs`` [machine, sample].

    ``gram`` [sample, sample] holds the inner products plus 1 (the intercept's feature); ``start`` are the
    duals of a similar problem: the closer, the fewer solves.
    """
    starts = np.zeros_like(signs) if start is None else start
    return np.stack([_fit(gram, sign, C, first) for sign, first in zip(signs, starts, strict=True)])


def inside_margin(values: Array, signs: Array) -> NDArray[np.bool_]:
    """Which samples the squared hinge still pulls at: s f < 1."""
    return signs * values < 1


def _fit(gram: Array, signs: Array, C: float, start: Array) -> Array:
    # The set of a similar problem is nearer than its duals: those have another scale as soon as genes leave.
    duals = _newton_target(gram, signs, start != 0, C)
    values = gram @ duals
    for _ in range(MAX_NEWTON_STEPS):
        active = inside_margin(values, signs)
        target = _newton_target(gram, signs, active, C)
        target_values = gram @ target
        if np.array_equal(inside_margin(target_values, signs), active):
            return target
        step, moved = target - duals, target_values - values
        slope = float(step @ values - 2 * C * np.maximum(0, 1 - signs * values) @ (signs * moved))
        # A sample that lies on the margin up to rounding flips for ever: nothing is left to gain then.
        if -slope <= 1e-15 * _objective(duals, values, signs, C):
            return target
        length = _step_length(duals, values, step, moved, signs, C, slope)
        duals, values = duals + length * step, values + length * moved
    message = f"no optimum after {MAX_NEWTON_STEPS} Newton steps; are the values scaled sensibly?"
    raise ArithmeticError(message)


def _newton_target(gram: Array, signs: Array, active: NDArray[np.bool_], C: float) -> Array:
    target = np.zeros_like(signs)
    if active.any():
        system = ridged(gram, active, C)
        factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
        target[active] = cho_solve(factor, signs[active], check_finite=False)
    return target


def ridged(gram: Array, active: NDArray[np.bool_], C: float) -> Array:
    """The system's matrix K + I / 2C over the samples of ``active``."""
    system = gram.compress(active, axis=0).compress(active, axis=1)  # a third of the time of np.ix_
    system[np.diag_indices_from(system)] += 1 / (2 * C)
    return system


def _objective(duals: Array, values: Array, signs: Array, C: float) -> float:
    return float(0.5 * duals @ values + C * np.sum(np.maximum(0, 1 - signs * values) ** 2))


def _step_length(duals: Array, values: Array, step: Array, moved: Array, signs: Array, C: float, slope: float) -> float:
    """Halve the step until the objective falls enough (Armijo)."""
    here, length = _objective(duals, values, signs, C), 1.0
    while length > 1e-10:
        there = _objective(duals + length * step, values + length * moved, signs, C)
        if there <= here + ARMIJO * length * slope:
            break
        length /= 2
    return length
