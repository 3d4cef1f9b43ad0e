"""exp(-C / eps) of some slides, scaled so that float32 holds it, and what sweeps and Newton steps need of it.

Log scalings of the columns, theta, are the unknowns; rows are eliminated. With G = exp(-C / eps + base - m), m the
row's largest exponent, and v = exp(theta - base): s = G v, row masses r, u = r / s, column masses c = v * (G' u). Rows
that are held have r = a. Others have r = a^f exp((1 - f) l), l = log s + m the row's log-sum-exp.

What goes over all tokens is done block by block, on a processor few enough slides that one's G stays in the cache. All
that has the size of a column is float64 and done for all slides at once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mirrorflow.models.transport.problem import Problem

FAR = 15.0
"""Scalings farther than this from the base move the base: v stays within e^15."""
TINY = 1e-300
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


class Block(NamedTuple):
    """Views of some slides' rows: costs, G, G in runs, row sums, row factors, weights and largest exponents."""

    slides: slice
    cost: Tensor
    g: Tensor
    runs: Tensor
    sums: Tensor
    factors: Tensor
    weights: Tensor
    top: Tensor


class Kernel:
    """Costs [slide, token, prototype] of some slides; ``mask`` [slide, token] is True at real tokens, None: all are.

    Costs of padding may be anything.
    """

    def __init__(self, cost: Tensor, mask: Tensor | None, problem: Problem) -> None:
        self.cost, self.mask, self.problem = cost, mask, problem
        self.columns = columns_of(problem, cost.device)
        slides, tokens, _ = cost.shape
        rows = -(-tokens // RUN) * RUN
        weights = cost.new_zeros(1 if mask is None else slides, rows)
        weights[:, :tokens] = 1 / tokens if mask is None else mask.to(cost.dtype) / mask.sum(dim=1, keepdim=True)
        g = cost.new_empty(slides, rows, len(problem.masses))
        g[:, tokens:] = 1.0
        each = max(1, IN_CACHE // g[0].numel()) if cost.device.type == "cpu" else slides
        self.blocks = [
            self._block(slice(first, first + each), g, weights.expand(slides, rows), cost.new_zeros(3, slides, rows))
            for first in range(0, slides, each)
        ]
        self.scratch = torch.empty_like(self.blocks[0].g)

    def _block(self, slides: slice, g: Tensor, weights: Tensor, vectors: Tensor) -> Block:
        own, (sums, factors, top) = g[slides], vectors[:, slides]
        runs = own.reshape(-1, RUN, g.shape[2])
        return Block(slides, self.cost[slides], own, runs, sums, factors, weights[slides], top)

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
        g, top = block.g[:, :tokens], block.top[:, :tokens]
        torch.sub(shift[..., :prototypes], block.cost, out=g[..., :prototypes])
        if self.problem.sink:
            g[..., prototypes:] = shift[..., prototypes:]
        torch.amax(g, dim=2, out=top)
        g.sub_(top[..., None]).mul_(1 / self.problem.epsilon).exp_()
        if self.mask is not None:
            padding = ~self.mask[block.slides]
            g.masked_fill_(padding[..., None], 1.0)
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

    def masses(self, theta: Tensor, slides: Sequence[bool] | None = None, products: Tensor | None = None) -> Tensor:
        """Column masses [slide, column] at ``theta``; row factors and sums stay here for :meth:`write`.

        ``slides``: which are wanted; blocks without one are left out, and their masses 0. ``products``
        [slide, column, column] is filled with the row sum of r q q', q a row's shares.
        """
        far = (self._beyond(theta).abs() > FAR).any(dim=1, keepdim=True)
        if bool(far.any()):
            self.rebase(torch.where(far, theta, self.base))
        wide = self._beyond(theta).exp()
        v = wide.to(self.cost.dtype)[..., None]
        out = torch.zeros_like(theta)
        for block in self.blocks:
            if slides is None or any(slides[block.slides]):
                out[block.slides] = self._columns(block, v[block.slides])
                if products is not None:
                    products[block.slides] = self._squares(block)
        if products is not None:
            products.mul_(wide[:, :, None]).mul_(wide[:, None])
        return out.mul_(wide)

    def _beyond(self, theta: Tensor) -> Tensor:
        """Scalings less the base; where rows are held also less the shift that moves nothing."""
        gap = theta - self.base
        if self.problem.row_exponent < 1:
            return gap
        return gap - (gap.amax(dim=1, keepdim=True) + gap.amin(dim=1, keepdim=True)) / 2

    def _columns(self, block: Block, v: Tensor) -> Tensor:
        """G' u in float64, after row sums and factors."""
        torch.bmm(block.g, v, out=block.sums[..., None])
        weights, exponent = block.weights, self.problem.row_exponent
        if exponent < 1:
            weights = weights**exponent * ((1 - exponent) * (block.sums.log() + block.top)).exp()
        torch.div(weights, block.sums, out=block.factors)
        parts = torch.bmm(block.factors.view(-1, 1, RUN), block.runs)
        return parts.view(len(v), -1, v.shape[1]).sum(dim=1, dtype=torch.float64)

    def _squares(self, block: Block) -> Tensor:
        """The row sum of r g g' / s^2."""
        roots = (block.factors / block.sums).sqrt_()
        scaled = torch.mul(block.g, roots[..., None], out=self.scratch[: len(roots)])
        return torch.bmm(scaled.mT, scaled).double()

    def residual(self, theta: Tensor, masses: Tensor) -> Tensor:
        """Theta minus its sweep [slide, column]: f (log c - log b) + (1 - f) theta, 0 at the optimum."""
        f, log_masses, _ = self.columns
        return f * (masses.clamp(min=TINY).log() - log_masses) + (1 - f) * theta

    def write(self, theta: Tensor, plan: Tensor, sink: Tensor) -> Tensor:
        """The plan at ``theta`` into ``plan`` [slide, token, prototype], ``sink`` [slide, token]; its column masses."""
        masses = self.masses(theta)
        v = self._beyond(theta).exp().to(self.cost.dtype)[:, None]
        tokens, prototypes = plan.shape[1:]
        for slides, _, rows, _, _, all_factors, *_ in self.blocks:
            g, factors = rows[:, :tokens], all_factors[:, :tokens]
            torch.mul(g[..., :prototypes], v[slides, :, :prototypes], out=plan[slides]).mul_(factors[..., None])
            if self.problem.sink:
                torch.mul(g[..., prototypes], v[slides, :, prototypes], out=sink[slides]).mul_(factors)
        return masses
