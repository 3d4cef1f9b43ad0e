"""Plans of a batch of slides: the solver that everything else calls."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mirrorflow.errors import ConfigError, MirrorflowError
from mirrorflow.models.autocast import as_it_stands
from mirrorflow.models.transport.descent import annealed
from mirrorflow.models.transport.implicit import Implicit
from mirrorflow.models.transport.kernel import Kernel, Vectors, rows_of
from mirrorflow.models.transport.newton import Solved, newton
from mirrorflow.models.transport.problem import Problem
from mirrorflow.models.transport.start import start
from mirrorflow.models.transport.sweeps import affordable, sweep, unrolled

HELD = 1e-4
"""How far a marginal that is held may be missed, as a share of it."""
SMALL = {torch.float32: 1e-6, torch.float64: 1e-11}
"""Error of log scalings at which a solve ends."""
ROUNDS = 25
"""Passes after which a slide is solved by annealing."""
AT_ONCE = 1 << 21
"""Numbers of the slides that a processor works on at once. A GPU takes the whole batch."""


@dataclass(frozen=True)
class Transport:
    """What was transported.

    ``plan`` [slide, token, prototype]: rows of the n real tokens add up to 1/n less what the sink took, padding is 0.
    ``sink`` [slide, token]: what it took (0 where there is none). ``scalings`` [slide, column]: log scalings in
    float64, good as a later ``start_at``. ``passes`` [slide]: passes over all tokens. ``column_error`` [slide]: the
    largest error of a column that is held, as a share of it. ``tokens`` [slide]: n.
    """

    plan: Tensor
    sink: Tensor
    scalings: Tensor
    passes: Tensor
    column_error: Tensor
    tokens: Tensor

    @property
    def weights(self) -> Tensor:
        """The plan times n [slide, token, prototype]: each real token's shares, adding up to at most 1."""
        return self.plan * self.tokens[:, None, None]

    @property
    def mass(self) -> Tensor:
        """What prototypes got [slide]."""
        return self.plan.sum(dim=(1, 2))

    @property
    def row_error(self) -> Tensor:
        """The largest error of a real token's mass 1/n [slide], as a share of it."""
        rows = (self.plan.detach().sum(dim=2) + self.sink.detach()) * self.tokens[:, None]
        real = rows > 0
        return (rows - 1).abs().where(real, 0.0).amax(dim=1)


def transport(
    cost: Tensor,
    problem: Problem,
    mask: Tensor | None = None,
    *,
    start_at: Tensor | None = None,
    sweeps: int | None = None,
    until: float = 0.0,
) -> Transport:
    """Solve ``problem`` for costs [slide, token, prototype]; ``mask`` [slide, token] is True at real tokens.

    The plan has the costs' type, float64 or else float32, and a gradient by the costs where these have one: that of
    the optimum (implicit). ``start_at`` [slide, column] are scalings of a problem nearby. ``sweeps`` asks for no more
    than so many sweeps of Algorithm 2 from scalings of 1, converged or not, with the gradient through each of them;
    ``until`` ends them earlier (:func:`.sweeps.unrolled`).

    Raises ConfigError for shapes and settings that do not fit, MirrorflowError where costs are no numbers, a slide has
    no token, or a marginal that is held is missed by more than 1e-4 of it.
    """
    _check(cost, problem, mask)
    _check_course(cost, problem, start_at, sweeps)
    tokens = _counts(cost, mask)
    wide = cost if cost.dtype == torch.float64 else cost.float()
    with as_it_stands(cost):  # sums of 10 bits would miss marginals
        if sweeps is not None:
            return _swept(wide, mask, problem, sweeps, until, tokens)
        with torch.no_grad(), np.errstate(all="ignore"):  # what is no number is named by _check_found
            found = _solve(wide.detach(), mask, problem, start_at, tokens)
        _check_found(found, wide, mask)
        if not (torch.is_grad_enabled() and cost.requires_grad):
            return found
        plan, sink = Implicit.apply(wide, found.plan, found.sink, problem)
        return replace(found, plan=plan, sink=sink)


