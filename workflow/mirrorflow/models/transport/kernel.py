"""exp(-C / eps) of some slides, scaled so that float32 holds it, and what sweeps and Newton steps need of it.

Log scalings of the columns, theta, are the unknowns; rows are eliminated. With G = exp(-C / eps + base - m), m the
row's largest exponent, and v = exp(theta - base): s = G v, row masses r, u = r / s, column masses c = v * (G' u). Rows
that are held have r = a. Others have r = a^f exp((1 - f) l), l = log s + m the row's log-sum-exp.

What goes over all tokens is done where the costs are, in their type. All that has the size of a column is NumPy's, in
float64: on a processor its calls cost a third of torch's, and a GPU is asked twice a pass instead of launching forty.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mirrorflow.models.transport.problem import Problem

Vectors = NDArray[np.float64]
"""[slide, column], or [slide, column, column]."""

FAR = 15.0
"""Scalings farther than this from the base move the base: v stays within e^15."""
TINY = 1e-300
LOG2_E = math.log2(math.e)
RUN = 64
"""Tokens whose shares are added in the plan's type; float64 adds these sums. Plain float32 sums are 2e-6 off."""
IN_CACHE = 1 << 17
"""Numbers of a block on a processor: a slide at a time, or many small ones."""
SOME, MANY = 4, 512
"""A first Jacobian is that of one row in so many, where so many of these are real. It is far from the last anyway."""


class Columns(NamedTuple):
    """A problem's columns [column]; a closed one is pinned: exponent 0."""

    exponents: NDArray[np.float64]
    log_masses: NDArray[np.float64]
    closed: NDArray[np.float64]


def columns_of(problem: Problem) -> Columns:
    """Exponents, log masses (0 where closed) and -inf where closed, else 0."""
    masses, exponents = np.array(problem.masses), np.array(problem.exponents)
    closed = (masses == 0) & (exponents > 0)
    log_masses = np.log(np.maximum(masses, TINY))
    return Columns(
        np.where(closed, 0.0, exponents), np.where(closed, 0.0, log_masses), np.where(closed, -math.inf, 0.0)
    )


def row_weights(cost: Tensor, mask: Tensor | None) -> Tensor:
    """1/n at the n real tokens of each slide, else 0: [slide, token], or [1, token] where all tokens are real."""
    if mask is None:
        return cost.new_full((1, cost.shape[1]), 1 / cost.shape[1])
    return mask.to(cost.dtype) / mask.sum(dim=1, keepdim=True)


