"""Where Newton begins: prototypes alike, and a sink that takes about its mass."""

import math

import numpy as np
import torch
from torch import Tensor

from mirrorflow.models.transport.kernel import Vectors
from mirrorflow.models.transport.problem import Problem

SAMPLE, TURNS = 256, 5
"""Tokens that the sink is first fitted to, and steps of that fit."""


def start(cost: Tensor, mask: Tensor | None, problem: Problem) -> Vectors:
    """Log scalings [slide, column], from costs [slide, token, prototype]: 0 but for the sink's.

    It is fitted to a sample at equal distances from each slide's real tokens: nothing is drawn. With prototypes far
    dearer than the sink all mass is in the sink at first, and the Jacobian all but singular.
    """
    theta = np.zeros((len(cost), len(problem.masses)))
    if problem.sink and problem.exponents[-1] > 0 and 0 < problem.masses[-1] < sum(problem.masses):
        theta[:, -1] = _sink(_sample(cost, mask), problem).double().cpu().numpy()
    return theta


def _sample(cost: Tensor, mask: Tensor | None) -> Tensor:
    slides, tokens, _ = cost.shape
    size = min(SAMPLE, tokens)
    at = torch.arange(size, device=cost.device)
    if mask is None:
        return cost.index_select(1, at * tokens // size)
    counts = mask.sum(dim=1, keepdim=True)
    wanted = at * counts // size + 1  # the first, the third, ... real token: 1, 3, ...
    places = torch.searchsorted(mask.cumsum(dim=1), wanted).clamp(max=tokens - 1)  # an empty bag is refused later
    return cost[torch.arange(slides, device=cost.device)[:, None], places]


def _sink(rows: Tensor, problem: Problem) -> Tensor:
    """The sink's log scaling [slide] beside prototypes that share one, by Newton on one equation.

    With m the sink's mass and w = (1 - f) / f: logit m + w theta is that of the mass asked for (exactly so where the
    prototypes have the sink's weight, or the sink is held).
    """
    share = problem.masses[-1] / sum(problem.masses)
    logit, pull = math.log(share / (1 - share)), 1 / problem.exponents[-1] - 1
    others = torch.logsumexp(rows * (-1 / problem.epsilon), dim=2)
    theta = (others.mean(dim=1) + logit) / (1 + pull)
    for _ in range(TURNS):
        shares = torch.sigmoid(theta[:, None] - others)
        mass = shares.mean(dim=1).clamp(1e-6, 1 - 1e-6)
        slope = (shares * (1 - shares)).mean(dim=1) / (mass * (1 - mass)) + pull
        theta = theta + ((logit - mass.logit() - pull * theta) / slope.clamp(min=0.05)).clamp(-3, 3)
    return theta
