"""The transport solver: optimality, padding, precision, gradients, sweeps and what it refuses."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mirrorflow.errors import ConfigError, MirrorflowError
from mirrorflow.models import transport as package
from mirrorflow.models.transport import (
    Problem,
    Transport,
    balanced,
    kernel,
    newton,
    partial,
    semi_relaxed,
    soft_sink,
    solve,
    transport,
    unbalanced,
)
from mirrorflow.models.transport.descent import descend
from mirrorflow.models.transport.sweeps import affordable

PROBLEMS = {
    "Eq. 37": partial(5, 0.1, 0.1, 0.3),
    "Eq. 37, gamma 1": partial(5, 0.1, 1.0, 0.3),
    "general": partial(5, 0.1, math.inf, 0.7),
    "rho 1": partial(5, 0.1, 0.5, 1.0),
    "balanced": balanced(5, 0.2),
    "Eq. 7": semi_relaxed(5, 0.1, 0.3),
    "Eq. 8": semi_relaxed(5, 0.1, 0.3, rho=0.4),
    "nearly free": semi_relaxed(5, 0.3, 0.02),
    "free": semi_relaxed(5, 0.3, 0.0),
    "Eq. 11": soft_sink(5, 0.1, 0.2, 0.4),
    "unbalanced": unbalanced(5, 0.2, 0.5, 0.3),
}


def costs(slides: int, tokens: int, prototypes: int, *, tau: float = 0.5, seed: int = 0) -> Tensor:
    """Eq. 4 of TTA on cosines of random vectors, in float64."""
    draws = torch.Generator().manual_seed(seed)
    tokens_of = torch.randn(slides, tokens, 1, 8, generator=draws, dtype=torch.float64)
    prototypes_of = torch.randn(prototypes, 8, generator=draws, dtype=torch.float64)
    return -(torch.cosine_similarity(tokens_of, prototypes_of, dim=-1) / tau).log_softmax(dim=-1)


def as_vector(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def some_padding(slides: int, tokens: int, seed: int = 0) -> Tensor:
    mask = torch.rand(slides, tokens, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[:, seed % tokens] = True
    return mask


def test_the_package_names_what_others_use():
    assert set(package.__all__) >= {"transport", "Transport", "Problem", "partial", "balanced"}


@settings(max_examples=60, deadline=None)
@given(
    tokens=st.sampled_from([1, 2, 7, 40, 300]),
    prototypes=st.sampled_from([1, 2, 5, 16]),
    rho=st.floats(0.01, 1.0),
    gamma=st.sampled_from([0.001, 0.1, 1.0, 30.0, math.inf]),
    epsilon=st.floats(0.05, 1.0),
    tau=st.sampled_from([0.2, 0.5, math.inf]),
    padded=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_eq_37_is_at_its_optimum(tokens, prototypes, rho, gamma, epsilon, tau, padded, seed):
    """Mass rho, rows 1/n, and a gradient of the objective that is the same wherever mass can be moved to.

    tau inf: all tokens are equal.
    """
    cost = costs(2, tokens, prototypes, tau=tau, seed=seed)
    mask = some_padding(2, tokens, seed) if padded else None
    found = transport(cost, partial(prototypes, epsilon, gamma, rho), mask)
    assert found.mass.sub(rho).abs().max() < 1e-9
    assert found.row_error.max() < 1e-9
    assert found.column_error.max() < 1e-8
    real = torch.ones(2, tokens, dtype=torch.bool) if mask is None else mask
    assert not found.plan[~real].any()
    for slide in range(2):
        assert_stationary(found.plan[slide][real[slide]], found.sink[slide][real[slide]], cost[slide][real[slide]],
                          (epsilon, gamma, rho))  # fmt: skip


def assert_stationary(plan: Tensor, sink: Tensor, cost: Tensor, of: tuple[float, float, float]) -> None:
    epsilon, gamma, rho = of
    columns = plan.sum(dim=0)
    if gamma == math.inf:
        torch.testing.assert_close(columns, torch.full_like(columns, rho / len(columns)), rtol=1e-8, atol=0)
        pull = cost + epsilon * plan.clamp(min=1e-200).log()
        pull = pull - pull[:1]
        assert (pull - pull[:, :1]).where(plan > 1e-150, 0.0).abs().max() < 1e-6
        return
    prior = gamma * (columns * len(columns) / rho).log()
    pull = cost + epsilon * plan.clamp(min=1e-200).log() + prior
    if rho < 1:
        pull = pull - epsilon * sink[:, None].log()  # moving a token's mass out of the sink costs one price
        pull = pull - pull.amax()
    else:
        pull = pull - pull.amax(dim=1, keepdim=True)
    assert pull.where(plan > 1e-150, 0.0).abs().max() < 1e-6 * max(1.0, gamma)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("padded", [False, True])
def test_every_problem_is_a_fixed_point_of_its_sweep(name, padded):
    """Eqs. 53 and 54 with an exponent a column, written out: u from v, v from u, the plan from both."""
    problem, cost = PROBLEMS[name], costs(2, 30, 5)
    mask = some_padding(2, 30) if padded else torch.ones(2, 30, dtype=torch.bool)
    found = transport(cost, problem, mask)
    for slide in range(2):
        kernel = (-cost[slide][mask[slide]] / problem.epsilon).exp()
        if problem.sink:
            kernel = torch.cat([kernel, torch.ones(len(kernel), 1, dtype=torch.float64)], dim=1)
        masses, f = as_vector(problem.masses), as_vector(problem.exponents)
        v = found.scalings[slide].exp().where((masses > 0) | (f == 0), 0.0)
        u = (1 / len(kernel) / (kernel @ v)) ** problem.row_exponent
        again = (masses / (kernel.T @ u)) ** f
        shift = 1.0 if not problem.all_held else again[0] / v[0]
        torch.testing.assert_close(again, v * shift, rtol=1e-8, atol=1e-12)
        expected = u[:, None] * kernel * v
        torch.testing.assert_close(found.plan[slide][mask[slide]], expected[:, :5], rtol=1e-8, atol=1e-14)


def kinds_of_logits(tokens: int = 4146, prototypes: int = 32) -> dict[str, Tensor]:
    """A random start, tokens in clusters, uniform logits: those of TTA.md's measurements."""
    draws = torch.Generator().manual_seed(0)
    bank = torch.nn.functional.normalize(torch.randn(prototypes, 256, generator=draws), dim=1)
    own = torch.randint(prototypes, (tokens,), generator=draws)
    vectors = {"random": torch.randn(tokens, 256, generator=draws)}
    vectors["clustered"] = bank[own] + 0.12 * torch.randn(tokens, 256, generator=draws)
    logits = {name: torch.nn.functional.normalize(one, dim=1) @ bank.T / 0.5 for name, one in vectors.items()}
    return logits | {"uniform": 4 * torch.rand(tokens, prototypes, generator=draws) - 2}


