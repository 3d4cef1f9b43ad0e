"""The gradient of a plan by its costs, from the equations that the plan satisfies.

Notation of :mod:`.newton`; q are a row's shares, r its mass, P = r q, f_r the rows' exponent, J the Jacobian. With a
gradient g by P: h_k = sum_i P_ik (g_ik - f_r sum_l q_il g_il), lambda = (f / c) J'^-1 h, and by -C / eps it is
P_ik ((g_ik - lambda_k) - f_r sum_l q_il (g_il - lambda_l)). Found by differentiating c(theta, C) = b exp(-w theta).
It is that of the optimum: what is left of the solver's error enters in first order.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mirrorflow.models.autocast import as_it_stands
from mirrorflow.models.transport.kernel import TINY, columns_of
from mirrorflow.models.transport.newton import jacobian
from mirrorflow.models.transport.problem import Problem


class Implicit(torch.autograd.Function):
    """Passes a solved plan on; its gradient goes to the costs it was solved for."""

    @staticmethod
    def forward(ctx: Any, cost: Tensor, plan: Tensor, sink: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
        """``plan`` [slide, token, prototype] and ``sink`` [slide, token], as they are."""
        plan, sink = plan.view_as(plan), sink.view_as(sink)
        ctx.save_for_backward(plan, sink)
        ctx.problem, ctx.dtype = problem, cost.dtype
        return plan, sink

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_plan: Tensor, by_sink: Tensor) -> tuple[Tensor, None, None, None]:
        """By costs; padding gets 0."""
        plan, sink = ctx.saved_tensors
        each = 1 if plan.device.type == "cpu" else len(plan)  # one slide stays in a processor's cache
        whole = zip(*(one.split(each) for one in (plan, sink, by_plan, by_sink)), strict=True)
        with as_it_stands(plan):
            found = torch.cat([_by_cost(*slides, problem=ctx.problem) for slides in whole])
        return found.to(ctx.dtype), None, None, None


def _by_cost(plan: Tensor, sink: Tensor, by_plan: Tensor, by_sink: Tensor, *, problem: Problem) -> Tensor:
    """The gradient of one slide or some."""
    whole, grad = (plan, by_plan) if not problem.sink else (_beside(plan, sink), _beside(by_plan, by_sink))
    shares = whole / whole.sum(dim=2, keepdim=True).clamp(min=torch.finfo(whole.dtype).tiny)
    means = problem.row_exponent * (shares * grad).sum(dim=2, keepdim=True)
    masses = whole.sum(dim=1, dtype=torch.float64)
    products = torch.bmm(whole.mT, shares).double()
    columns = columns_of(problem)
    matrix = torch.from_numpy(jacobian(products.cpu().numpy(), masses.cpu().numpy(), columns, problem)).to(plan.device)
    pull = (whole * (grad - means)).sum(dim=1, dtype=torch.float64)
    solved = torch.linalg.solve_ex(matrix.mT, pull[..., None])[0][..., 0]
    exponents = torch.from_numpy(columns.exponents).to(plan.device)
    multipliers = (solved * exponents / masses.clamp(min=TINY)).to(plan.dtype)[:, None]
    pushed = problem.row_exponent * torch.bmm(shares, multipliers.mT)
    prototypes = plan.shape[2]
    rest = (grad - multipliers)[..., :prototypes] - (means - pushed)
    return plan * rest / -problem.epsilon


def _beside(plan: Tensor, sink: Tensor) -> Tensor:
    return torch.cat([plan, sink[..., None]], dim=2)
