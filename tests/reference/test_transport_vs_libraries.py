"""The transport solver beside CVXPY (the problem as printed, a conic solver) and POT (where it offers the problem)."""

import math

import numpy as np
import pytest
import torch

from mirrorflow.models.transport import Problem, balanced, partial, semi_relaxed, soft_sink, transport, unbalanced

cvxpy = pytest.importorskip("cvxpy", reason="cvxpy is not installed")
ot = pytest.importorskip("ot", reason="POT is not installed")

pytestmark = [
    pytest.mark.filterwarnings("ignore:If reg_type = entropy:UserWarning"),  # POT's, at each such call
    pytest.mark.filterwarnings(
        "ignore:Solution may be inaccurate:UserWarning"
    ),  # tolerances that CVXPY misses a little
]

TOKENS, PROTOTYPES = 12, 4


def cost_matrix(tokens: int = TOKENS, prototypes: int = PROTOTYPES, seed: int = 0) -> np.ndarray:
    """Eq. 4 of TTA on uniform logits in [-2, 2]."""
    logits = torch.rand(tokens, prototypes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 4 - 2
    return -logits.log_softmax(dim=1).numpy()


def ours(cost: np.ndarray, problem: Problem) -> np.ndarray:
    """Token times column, the sink's last."""
    found = transport(torch.as_tensor(cost)[None], problem)
    whole = [found.plan[0], found.sink[0][:, None]] if problem.sink else [found.plan[0]]
    return torch.cat(whole, dim=1).numpy()


def with_sink(cost: np.ndarray, problem: Problem) -> np.ndarray:
    return np.pad(cost, ((0, 0), (0, int(problem.sink))))


def weight(exponent: float, epsilon: float) -> float:
    return math.inf if exponent == 1 else epsilon * exponent / (1 - exponent)


def by_cvxpy(cost: np.ndarray, problem: Problem) -> np.ndarray:
    """The objective and the constraints written down; nothing of how we solve it."""
    epsilon, masses = problem.epsilon, np.array(problem.masses)
    plan = cvxpy.Variable(cost.shape, nonneg=True)
    rows, columns = np.full(len(cost), 1 / len(cost)), cvxpy.sum(plan, axis=0)
    objective = cvxpy.sum(cvxpy.multiply(cost, plan)) - epsilon * cvxpy.sum(cvxpy.entr(plan) + plan)
    held = []
    for at, (mass, f) in enumerate(zip(masses, problem.exponents, strict=True)):
        if f == 1:
            held.append(columns[at] == mass)
        else:
            objective += weight(f, epsilon) * cvxpy.sum(cvxpy.kl_div(columns[at], mass))
    if problem.row_exponent == 1:
        held.append(cvxpy.sum(plan, axis=1) == rows)
    else:
        gamma = weight(problem.row_exponent, epsilon)
        objective += gamma * cvxpy.sum(cvxpy.kl_div(cvxpy.sum(plan, axis=1), rows))
    del held[: int(problem.all_held)]  # one follows from the others
    program = cvxpy.Problem(cvxpy.Minimize(objective), held)
    program.solve(solver=cvxpy.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12)
    return plan.value


@pytest.mark.parametrize(
    "problem",
    [
        partial(PROTOTYPES, 0.1, 0.1, 0.4),
        partial(PROTOTYPES, 0.1, 1.0, 0.106),
        partial(PROTOTYPES, 0.3, math.inf, 0.7),
        soft_sink(PROTOTYPES, 0.1, 0.1, 0.4),
        semi_relaxed(PROTOTYPES, 0.1, 0.1),
        semi_relaxed(PROTOTYPES, 0.1, 1.0, rho=0.4),
        balanced(PROTOTYPES, 0.2),
        unbalanced(PROTOTYPES, 0.2, 0.5, 0.3),
    ],
    ids=["Eq. 37", "Eq. 37, gamma 1", "held", "Eq. 11", "Eq. 7", "Eq. 8", "balanced", "unbalanced"],
)
def test_equal_to_a_conic_solver(problem):
    cost = cost_matrix()
    expected = by_cvxpy(with_sink(cost, problem), problem)
    assert TOKENS * np.abs(ours(cost, problem) - expected).max() < 5e-8


def test_the_published_size_of_the_test_problem_of_our_notes():
    """N 12, K 4, rho 0.4, gamma = eps = 0.1: Eq. 37 moves 0.4, Eq. 11 leaves most in the sink, which costs nothing."""
    cost = cost_matrix()
    assert ours(cost, partial(4, 0.1, 0.1, 0.4))[:, :4].sum() == pytest.approx(0.4, abs=1e-9)
    assert ours(cost, soft_sink(4, 0.1, 0.1, 0.4))[:, :4].sum() < 0.2


@pytest.mark.parametrize("method", ["sinkhorn", "sinkhorn_stabilized", "sinkhorn_translation_invariant"])
@pytest.mark.parametrize("gamma", [0.1, 1.0])
def test_equal_to_pot_where_rows_are_held(method, gamma):
    """Eq. 11 is ``reg_m=(inf, gamma)`` on costs with a column of zeros; ``reg_type="entropy"`` is TTA's Eq. 25."""
    problem, cost = soft_sink(PROTOTYPES, 0.1, gamma, 0.4), cost_matrix(40)
    rows = np.full(len(cost), 1 / len(cost))
    expected = ot.unbalanced.sinkhorn_unbalanced(
        rows, np.array(problem.masses), with_sink(cost, problem), reg=0.1, reg_m=(math.inf, gamma), method=method,
        reg_type="entropy", numItermax=20_000, stopThr=1e-14,
    )  # fmt: skip
    assert len(cost) * np.abs(ours(cost, problem) - expected).max() < 1e-7


def test_equal_to_pot_where_both_marginals_are_soft():
    problem, cost = unbalanced(PROTOTYPES, 0.2, 0.5, 0.3), cost_matrix(40)
    rows = np.full(len(cost), 1 / len(cost))
    expected = ot.unbalanced.sinkhorn_unbalanced(
        rows, np.array(problem.masses), cost, reg=0.2, reg_m=(0.3, 0.5), reg_type="entropy", numItermax=20_000,
        stopThr=1e-14,
    )  # fmt: skip
    assert len(cost) * np.abs(ours(cost, problem) - expected).max() < 1e-8


def test_equal_to_pot_where_both_are_held():
    problem, cost = balanced(PROTOTYPES, 0.2), cost_matrix(40)
    rows = np.full(len(cost), 1 / len(cost))
    expected = ot.sinkhorn(rows, np.array(problem.masses), cost, 0.2, numItermax=20_000, stopThr=1e-14)
    assert len(cost) * np.abs(ours(cost, problem) - expected).max() < 1e-9


def test_pot_does_not_offer_eq_37():
    """Why CVXPY alone holds it: POT takes one weight a side, and its partial transport caps columns instead."""
    problem, cost = partial(PROTOTYPES, 0.1, 0.1, 0.4), cost_matrix(40)
    rows, columns = np.full(len(cost), 1 / len(cost)), np.array(problem.masses)
    with pytest.raises(ValueError, match="length 1 or 2"):
        ot.unbalanced.sinkhorn_unbalanced(
            rows, columns, with_sink(cost, problem), reg=0.1, reg_m=np.array([0.1] * 4 + [1e6]), reg_type="entropy"
        )