@pytest.mark.parametrize("kind", ["random", "clustered", "uniform"])
@pytest.mark.parametrize("gamma", [0.1, 1.0])
def test_float32_is_within_2e_6_at_published_size_in_few_passes(kind, gamma):
    cost = -kinds_of_logits()[kind].log_softmax(dim=1)[None]
    for rho in (0.106, 0.9):
        problem = partial(32, 0.1, gamma, rho)
        found, exact = transport(cost, problem), transport(cost.double(), problem)
        assert found.plan.dtype == torch.float32
        assert (found.weights - exact.weights).abs().max() <= 2e-6
        assert found.mass.sub(rho).abs().max() <= 1e-6
        assert int(found.passes.max()) <= 9


def test_exponents_far_beyond_float32_are_no_trouble():
    cost = costs(2, 50, 4, tau=0.02)  # up to 100, over epsilon 0.05: exp(-2000)
    problem = partial(4, 0.05, 0.1, 0.5)
    found = transport(cost.float(), problem)
    assert (found.weights - transport(cost, problem).weights).abs().max() < 2e-5
    assert found.mass.sub(0.5).abs().max() < 1e-6


@pytest.mark.parametrize("gamma", [1.0, math.inf])
@pytest.mark.parametrize("tokens", [1, 3])
def test_one_real_token_and_fewer_tokens_than_prototypes(tokens, gamma):
    found = transport(costs(1, tokens, 16, tau=0.1), partial(16, 0.05, gamma, 0.3))
    assert found.mass.item() == pytest.approx(0.3, abs=1e-10)
    assert found.weights.sum(dim=2).max() <= 1 + 1e-10


