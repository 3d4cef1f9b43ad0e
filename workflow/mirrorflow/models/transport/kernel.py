"""exp(-C / eps) of some slides, scaled so that float32 holds it, and what sweeps and Newton steps need of it.

Log scalings of the columns, theta, are the unknowns; rows are eliminated. With G = exp(-C / eps + base - m), m the
row's largest exponent, and v = exp(theta - base): s = G v, row masses r, u = r / s, column masses c = v * (G' u). Rows
that are held have r = a. Others have r = a^f exp((1 - f) l), l = log s + m the row's log-sum-exp.

What goes over all tokens is done block by block, on a processor few enough slides that one's G stays in the cache. All
that has the size of a column is float64 and done for all slides at once.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mirrorflow.models.transport.problem import Problem

FAR = 15.0
"""Scalings farther than this from the base move the base: v stays within e^15."""
TINY = 1e-300
LOG2_E = math.log2(math.e)
RUN = 64
"""Tokens whose shares are added in the plan's type; float64 adds these sums. Plain float32 sums are 2e-5 off."""
IN_CACHE = 1 << 17
"""Numbers of a block on a processor: a slide at a time, or many small ones."""


class Columns(NamedTuple):
    """A problem's columns as float64 tensors [column]; a closed one is pinned: exponent 0."""

    exponents: Tensor
    log_masses: Tensor
    closed: Tensor


def columns_of(problem: Problem, device: torch.device) -> Columns:
    """Exponents, log masses (0 where closed) and -inf where closed, else 0."""
    masses = torch.tensor(problem.masses, dtype=torch.float64, device=device)
    exponents = torch.tensor(problem.exponents, dtype=torch.float64, device=device)
    closed = (masses == 0) & (exponents > 0)
    nothing = torch.zeros_like(masses).masked_fill(closed, float("-inf"))
    log_masses = masses.clamp(min=TINY).log().masked_fill(closed, 0.0)
    return Columns(exponents.masked_fill(closed, 0.0), log_masses, nothing)


def row_weights(cost: Tensor, mask: Tensor | None) -> Tensor:
    """1/n at the n real tokens of each slide, else 0: [slide, token], or [1, token] where all tokens are real."""
    if mask is None:
        return cost.new_full((1, cost.shape[1]), 1 / cost.shape[1])
    return mask.to(cost.dtype) / mask.sum(dim=1, keepdim=True)


class Block(NamedTuple):
    """Views of some slides' rows: costs, G of prototypes, also in runs, of the sink; row sums, factors, weights, tops."""

    slides: slice
    cost: Tensor
    g: Tensor
    runs: Tensor
    beside: Tensor
    sums: Tensor
    factors: Tensor
    weights: Tensor
    top: Tensor


