"""Tokens assigned to prototypes: by transport (Eqs. 4 to 11 of TTA), by k-means, or by the softmax alone.

Plans come without a gradient, as in the released code: prototypes learn through the softmax's half of the weights and
the pseudo-labels. Every plan here is given times the number of its tokens: a row adds up to the share of its token's
mass that prototypes get (1 at most), not to that share over N.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mirrorflow.models.autocast import as_it_stands
from mirrorflow.models.ramp import ramp
from mirrorflow.models.transport import Problem, partial, transport


def curriculum(base: float, upper: float, share: float) -> float:
    """Eq. 9: the mass that prototypes get when ``share`` of the ramp is done; from base + (upper - base) e^-5."""
    return base + (upper - base) * ramp(share)


@dataclass(frozen=True)
class Assigning:
    """How plans are made.

    kind: ``curriculum`` (mass rho, the rest in a sink), ``fixed`` (the same with rho 1), ``balanced`` (prototypes get
    equal shares of rho; "general OT" of the released code), ``kmeans``, ``off``. joint: one plan for both modalities'
    tokens, else one each. semantic: weight of <S, Q Q^T> with S the tokens' cosine similarity (released code only).
    full_bag: a slide of fewer tokens has no plan (what padding does in the released code); 0: every slide has one.
    """

    kind: str
    joint: bool
    gamma: float
    epsilon: float
    semantic: float
    full_bag: int

    @property
    def transports(self) -> bool:
        """Whether plans are transported: there are pseudo-labels."""
        return self.kind not in ("off", "kmeans")

    def problem(self, prototypes: int, rho: float) -> Problem:
        """The transport problem at mass ``rho``."""
        gamma = math.inf if self.kind == "balanced" else self.gamma
        return partial(prototypes, self.epsilon, gamma, 1.0 if self.kind == "fixed" else rho)


@dataclass(frozen=True)
class Tokens:
    """One modality's: logits [batch, token, prototype], unit vectors [batch, token, width] that their similarity is
    measured by, and the mask [batch, token], True at real tokens.
    """

    logits: Tensor
    vectors: Tensor
    mask: Tensor


@torch.no_grad()
def plans(parts: Sequence[Tokens], how: Assigning, rho: float) -> list[Tensor]:
    """The plan of each modality [batch, token, prototype], 0 at padded tokens; 0 throughout for slides without one.

    The first of ``parts`` is the slide's, which alone may be padded: pathways have a plan of their own whatever its
    size. Without autocast: the tokens' similarity would lose its digits.
    """
    with as_it_stands(parts[0].logits):
        return _plans([Tokens(part.logits.float(), part.vectors.float(), part.mask) for part in parts], how, rho)


def _plans(parts: Sequence[Tokens], how: Assigning, rho: float) -> list[Tensor]:
    if how.kind == "off":
        return [torch.zeros_like(part.logits) for part in parts]
    if how.kind == "kmeans":
        return [_hard(part) for part in parts]
    if how.joint:
        return list(_plan(parts, how, rho).split([part.logits.shape[1] for part in parts], dim=1))
    slide, *others = parts
    return [_plan([slide], how, rho), *(_plan([part], replace(how, full_bag=0), rho) for part in others)]


def tokens_of_plans(parts: Sequence[Tokens], *, joint: bool) -> list[Tensor]:
    """How many tokens [batch] the plan of each modality has: those of both where one plan serves both."""
    own = [part.mask.sum(1) for part in parts]
    return [torch.stack(own).sum(0)] * len(own) if joint else own


def _plan(parts: Sequence[Tokens], how: Assigning, rho: float) -> Tensor:
    """Of the tokens of ``parts``, one after the other."""
    logits, mask = (torch.cat([getattr(part, name) for part in parts], dim=1) for name in ("logits", "mask"))
    vectors = torch.cat([part.vectors for part in parts], dim=1)
    problem, cost = how.problem(logits.shape[-1], rho), -F.log_softmax(logits.float(), dim=-1)
    if not how.full_bag:
        return _solved(cost, mask, vectors, problem, how.semantic)
    found, full = torch.zeros_like(cost), parts[0].mask.sum(1) >= how.full_bag
    if bool(full.any()):
        found[full] = _solved(cost[full], mask[full], vectors[full], problem, how.semantic)
    return found


OUTER_STEPS, OUTER_CHANGE = 100, 1e-6


def _solved(cost: Tensor, mask: Tensor, vectors: Tensor, problem: Problem, semantic: float) -> Tensor:
    """The plan times the number of tokens [batch, token, prototype]; with ``semantic`` that of
    min <Q, C> - semantic <S, Q Q^T> by majorise-minimise.

    Each outer step makes the second term linear at the last plan: cost C - semantic (S + S^T) Q, and
    (S + S^T) Q = 2 X (X^T Q) for unit vectors X, so that S [token, token] is never formed. At most 100 steps, until no
    entry moves by more than 1e-6.
    """
    found = transport(cost, problem, mask)
    if not semantic:
        return found.weights
    vectors = vectors.float() * mask[..., None]
    for _ in range(OUTER_STEPS):
        before = found
        pull = vectors @ (vectors.transpose(1, 2) @ found.plan)
        found = transport(cost - 2.0 * semantic * pull, problem, mask, start_at=found.scalings)
        if float((found.weights - before.weights).abs().max()) <= OUTER_CHANGE:
            break
    return found.weights


LLOYD_STEPS, LLOYD_SEED = 2, 0


def _hard(part: Tokens) -> Tensor:
    """Each slide's tokens in as many clusters as there are prototypes: two Lloyd steps from random tokens, hard.

    A cluster without a token keeps its centre. The start is seeded, so that evaluation gives the same each time.
    """
    clusters = part.logits.shape[-1]
    source = torch.Generator().manual_seed(LLOYD_SEED)
    found = torch.zeros_like(part.logits)
    for row, real in enumerate(part.mask):
        tokens = part.vectors[row, real]
        chosen = torch.randint(len(tokens), (clusters,), generator=source).to(tokens.device)
        centres = tokens[chosen]
        for _ in range(LLOYD_STEPS):
            own = F.one_hot(torch.cdist(tokens, centres).argmin(1), clusters).to(tokens.dtype)
            sizes = own.sum(0)[:, None]
            centres = torch.where(sizes > 0, own.T @ tokens / sizes.clamp(min=1), centres)
        found[row, real] = F.one_hot(torch.cdist(tokens, centres).argmin(1), clusters).to(found.dtype)
    return found


def weights_of(part: Tokens, plan: Tensor, mixing: float, rescaling: str, tokens: Tensor) -> Tensor:
    """Eq. 12: (1 - mixing) softmax + mixing plan [batch, token, prototype], 0 at padded tokens.

    rescaling: ``none`` takes the plan as printed (a row adds up to 1/N at most, N the plan's ``tokens`` [batch], those
    of both modalities where they share it); ``tokens`` times N; ``rows`` the same, rows then made to add up to 1
    (released code). A slide without a plan has the softmax where nothing else is asked for (mixing 1).
    """
    shares = part.logits.softmax(-1)
    if rescaling == "none":
        plan = plan / tokens.to(plan.dtype)[:, None, None]
    mixed = (1.0 - mixing) * shares + mixing * plan
    if mixing == 1.0:
        mixed = torch.where(plan.sum((1, 2), keepdim=True) > 0, mixed, shares)
    if rescaling == "rows":
        mixed = with_rows_of_one(mixed)
    return mixed.masked_fill(~part.mask[..., None], 0.0)


def with_rows_of_one(plan: Tensor) -> Tensor:
    """The plan with rows that add up to 1; a row of nothing stays one."""
    return plan / plan.sum(-1, keepdim=True).clamp(min=1e-12)


def pseudo_label_loss(part: Tokens, plan: Tensor, labels: str, tokens: Tensor) -> Tensor:
    """Eq. 14, a mean over the real tokens of a slide, then over the batch: a scalar.

    labels: ``plan`` as printed (rows add up to 1/N at most, N as in :func:`weights_of`), ``mass`` times N, ``rows``
    with rows that add up to 1 (released code; its log has ``mass``). A token without mass teaches nothing.
    """
    counts = part.mask.sum(1).to(plan.dtype)
    if labels == "plan":
        plan = plan / tokens.to(plan.dtype)[:, None, None]
    elif labels == "rows":
        plan = with_rows_of_one(plan)
    loss = -(plan * part.logits.log_softmax(-1)).sum(-1).masked_fill(~part.mask, 0.0)
    return (loss.sum(1) / counts).mean()