def test_equal_tokens_share_alike():
    found = transport(torch.full((1, 9, 4), math.log(4.0)), partial(4, 0.1, 0.1, 0.106))
    torch.testing.assert_close(found.weights, torch.full((1, 9, 4), 0.106 / 4), rtol=1e-5, atol=0)


def test_padding_means_nothing():
    """A slide alone, in a batch, between padding in the middle and at the end, whose costs are no numbers."""
    cost, problem = costs(3, 40, 5).float(), PROBLEMS["Eq. 37"]
    mask = some_padding(3, 40, seed=3)
    padded = cost.masked_fill(~mask[..., None], float("nan"))
    found = transport(padded, problem, mask)
    assert found.tokens.tolist() == mask.sum(dim=1).tolist()
    assert not found.plan[~mask].any()
    assert not found.sink[~mask].any()
    for slide in range(3):
        alone = transport(cost[slide][mask[slide]][None], problem)
        torch.testing.assert_close(found.plan[slide][mask[slide]], alone.plan[0], rtol=1e-5, atol=1e-8)


def test_a_slide_does_not_depend_on_its_neighbours():
    cost, problem = torch.cat([costs(1, 300, 5), 40 * costs(1, 300, 5, seed=1)]), partial(5, 0.05, math.inf, 0.9)
    together = transport(cost, problem)
    for slide in range(2):
        alone = transport(cost[slide : slide + 1], problem)
        assert alone.passes.item() == together.passes[slide].item()
        torch.testing.assert_close(together.plan[slide], alone.plan[0], rtol=1e-9, atol=1e-15)


def test_a_first_jacobian_of_some_rows_is_not_that_of_padding_alone():
    """Of slides as long as that, one has no real token in the rows looked at; its neighbour does not change for it."""
    cost, problem = costs(2, 2400, 5).float(), partial(5, 0.1, 0.1, 0.3)
    mask = torch.ones(2, 2400, dtype=torch.bool)
    mask[0, :: kernel.SOME] = False
    found = transport(cost, problem, mask)
    assert kernel.Kernel(cost, mask, problem).host.few.tolist() == [True, False]
    for slide in range(2):
        alone = transport(cost[slide : slide + 1], problem, mask[slide : slide + 1])
        assert alone.passes.item() == found.passes[slide].item()
        exact = transport(cost[slide][mask[slide]][None].double(), problem).weights[0]
        assert (found.weights[slide][mask[slide]] - exact).abs().max() < 2e-6


def test_a_jacobian_of_some_rows_keeps_that_shares_add_up_to_1():
    cost, problem = costs(1, 2400, 5).float(), PROBLEMS["Eq. 37, gamma 1"]
    one = kernel.Kernel(cost, None, problem)
    one.rebase(np.zeros((1, 6)))
    one.masses(np.zeros((1, 6)))
    rough, whole = (newton.jacobian(*one.products(roughly=some), one.columns, problem) for some in (True, False))
    np.testing.assert_allclose(rough.sum(axis=2), 1 - one.columns.exponents[None], atol=1e-6)
    assert 1e-4 < np.abs(rough - whole).max() < 0.1


def test_a_corrected_inverse_takes_what_was_seen_to_what_was_done():
    """Broyden's update; a step of 0 corrects nothing."""
    draws = np.random.default_rng(0)
    inverse, step, change = draws.normal(size=(2, 4, 4)), draws.normal(size=(2, 4)), draws.normal(size=(2, 4))
    step[1] = 0.0
    again = newton._corrected(inverse, step, change)
    np.testing.assert_allclose(again[0] @ change[0], step[0])
    np.testing.assert_array_equal(again[1], inverse[1])


def test_one_inverse_that_is_none_leaves_the_others():
    found = newton._inverse(np.stack([np.zeros((2, 2)), 2 * np.eye(2)]))
    np.testing.assert_array_equal(found, np.stack([np.eye(2), np.eye(2) / 2]))


