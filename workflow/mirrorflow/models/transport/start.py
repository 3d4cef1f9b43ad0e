"""Where Newton begins: the scalings of a sample of the tokens, and before these the sink's alone."""

import torch
from torch import Tensor

from mirrorflow.models.transport.descent import descend
from mirrorflow.models.transport.kernel import Kernel
from mirrorflow.models.transport.newton import Solved, newton
from mirrorflow.models.transport.problem import Problem

SAMPLE = 256
"""Tokens of the sample."""
ROUGH, ROUNDS, PATIENT = 0.05, 12, 40


def annealed(cost: Tensor, problem: Problem, small: float) -> Solved:
    """From a problem with a large epsilon, whose optimum is near, down to this one, each from the last's potentials.

    The weights of the marginals stay what they are. ``cost`` [slide, token, prototype], all tokens real, in float64.
    """
    epsilon = max(problem.epsilon, float(cost.max() - cost.min()) / 4)
    potentials = cost.new_zeros(len(cost), len(problem.masses))
    passes = torch.zeros(len(cost), dtype=torch.long, device=cost.device)
    while True:
        now = problem.with_epsilon(epsilon)
        kernel = Kernel(cost, None, now)
        kernel.rebase(potentials / epsilon)
        enough = small if epsilon == problem.epsilon else ROUGH
        solved = newton(kernel, potentials / epsilon, small=enough, limit=PATIENT)
        passes += solved.passes
        if not bool(solved.settled.all()):
            solved = descend(cost, now, potentials / epsilon, small=enough, limit=10 * PATIENT)
            passes += solved.passes
        potentials = solved.theta * epsilon
        if epsilon == problem.epsilon:
            return Solved(solved.theta, passes, solved.settled)
        epsilon = max(problem.epsilon, epsilon / 2)


def start(cost: Tensor, mask: Tensor | None, problem: Problem) -> Tensor:
    """Log scalings [slide, column] in float64, near the optimum of costs [slide, token, prototype].

    Every slide's sample is taken at equal distances from its real tokens: nothing is drawn.
    """
    rows = _sample(cost, mask)
    kernel = Kernel(rows, None, problem)
    theta = cost.new_zeros(len(cost), len(problem.masses), dtype=torch.float64)
    if problem.sink and problem.exponents[-1] == 1 and problem.masses[-1] > 0:
        theta[:, -1] = _sink(rows, problem)
    kernel.rebase(theta)
    return newton(kernel, theta, small=ROUGH, limit=ROUNDS).theta


def _sample(cost: Tensor, mask: Tensor | None) -> Tensor:
    slides, tokens, _ = cost.shape
    size = min(SAMPLE, tokens)
    at = torch.arange(size, device=cost.device)
    if mask is None:
        return cost[:, at * tokens // size]
    counts = mask.sum(dim=1, keepdim=True)
    wanted = at * counts // size + 1  # the first, the third, ... real token: 1, 3, ...
    places = torch.searchsorted(mask.cumsum(dim=1), wanted).clamp(max=tokens - 1)  # an empty bag is refused later
    return cost[torch.arange(slides, device=cost.device)[:, None], places]


def _sink(rows: Tensor, problem: Problem) -> Tensor:
    """The sink's log scaling [slide] at which it takes its mass while the prototypes' are 0, by Newton."""
    wanted = problem.masses[-1]
    logit = torch.logit(torch.tensor(wanted, dtype=torch.float64)).item()
    others = torch.logsumexp(rows * (-1 / problem.epsilon), dim=2).double()
    theta = others.mean(dim=1) + logit
    for _ in range(ROUNDS):
        shares = torch.sigmoid(theta[:, None] - others)
        mass = shares.mean(dim=1).clamp(1e-12, 1 - 1e-12)
        slope = (shares * (1 - shares)).mean(dim=1) / (mass * (1 - mass))
        theta = theta + ((logit - mass.logit()) / slope.clamp(min=0.05)).clamp(-3, 3)
    return theta
