"""Expectation-maximisation of Gaussians with diagonal covariances, and Lloyd's k-means, in one pass a step.

A chunk of patches x stays in the cache while everything of a step is done to it: [x, x^2] times the components'
coefficients gives the log densities, and the responsibilities times [x, x^2] the sums that the next components are made
of. These are added up in float64. Patches are centred first, so that x^2 less the squared mean loses no digits.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mirrorflow.models.mixtures.rows import Rows

FLOOR = 1e-6
"""Added to each variance, as scikit-learn's ``reg_covar``."""
EMPTY = 10 * torch.finfo(torch.float32).eps
"""Added to each component's sum of responsibilities, so that an empty one stays finite."""


FLUSHED = 16
"""Chunks whose sums are added up in float32, before they go to float64."""


@dataclass(frozen=True)
class Mixture:
    """Weights [component], means and variances [component, feature], float64."""

    weights: Tensor
    means: Tensor
    variances: Tensor


class Fitted(NamedTuple):
    """A mixture; the mean log likelihood of a patch before each step and after the last; whether it settled."""

    mixture: Mixture
    log_likelihoods: list[float]
    settled: bool


class Sums(NamedTuple):
    """Over patches: responsibilities [component], these times x and x^2 [component, 2 feature], the log likelihood."""

    counts: Tensor
    moments: Tensor
    log_likelihood: float


def fit_mixture(rows: Rows, start: Mixture, *, steps: int, tolerance: float = 1e-3) -> Fitted:
    """EM from ``start``: at most ``steps`` steps, until the mean log likelihood gains less than ``tolerance``."""
    centre = start.weights @ start.means
    now, seen = Mixture(start.weights, start.means - centre, start.variances), list[float]()
    for _ in range(steps):
        sums = expected(rows, now, centre)
        seen.append(sums.log_likelihood / len(rows))
        if len(seen) > 1 and abs(seen[-1] - seen[-2]) < tolerance:
            return Fitted(Mixture(now.weights, now.means + centre, now.variances), seen, settled=True)
        now = maximised(sums)
    seen.append(mean_log_likelihood(rows, now, centre))
    return Fitted(Mixture(now.weights, now.means + centre, now.variances), seen, settled=False)


def expected(rows: Rows, mixture: Mixture, centre: Tensor) -> Sums:
    """The E step: sums over all patches, less ``centre`` [feature], by the components of ``mixture``."""
    coefficients, constants = densities(mixture)
    components, width = mixture.means.shape
    counts, moments = torch.zeros(components, dtype=torch.float64), torch.zeros(components, 2 * width).double()
    some, total = torch.zeros(components, 2 * width), 0.0
    for number, both in enumerate(_with_squares(rows, centre.float()), start=1):
        shares, likelihood = _shares(torch.addmm(constants, both, coefficients))
        total += likelihood
        counts += shares.sum(0, dtype=torch.float64)
        some.addmm_(shares.T, both)
        if number % FLUSHED == 0:
            moments += some
            some.zero_()
    return Sums(counts, moments + some, total)


def mean_log_likelihood(rows: Rows, mixture: Mixture, centre: Tensor) -> float:
    """Of a patch, patches less ``centre`` [feature]."""
    coefficients, constants = densities(mixture)
    parts = (_shares(torch.addmm(constants, both, coefficients))[1] for both in _with_squares(rows, centre.float()))
    return sum(parts) / len(rows)


def _shares(scores: Tensor) -> tuple[Tensor, float]:
    """Responsibilities [patch, component] of log densities, which are overwritten; the sum of the log likelihoods."""
    top = scores.amax(1, keepdim=True)
    shares = scores.sub_(top).exp_()
    sums = shares.sum(1, keepdim=True)
    likelihood = float((top + sums.log()).sum(dtype=torch.float64))
    return shares.div_(sums), likelihood


def maximised(sums: Sums) -> Mixture:
    """The M step."""
    counts = sums.counts + EMPTY
    means, squares = (sums.moments / counts[:, None]).chunk(2, dim=1)
    return Mixture(counts / counts.sum(), means, (squares - means.square()).clamp(min=0.0) + FLOOR)


def densities(mixture: Mixture, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Coefficients [2 feature, component] of [x, x^2] and constants [component] of log(weight N(x))."""
    precisions = 1.0 / mixture.variances
    linear, square = mixture.means * precisions, -0.5 * precisions
    constants = mixture.weights.log() - 0.5 * (
        mixture.means.shape[1] * math.log(2 * math.pi)
        + mixture.variances.log().sum(1)
        + (mixture.means.square() * precisions).sum(1)
    )
    return torch.cat([linear, square], dim=1).T.to(dtype).contiguous(), constants.to(dtype)


def _with_squares(rows: Rows, centre: Tensor) -> Iterator[Tensor]:
    """[x, x^2] of each chunk's patches less ``centre``, in memory that the next one takes."""
    room = torch.empty(0)
    for chunk in rows.chunks():
        count, width = chunk.shape
        if room.shape[0] < count:
            room = torch.empty(count, 2 * width)
        both = room[:count]
        torch.sub(torch.from_numpy(np.asarray(chunk)), centre, out=both[:, :width])
        torch.square(both[:, :width], out=both[:, width:])
        yield both


class Clusters(NamedTuple):
    """Centres [cluster, feature] float64, and the sum of squared distances to the nearest of them, before the last
    step.
    """

    centres: Tensor
    inertia: float


def lloyd(rows: Rows, start: Tensor, *, steps: int) -> Clusters:
    """K-means from centres ``start`` [cluster, feature]; an empty cluster stays where it is."""
    centre = start.mean(0)
    centres, inertia = start - centre, math.inf
    for _ in range(steps):
        counts, sums, found = _assigned(rows, centres, centre)
        filled = counts[:, None] > 0
        moved = torch.where(filled, sums / counts[:, None].clamp(min=1), centres)
        settled = not inertia - found > 1e-6 * abs(found)
        centres, inertia = moved, found
        if settled:
            break
    return Clusters(centres + centre, inertia)


def _assigned(rows: Rows, centres: Tensor, centre: Tensor) -> tuple[Tensor, Tensor, float]:
    """Patches of each cluster, their sums, and the sum of squared distances."""
    clusters, width = centres.shape
    coefficients, constants = centres.T.float().contiguous(), -0.5 * centres.float().square().sum(1)
    counts, sums, inertia = torch.zeros(clusters).double(), torch.zeros(clusters, width).double(), 0.0
    for chunk in rows.chunks():
        patches = torch.from_numpy(np.asarray(chunk)) - centre.float()
        best, own = torch.addmm(constants, patches, coefficients).max(1)
        member = torch.nn.functional.one_hot(own, clusters).float()
        counts += member.sum(0)
        sums += member.T @ patches
        inertia += float((patches.square().sum(1) - 2 * best).clamp(min=0).sum(dtype=torch.float64))
    return counts, sums, inertia