# Gradients.


def weighed(found: Transport, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    by_plan = torch.randn(found.plan.shape, generator=draws, dtype=torch.float64)
    by_sink = torch.randn(found.sink.shape, generator=draws, dtype=torch.float64)
    return (found.plan * by_plan).sum() + (found.sink * by_sink).sum()


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_implicit_gradient_is_that_of_differences_and_of_unrolled_sweeps(name):
    problem, mask = PROBLEMS[name], some_padding(2, 12)
    cost = costs(2, 12, 5).masked_fill(~mask[..., None], float("nan")).requires_grad_()
    (found,) = torch.autograd.grad(weighed(transport(cost, problem, mask)), cost)
    assert not found[~mask].any()
    swept = transport(cost, problem, mask, sweeps=3000, until=1e-12)
    (unrolled,) = torch.autograd.grad(weighed(swept), cost)
    torch.testing.assert_close(found, unrolled, rtol=1e-6, atol=1e-9)
    for at in torch.nonzero(mask[..., None].expand(2, 12, 5))[::9].tolist():
        assert difference(cost.detach(), problem, mask, tuple(at)) == pytest.approx(found[tuple(at)].item(), abs=1e-6)


def difference(cost: Tensor, problem: Problem, mask: Tensor, at: tuple[int, ...]) -> float:
    step = torch.zeros_like(cost)
    step[at] = 1e-5
    ahead, behind = (weighed(transport(cost + sign * step, problem, mask)) for sign in (1, -1))
    return float(ahead - behind) / 2e-5


def test_a_float32_gradient_is_that_of_float64():
    problem, mask, grads = PROBLEMS["Eq. 37, gamma 1"], some_padding(2, 200), []
    for dtype in (torch.float64, torch.float32):
        cost = costs(2, 200, 5).to(dtype).requires_grad_()
        grads += torch.autograd.grad(weighed(transport(cost, problem, mask)), cost)
    assert grads[1].dtype == torch.float32
    assert (grads[0] - grads[1]).norm() < 1e-4 * grads[0].norm()


def test_without_a_gradient_nothing_is_kept():
    cost = costs(1, 20, 5).requires_grad_()
    assert transport(cost, PROBLEMS["Eq. 7"]).plan.requires_grad
    assert not transport(cost.detach(), PROBLEMS["Eq. 7"]).plan.requires_grad
    with torch.no_grad():
        assert not transport(cost, PROBLEMS["Eq. 7"]).plan.requires_grad


# Sweeps.


def as_printed(cost: Tensor, problem: Problem, count: int) -> Tensor:
    """Algorithm 2 of TTA, line by line, for one slide."""
    g = torch.cat([-cost / problem.epsilon, torch.zeros(len(cost), 1, dtype=torch.float64)], dim=1).exp()
    b, f = as_vector(problem.masses), as_vector(problem.exponents)
    v = torch.ones(len(b), dtype=torch.float64)
    for _ in range(count):
        u = (1 / len(cost)) / (g @ v)
        v = (b / (g.T @ u)) ** f
    return u[:, None] * g * v


@pytest.mark.parametrize("count", [1, 7])
def test_a_number_of_sweeps_is_algorithm_2_as_printed(count):
    cost, problem = costs(1, 12, 5), PROBLEMS["Eq. 37"]
    found = transport(cost, problem, sweeps=count)
    expected = as_printed(cost[0], problem, count)
    torch.testing.assert_close(found.plan[0], expected[:, :5])
    torch.testing.assert_close(found.sink[0], expected[:, 5])
    assert found.passes.tolist() == [count]
    assert found.row_error.item() > 1e-4  # nothing is raised: it was asked for


def test_sweeps_of_padded_slides_are_those_of_their_tokens():
    mask = some_padding(2, 12)
    cost = costs(2, 12, 5)
    found = transport(cost.masked_fill(~mask[..., None], float("inf")), PROBLEMS["Eq. 37"], mask, sweeps=9)
    for slide in range(2):
        expected = as_printed(cost[slide][mask[slide]], PROBLEMS["Eq. 37"], 9)
        torch.testing.assert_close(found.plan[slide][mask[slide]], expected[:, :5])
    assert not found.plan[~mask].any()


def test_sweeps_end_where_scalings_rest():
    found = transport(costs(2, 12, 5), PROBLEMS["Eq. 37"], sweeps=5000, until=1e-10)
    assert 10 < int(found.passes[0]) < 1000
    assert found.row_error.max() < 1e-8


def test_sweeps_are_chosen_where_they_surely_suffice_and_only_there(monkeypatch):
    quick, cost = semi_relaxed(5, 0.5, 0.01), costs(2, 200, 5).float()
    assert affordable(quick, 1e-6) == 4
    assert affordable(semi_relaxed(32, 0.1, 0.1), 1e-6) == 0  # 20 sweeps; Newton is cheaper
    assert affordable(semi_relaxed(256, 0.1, 0.1), 1e-6) == 20  # and here its product of 256 columns is dearer
    assert affordable(PROBLEMS["Eq. 37"], 1e-6) == 0
    assert affordable(PROBLEMS["free"], 1e-6) == 0
    by_sweeps = transport(cost, quick)
    monkeypatch.setattr(solve, "affordable", lambda *_: 0)
    by_newton = transport(cost, quick)
    assert by_sweeps.passes.tolist() == [5, 5]
    assert (by_sweeps.weights - by_newton.weights).abs().max() < 1e-6


def test_newton_goes_on_where_the_start_was_too_far_for_the_sweeps(monkeypatch):
    quick, cost = semi_relaxed(5, 0.5, 0.01), costs(1, 200, 5)
    expected = transport(cost, quick)
    monkeypatch.setattr(solve, "affordable", lambda *_: 1)
    assert (transport(cost, quick).weights - expected.weights).abs().max() < 1e-10


# Hard problems, and what is done about them.


def test_what_newton_runs_in_circles_on_is_annealed():
    """Seven tokens, nine tenths of the mass, two prototypes that must get the same: nearly a matter of whole tokens."""
    cost = costs(3, 7, 2, tau=0.05)
    for epsilon in (0.03, 0.01):
        found = transport(cost, partial(2, epsilon, math.inf, 0.9))
        assert found.column_error.max() < 1e-8
        assert found.plan.sum(dim=1).sub(0.45).abs().max() < 1e-8


@pytest.mark.parametrize("name", PROBLEMS)
def test_descent_on_the_dual_ends_where_newton_does(name):
    cost, problem = costs(1, 20, 5), PROBLEMS[name]
    found = transport(cost, problem)
    start = torch.zeros(1, len(problem.masses), dtype=torch.float64)
    solved = descend(cost, problem, start, small=1e-10, limit=200)
    assert bool(solved.settled)
    again = transport(cost, problem, start_at=solved.theta)
    assert int(again.passes) <= 2
    torch.testing.assert_close(again.plan, found.plan, rtol=1e-7, atol=1e-12)


def test_scalings_of_a_problem_nearby_save_passes():
    cost = costs(2, 500, 5).float()
    before = transport(cost, partial(5, 0.1, 0.1, 0.30))
    cold, warm = (transport(cost, partial(5, 0.1, 0.1, 0.31), start_at=at) for at in (None, before.scalings))
    assert int(warm.passes.max()) <= int(cold.passes.max())
    assert (warm.weights - cold.weights).abs().max() < 2e-6


def test_a_missed_marginal_is_an_error_unless_sweeps_were_asked_for(monkeypatch):
    cost, problem = costs(2, 40, 5), PROBLEMS["Eq. 37"]
    monkeypatch.setattr(solve, "ROUNDS", 1)
    monkeypatch.setattr(solve, "_again", lambda found, *_: found)
    with pytest.raises(MirrorflowError, match=r"slide 0 of the batch misses .* by \S+ of it .* the solver `sweeps`"):
        transport(cost, problem, start_at=torch.full((2, 6), -3.0).double() * torch.arange(6))
    assert transport(cost, problem, sweeps=1).row_error.max() > 1e-4


def test_autocast_and_tf32_of_the_training_do_not_reach_the_solver():
    cost, problem = costs(1, 60, 5).float(), PROBLEMS["Eq. 37"]
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = transport(cost, problem)
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    torch.testing.assert_close(found.plan, transport(cost, problem).plan, rtol=0, atol=0)


def test_half_costs_are_solved_in_float32():
    cost = costs(1, 60, 5).bfloat16().requires_grad_()
    found = transport(cost, PROBLEMS["Eq. 37"])
    assert found.plan.dtype == torch.float32
    (grad,) = torch.autograd.grad(found.plan.square().sum(), cost)
    assert grad.dtype == torch.bfloat16


# Bad input.


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: partial(5, 0.1, 0.1, 0.0), r"rho is 0\.0; .* above 0, at most 1"),
        (lambda: partial(5, 0.1, 0.1, 1.2), r"rho is 1\.2"),
        (lambda: partial(5, 0.1, 0.1, math.nan), "rho is nan"),
        (lambda: partial(5, 0.1, -0.1, 0.5), r"gamma is -0\.1; .* or inf"),
        (lambda: soft_sink(5, 0.1, math.nan, 0.5), "gamma is nan"),
        (lambda: partial(5, 0.0, 0.1, 0.5), r"epsilon is 0\.0; a number above 0"),
        (lambda: balanced(5, math.inf), "epsilon is inf"),
        (lambda: semi_relaxed(5, math.nan, 1.0), "epsilon is nan"),
        (lambda: balanced(0, 0.1), "0 prototypes; at least one"),
        (lambda: unbalanced(5, 0.1, 1.0, 0.0), r"row_gamma is 0\.0"),
        (lambda: Problem(0.1, (0.5, 0.2), (1.0, 1.0)), r"add up to 0\.7; make that 1"),
        (lambda: Problem(0.1, (0.5, 0.5), (1.0,)), "2 masses and 1 exponents"),
        (lambda: Problem(0.1, (0.5, -0.5), (0.5, 0.5)), "none is below 0"),
        (lambda: Problem(0.1, (0.0, 0.0), (0.5, 0.5)), "all columns have mass 0"),
        (lambda: Problem(0.1, (1.0,), (1.5,)), r"an exponent is 1\.5"),
        (lambda: Problem(0.1, (1.0,), (0.5,), 0.0), "rows are free"),
        (lambda: Problem(0.1, (1.0,), (1.0,), sink=True), "no prototypes"),
    ],
)
def test_numbers_out_of_range_are_refused_with_their_value(make: Callable[[], Problem], says: str):
    with pytest.raises(ConfigError, match=says):
        make()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cost": costs(2, 8, 4)}, r"costs have shape \(2, 8, 4\).*with 5 is needed"),
        ({"cost": costs(2, 8, 5)[0]}, r"shape \(8, 5\)"),
        ({"cost": costs(2, 8, 5)[:0]}, r"shape \(0, 8, 5\)"),
        ({"mask": torch.ones(2, 7, dtype=torch.bool)}, r"the mask is torch.bool \(2, 7\)"),
        ({"mask": torch.ones(2, 8)}, r"the mask is torch.float32 .*booleans"),
        ({"sweeps": 0}, "sweeps is 0; give 1 or more"),
        ({"start_at": torch.zeros(2, 5)}, r"start_at has shape \(2, 5\); .*\(2, 6\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        transport(**({"cost": costs(2, 8, 5), "problem": PROBLEMS["Eq. 37"]} | change))


@pytest.mark.parametrize("name", ["Eq. 37", "Eq. 11", "nearly free"])
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_costs_of_nan_logits_are_named(name, value):
    cost = costs(2, 300, 5).float()
    cost[1, 7] = value
    with pytest.raises(MirrorflowError, match=r"5 costs of slide 1 of the batch are NaN or infinite.*learning rate"):
        transport(cost, PROBLEMS[name])


@pytest.mark.parametrize("name", ["Eq. 37", "Eq. 11"])
def test_an_empty_bag_is_named(name):
    mask = torch.ones(2, 8, dtype=torch.bool)
    mask[1] = False
    with pytest.raises(MirrorflowError, match="slide 1 of the batch has no real token; leave empty bags out"):
        transport(costs(2, 8, 5), PROBLEMS[name], mask)