def _solve(cost: Tensor, mask: Tensor | None, problem: Problem, at: Tensor | None, tokens: Tensor) -> Transport:
    slides, rows, prototypes = cost.shape
    room = cost.new_empty(slides, rows_of(rows), len(problem.masses))
    begin = start(cost, mask, problem) if at is None else _to_host(at)
    each = max(1, AT_ONCE // room[0].numel()) if cost.device.type == "cpu" else slides
    parts = []
    for some in (slice(first, first + each) for first in range(0, slides, each)):
        kernel = Kernel(cost[some], None if mask is None else mask[some], problem, room[some])
        solved = _by_rule(kernel, begin[some])
        masses = kernel.write(solved.theta)
        parts.append((solved.theta, solved.passes, solved.settled, _missed(masses, problem)))
    theta, passes, settled, missed = (np.concatenate(one) for one in zip(*parts, strict=True))
    plan = room[:, :rows, :prototypes]
    sink = room[:, :rows, -1] if problem.sink else cost.new_zeros(slides, rows)
    scalings, spent, errors = (torch.from_numpy(one).to(cost.device) for one in (theta, passes, missed))
    found = Transport(plan, sink, scalings, spent, errors, tokens)
    bad = ~settled | ~(missed <= HELD)
    return _again(found, bad, cost, mask, problem) if bad.any() else found


def _to_host(at: Tensor) -> Vectors:
    return torch.as_tensor(at).double().cpu().numpy()


def _by_rule(kernel: Kernel, theta: Vectors) -> Solved:
    """Sweeps where they surely suffice and are cheaper; else Newton."""
    small = SMALL[kernel.cost.dtype]
    kernel.rebase(theta)
    count = affordable(kernel.problem, small)
    solved = sweep(kernel, theta, count, small=small) if count else None
    if solved is not None and solved.settled.all():
        return solved
    return newton(kernel, theta, small=small, limit=ROUNDS)


def _again(found: Transport, bad: NDArray[np.bool_], cost: Tensor, mask: Tensor | None, problem: Problem) -> Transport:
    """The slides that are ``bad`` once more: in float64, from a problem with a large epsilon down to this one."""
    for slide in np.flatnonzero(bad).tolist():
        real = slice(None) if mask is None else mask[slide]
        own = cost[slide][real].double()[None]
        if not len(own[0]) or not bool(own.isfinite().all()):
            continue
        solved = annealed(own, problem, SMALL[torch.float64])
        kernel = Kernel(own, None, problem)
        kernel.rebase(solved.theta)
        masses, whole = kernel.write(solved.theta), kernel.g[0, : own.shape[1]].to(cost.dtype)
        found.plan[slide], found.sink[slide] = 0.0, 0.0
        found.plan[slide, real] = whole[:, : problem.prototypes]
        if problem.sink:
            found.sink[slide, real] = whole[:, -1]
        found.scalings[slide] = torch.from_numpy(solved.theta[0])
        found.passes[slide] += int(solved.passes[0])
        found.column_error[slide] = float(_missed(masses, problem)[0]) if solved.settled[0] else math.inf
    return found


def _swept(cost: Tensor, mask: Tensor | None, problem: Problem, sweeps: int, until: float, tokens: Tensor) -> Transport:
    whole, scalings, done = unrolled(cost, mask, problem, sweeps, until)
    plan = whole[..., : problem.prototypes]
    sink = whole[..., -1] if problem.sink else cost.new_zeros(cost.shape[:2])
    missed = _missed(_to_host(whole.detach().sum(dim=1, dtype=torch.float64)), problem)
    return Transport(plan, sink, scalings.detach(), done, torch.from_numpy(missed).to(cost.device), tokens)


def _missed(masses: Vectors, problem: Problem) -> Vectors:
    """The largest error of a held column, as a share of it [slide]."""
    wanted = np.array(problem.masses)
    held = (np.array(problem.exponents) == 1) & (wanted > 0)
    return np.abs(masses[:, held] / wanted[held] - 1).max(axis=1, initial=0.0)


def _counts(cost: Tensor, mask: Tensor | None) -> Tensor:
    """Real tokens of each slide [slide]."""
    if mask is None:
        return torch.full((len(cost),), cost.shape[1], device=cost.device)
    return mask.sum(dim=1)


def _check(cost: Tensor, problem: Problem, mask: Tensor | None) -> None:
    shape = tuple(cost.shape)
    if cost.ndim != 3 or shape[2] != problem.prototypes or not all(shape):
        message = f"transport: costs have shape {shape}, [slide, token, prototype] with {problem.prototypes} is needed"
        raise ConfigError(message)
    if mask is not None and (tuple(mask.shape) != shape[:2] or mask.dtype != torch.bool):
        message = (
            f"transport: the mask is {mask.dtype} {tuple(mask.shape)}; booleans [slide, token] {shape[:2]} are needed"
        )
        raise ConfigError(message)


def _check_course(cost: Tensor, problem: Problem, at: Tensor | None, sweeps: int | None) -> None:
    wanted = (len(cost), len(problem.masses))
    if at is not None and tuple(at.shape) != wanted:
        message = f"transport: start_at has shape {tuple(at.shape)}; [slide, column] is {wanted}"
        raise ConfigError(message)
    if sweeps is not None and sweeps < 1:
        message = f"transport: sweeps is {sweeps}; give 1 or more, or leave it out to solve until convergence"
        raise ConfigError(message)


def _check_found(found: Transport, cost: Tensor, mask: Tensor | None) -> None:
    """Raises MirrorflowError that names the first slide whose plan is none, or misses what is held."""
    bad = ~(found.column_error <= HELD) | ~found.scalings.isfinite().all(dim=1)
    if not bool(bad.any()):
        return
    slide = int(torch.nonzero(bad)[0, 0])
    if not int(found.tokens[slide]):
        message = f"transport: slide {slide} of the batch has no real token; leave empty bags out"
        raise MirrorflowError(message)
    own = cost[slide] if mask is None else cost[slide][mask[slide]]
    if odd := int((~own.isfinite()).sum()):
        message = (
            f"transport: {odd} costs of slide {slide} of the batch are NaN or infinite, as their logits were; look for "
            "NaN in its features, or lower the learning rate"
        )
        raise MirrorflowError(message)
    missed, passes = float(found.column_error[slide]), int(found.passes[slide])
    message = (
        f"transport: slide {slide} of the batch misses a marginal that is held by {missed:.1e} of it after {passes} "
        f"passes; {HELD:.0e} is allowed. Raise network.epsilon, or give the solver `sweeps` to go on with an "
        "unconverged plan"
    )
    raise MirrorflowError(message)