def rows_of(tokens: int) -> int:
    """Tokens with what fills the last run."""
    return -(-tokens // RUN) * RUN


class Block(NamedTuple):
    """Some slides' costs, row weights and mask, and views: G, of prototypes, in runs; v, as potentials, of one column;
    row sums, of one column; row factors, in runs; largest exponents; parts of column masses, by slide; these masses.
    """

    cost: Tensor
    weights: Tensor
    g: Tensor
    own: Tensor
    v: Tensor
    upright_v: Tensor
    sums: Tensor
    upright_sums: Tensor
    factors: Tensor
    top: Tensor
    slide_parts: Tensor
    masses: Tensor
    runs: Tensor
    run_factors: Tensor
    parts: Tensor
    mask: Tensor | None


class Kernel:
    """Costs [slide, token, prototype] of some slides; ``mask`` [slide, token] is True at real tokens, None: all are.

    Costs of padding may be anything. ``room`` [slide, row, column], rows as :func:`rows_of` has them, is where G is,
    and in the end the plan: fresh memory is dearer than a pass.
    """

    def __init__(self, cost: Tensor, mask: Tensor | None, problem: Problem, room: Tensor | None = None) -> None:
        self.cost, self.mask, self.problem = cost, mask, problem
        self.columns, self.host = columns_of(problem), _Host(cost, mask)
        slides, tokens, _ = cost.shape
        rows, columns = rows_of(tokens), len(problem.masses)
        self.g = cost.new_empty(slides, rows, columns) if room is None else room
        self.g[:, tokens:] = 1.0
        self.v, self.parts = cost.new_empty(slides, columns), cost.new_empty(slides, columns, dtype=torch.float64)
        weights = torch.nn.functional.pad(row_weights(cost, mask), (0, rows - tokens)).expand(slides, rows)
        each = min(slides, max(1, IN_CACHE // (rows * columns)) if cost.device.type == "cpu" else slides)
        self.blocks = list(self._blocks(weights, cost.new_zeros(3, slides, rows), each))

    def _blocks(self, weights: Tensor, vectors: Tensor, each: int) -> Iterator[Block]:
        g, v, (sums, factors, top) = self.g, self.v, vectors
        slides, rows, columns = g.shape
        runs, parts = rows // RUN, g.new_empty(slides * rows // RUN, 1, columns)
        by_slide = (
            self.cost, weights, g, g[..., : self.problem.prototypes], v, v[..., None], sums, sums[..., None], factors,
            top, parts.view(slides, runs, columns), self.parts,
        )  # fmt: skip
        by_run = g.view(-1, RUN, columns), factors.view(-1, 1, RUN), parts
        masks = (None,) * slides if self.mask is None else self.mask.split(each)
        pieces = [*(one.split(each) for one in by_slide), *(one.split(each * runs) for one in by_run)]
        return (Block(*views) for views in zip(*pieces, masks, strict=False))

    def rebase(self, theta: Vectors) -> None:
        """G around the scalings ``theta``, rounded so that what cancels does so exactly.

        Potentials eps theta of the columns, less a centre, are about as large as the costs of the prototypes that a
        token goes to: their difference is exact or small, and only then divided by eps.
        """
        wanted = theta * self.problem.epsilon
        centre = self.host.centre(wanted + self.columns.closed)
        potentials = (wanted - centre).astype(self.host.dtype)
        self.base = (potentials + centre) / self.problem.epsilon
        self.v.copy_(torch.from_numpy(potentials + self.columns.closed))
        for block in self.blocks:
            self._fill(block)
        if self.problem.row_exponent < 1:
            centres = torch.from_numpy(centre).to(self.v).split(len(self.blocks[0].v))
            for block, one in zip(self.blocks, centres, strict=True):
                block.top.add_(one).div_(self.problem.epsilon)

    def _fill(self, block: Block) -> None:
        """G of a block, whose ``v`` are potentials for now."""
        tokens, prototypes = block.cost.shape[1:]
        g, top = block.g[:, :tokens], block.top[:, :tokens]
        torch.sub(block.v[:, None, :prototypes], block.cost, out=block.own[:, :tokens])
        if self.problem.sink:
            g[..., prototypes] = block.v[:, prototypes:]
        torch.amax(g, dim=2, out=top)
        g.sub_(top[..., None]).mul_(LOG2_E / self.problem.epsilon).exp2_()  # a third of the time of exp
        if block.mask is not None:
            g.masked_fill_(~block.mask[..., None], 1.0)
            top.masked_fill_(~block.mask, 0.0)

    def masses(self, theta: Vectors) -> Vectors:
        """Column masses c at ``theta``; what :meth:`products` and :meth:`write` need of it stays here."""
        gap = self._beyond(theta)
        if bool((far := np.abs(gap) > FAR).any()):
            self.rebase(np.where(far.any(axis=1, keepdims=True), theta, self.base))
            gap = self._beyond(theta)
        self.wide = np.exp(gap)
        self.v.copy_(torch.from_numpy(self.wide))
        for block in self.blocks:
            self._columns(block)
        self.found = self.parts.cpu().numpy() * self.wide
        return self.found

    def _beyond(self, theta: Vectors) -> Vectors:
        """Scalings less the base; where rows are held also less the shift that moves nothing."""
        gap = theta - self.base
        if self.problem.row_exponent < 1:
            return gap
        return gap - (gap.max(axis=1, keepdims=True) + gap.min(axis=1, keepdims=True)) / 2

    def _columns(self, block: Block) -> None:
        """G' u in float64, after row sums and factors."""
        torch.bmm(block.g, block.upright_v, out=block.upright_sums)
        weights, exponent = block.weights, self.problem.row_exponent
        if exponent < 1:
            weights = weights**exponent * ((1 - exponent) * (block.sums.log() + block.top)).exp()
        torch.div(weights, block.sums, out=block.factors)
        torch.bmm(block.run_factors, block.runs, out=block.parts)
        torch.sum(block.slide_parts, dim=1, dtype=torch.float64, out=block.masses)

    def products(self, *, roughly: bool = False) -> tuple[Vectors, Vectors]:
        """Row sums of r q q' [slide, column, column] and of r q, q a row's shares, where masses were last asked for.

        ``roughly``: of some rows, of slides that have many.
        """
        few = self.host.few
        if not roughly or few.all():
            return self._products(1)
        some = self._products(SOME)
        if not few.any():
            return some
        whole = self._products(1)
        return np.where(few[:, None, None], whole[0], some[0]), np.where(few[:, None], whole[1], some[1])

    def _products(self, every: int) -> tuple[Vectors, Vectors]:
        own = torch.cat([_squares(block, every) for block in self.blocks]).double().cpu().numpy()
        own *= self.wide[:, :, None] * self.wide[:, None]
        return own, own.sum(axis=2)  # shares add up to 1

    def write(self, theta: Vectors) -> Vectors:
        """Make ``room`` the plan at ``theta``; its column masses. G is gone then."""
        masses = self.masses(theta)
        for block in self.blocks:
            block.g.mul_(block.v[:, None]).mul_(block.factors[..., None])
        return masses


def _squares(block: Block, every: int) -> Tensor:
    """The row sum of r g g' / s^2 [slide, column, column]."""
    roots = (block.factors[:, ::every] / block.sums[:, ::every]).sqrt_()
    scaled = block.g[:, ::every] * roots[..., None]
    return torch.bmm(scaled.mT, scaled)


class _Host:
    """What NumPy knows of the costs: their type, whether SOME leaves few, and some 64 tokens of each slide."""

    def __init__(self, cost: Tensor, mask: Tensor | None) -> None:
        every = max(1, cost.shape[1] // RUN)
        some = cost[:, ::every].cpu().numpy()
        self.dtype = some.dtype
        counts = np.full(len(cost), cost.shape[1] // SOME) if mask is None else mask[:, ::SOME].sum(dim=1).cpu().numpy()
        self.few = counts < MANY
        self.some = some.astype(np.float64)
        usable = np.isfinite(self.some).any(axis=2)
        if mask is not None:
            usable &= mask[:, ::every].cpu().numpy()
        self.some[~usable] = 0.0
        self.shares = usable / np.maximum(usable.sum(axis=1, keepdims=True), 1)

    def centre(self, potentials: Vectors) -> Vectors:
        """What potentials exceed costs by [slide, 1], in the mean of these tokens."""
        prototypes = self.some.shape[2]
        tops = (potentials[:, None, :prototypes] - self.some).max(axis=2)
        if potentials.shape[1] > prototypes:
            tops = np.maximum(tops, potentials[:, -1:])
        return (tops * self.shares).sum(axis=1, keepdims=True)