def rows_of(tokens: int) -> int:
    """Tokens with what fills the last run."""
    return -(-tokens // RUN) * RUN


class Kernel:
    """Costs [slide, token, prototype] of some slides; ``mask`` [slide, token] is True at real tokens, None: all are.

    Costs of padding may be anything. ``room`` [slide, row, prototype], rows as :func:`rows_of` has them, is where G is,
    and in the end the plan: fresh memory is dearer than a pass.
    """

    def __init__(self, cost: Tensor, mask: Tensor | None, problem: Problem, room: Tensor | None = None) -> None:
        self.cost, self.mask, self.problem = cost, mask, problem
        self.columns = columns_of(problem, cost.device)
        slides, tokens, prototypes = cost.shape
        rows = rows_of(tokens)
        self.room = cost.new_empty(slides, rows, prototypes) if room is None else room
        self.room[:, tokens:] = 1.0
        each = min(slides, max(1, IN_CACHE // (rows * prototypes))) if cost.device.type == "cpu" else slides
        self.scratch = torch.empty_like(self.room[:each])
        weights = torch.nn.functional.pad(row_weights(cost, mask), (0, rows - tokens)).expand(slides, rows)
        vectors = cost.new_zeros(4, slides, rows)
        self.blocks = [self._block(slice(at, min(at + each, slides)), weights, vectors) for at in range(0, slides, each)]

    def _block(self, slides: slice, weights: Tensor, vectors: Tensor) -> Block:
        g, (beside, sums, factors, top) = self.room[slides], vectors[:, slides]
        runs = g.view(-1, RUN, g.shape[2])
        return Block(slides, self.cost[slides], g, runs, beside, sums, factors, weights[slides], top)

    def rebase(self, theta: Tensor) -> None:
        """G around the scalings ``theta`` [slide, column], rounded so that what cancels does so exactly.

        Potentials eps theta of the columns, less a centre, are about as large as the costs of the prototypes that a
        token goes to: their difference is exact or small, and only then divided by eps.
        """
        wanted = theta * self.problem.epsilon
        centre = self._centre(wanted)
        potentials = (wanted - centre).to(self.cost.dtype)
        self.base = (potentials.double() + centre) / self.problem.epsilon
        shift = (potentials + self.columns.closed.to(self.cost.dtype))[:, None]
        for block in self.blocks:
            self._fill(block, shift[block.slides])
            if self.problem.row_exponent < 1:
                block.top.add_(centre[block.slides].to(shift.dtype)).div_(self.problem.epsilon)

    def _fill(self, block: Block, shift: Tensor) -> None:
        tokens, prototypes = block.cost.shape[1:]
        g, top, scale = block.g[:, :tokens], block.top[:, :tokens], LOG2_E / self.problem.epsilon
        torch.sub(shift[..., :prototypes], block.cost, out=g)
        torch.amax(g, dim=2, out=top)
        if self.problem.sink:
            sink = shift[..., prototypes]
            torch.maximum(top, sink, out=top)
            torch.sub(sink, top, out=block.beside[:, :tokens]).mul_(scale).exp2_()
        g.sub_(top[..., None]).mul_(scale).exp2_()  # a third of the time of exp
        if self.mask is not None:
            padding = ~self.mask[block.slides]
            g.masked_fill_(padding[..., None], 1.0)
            block.beside[:, :tokens].masked_fill_(padding, 0.0)
            top.masked_fill_(padding, 0.0)

    def _centre(self, potentials: Tensor) -> Tensor:
        """What potentials exceed costs by [slide, 1], in the mean of some tokens."""
        stride = max(1, self.cost.shape[1] // RUN)
        some = self.cost[:, ::stride].double()
        prototypes = some.shape[2]
        tops = (potentials[:, None, :prototypes] - some).amax(dim=2)
        if self.problem.sink:
            tops = tops.maximum((potentials + self.columns.closed)[:, None, prototypes])
        usable = tops.isfinite() if self.mask is None else tops.isfinite() & self.mask[:, ::stride]
        return (tops.where(usable, 0.0).sum(dim=1) / usable.sum(dim=1).clamp(min=1))[:, None]

    def masses(
        self, theta: Tensor, slides: Sequence[bool] | None = None, squared: Sequence[bool] = ()
    ) -> tuple[Tensor, Tensor | None]:
        """Column masses c [slide, column] at ``theta``; row factors and sums stay here for :meth:`write`.

        ``slides``: whose are wanted, None: all. Blocks without one are left out, their masses are 0. And for blocks
        with a slide in ``squared`` the row sum of r q q' [slide, column, column], q a row's shares; None without any.
        """
        far = (self._beyond(theta).abs() > FAR).any(dim=1, keepdim=True)
        if bool(far.any()):
            self.rebase(torch.where(far, theta, self.base))
        wide = self._beyond(theta).exp()
        v = wide.to(self.cost.dtype)[..., None]
        masses, prototypes = torch.zeros_like(theta), self.problem.prototypes
        products = theta.new_zeros(len(theta), prototypes, prototypes) if any(squared) else None
        for block in self.blocks:
            if slides is None or any(slides[block.slides]):
                self._columns(block, v[block.slides], masses[block.slides])
                if products is not None and any(squared[block.slides]):
                    products[block.slides] = self._squares(block)
        masses *= wide
        return masses, None if products is None else self._whole(products, wide, masses)

    def _whole(self, products: Tensor, v: Tensor, masses: Tensor) -> Tensor:
        """Products of shares from those of G's prototypes: shares add up to 1, the sink's is what is missing."""
        prototypes = self.problem.prototypes
        products.mul_(v[:, :prototypes, None]).mul_(v[:, None, :prototypes])
        if not self.problem.sink:
            return products
        beside = masses[:, :prototypes] - products.sum(dim=2)
        corner = masses[:, -1:] - beside.sum(dim=1, keepdim=True)
        above = torch.cat([products, beside[..., None]], dim=2)
        return torch.cat([above, torch.cat([beside, corner], dim=1)[:, None]], dim=1)

    def _beyond(self, theta: Tensor) -> Tensor:
        """Scalings less the base; where rows are held also less the shift that moves nothing."""
        gap = theta - self.base
        if self.problem.row_exponent < 1:
            return gap
        return gap - (gap.amax(dim=1, keepdim=True) + gap.amin(dim=1, keepdim=True)) / 2

    def _columns(self, block: Block, v: Tensor, out: Tensor) -> None:
        """G' u into ``out`` [slide, column], in float64, after row sums and factors."""
        prototypes = self.problem.prototypes
        torch.bmm(block.g, v[:, :prototypes], out=block.sums[..., None])
        if self.problem.sink:
            block.sums.addcmul_(block.beside, v[:, prototypes])
        weights, exponent = block.weights, self.problem.row_exponent
        if exponent < 1:
            weights = weights**exponent * ((1 - exponent) * (block.sums.log() + block.top)).exp()
        torch.div(weights, block.sums, out=block.factors)
        parts = torch.bmm(block.factors.view(-1, 1, RUN), block.runs)
        out[:, :prototypes] = parts.view(len(v), -1, prototypes).sum(dim=1, dtype=torch.float64)
        if self.problem.sink:
            out[:, prototypes] = (block.beside * block.factors).sum(dim=1, dtype=torch.float64)

    def _squares(self, block: Block) -> Tensor:
        """The row sum of r g g' / s^2 over prototypes [slide, prototype, prototype]."""
        roots = (block.factors / block.sums).sqrt_()
        scaled = torch.mul(block.g, roots[..., None], out=self.scratch[: len(roots)])
        return torch.bmm(scaled.mT, scaled).double()

    def residual(self, theta: Tensor, masses: Tensor) -> Tensor:
        """Theta minus its sweep [slide, column]: f (log c - log b) + (1 - f) theta, 0 at the optimum."""
        f, log_masses, _ = self.columns
        return f * (masses.clamp(min=TINY).log() - log_masses) + (1 - f) * theta

    def write(self, theta: Tensor, sink: Tensor) -> Tensor:
        """Make ``room`` the plan at ``theta``, and ``sink`` [slide, token] its; column masses. G is gone then."""
        masses, _ = self.masses(theta)
        v = self._beyond(theta).exp().to(self.cost.dtype)[:, None]
        tokens, prototypes = self.cost.shape[1:]
        for block in self.blocks:
            block.g.mul_(v[block.slides, :, :prototypes]).mul_(block.factors[..., None])
            if self.problem.sink:
                own = torch.mul(block.beside[:, :tokens], block.factors[:, :tokens], out=sink[block.slides])
                own.mul_(v[block.slides, :, prototypes])
        return masses
