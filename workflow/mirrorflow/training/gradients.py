"""Integrated gradients of a unit's answer over its genes, by captum: slide and genes go from a baseline to the unit.

Sundararajan, Taly & Yan 2017, "Axiomatic Attribution for Deep Networks"; expected gradients (Erion et al. 2021) are
their mean over baselines that are patients, slide and genes of one patient together. Attributions of slide and genes
add up to the change of the answer along the path, and the sum's error tells whether there were steps enough.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

STEPS = (50, 200, 400)
"""Steps of a path: the next number where the error is above the bound."""
AT_ONCE = 400_000
"""Values of slides in one pass, at most."""

Answer = Callable[[Tensor, Tensor], Tensor]
"""Slides [batch, patch, feature] and genes [batch, gene] to a number each [batch]."""


@dataclass(frozen=True)
class Seen:
    """What a model sees of a unit: slide [patch, feature] and genes [gene], as they enter it."""

    slide: Tensor
    genes: Tensor


@dataclass(frozen=True)
class Attributed:
    """Attributions [gene] of one unit, a mean over its baselines.

    change: of the answer from baseline to unit. error: what attributions miss of it, relative to its size (both are
    means of absolute values over the baselines); infinite where the answer does not change. steps: of each path.
    """

    values: np.ndarray
    change: float
    error: float
    steps: int


def attributed(
    answer: Answer, unit: Seen, baselines: Sequence[Seen], bound: float, steps: Sequence[int] = STEPS
) -> Attributed:
    """Attributions of the unit's genes with the first number of ``steps`` whose error is within ``bound``, else the
    last: whoever asked compares :attr:`Attributed.error`.

    Raises nothing for an answer without a gradient: its attributions are 0, its error 1.
    """
    found = None
    for number in steps:
        found = _along(answer, unit, baselines, number)
        if found.error <= bound:
            break
    assert found is not None, "steps name a number"
    return found


def _along(answer: Answer, unit: Seen, baselines: Sequence[Seen], steps: int) -> Attributed:
    paths = [_path(answer, unit, one, steps) for one in baselines]
    values, changes, deltas = (np.array(part) for part in zip(*paths, strict=True))
    size, missed = np.abs(changes).mean(), np.abs(deltas).mean()
    error = float(missed / size) if size > 0 else np.inf
    return Attributed(values.mean(0), float(changes.mean()), error, steps)


def _path(answer: Answer, unit: Seen, baseline: Seen, steps: int) -> tuple[np.ndarray, float, float]:
    """Attributions [gene], the change of the answer, and what attributions of slide and genes miss of it."""
    from captum.attr import IntegratedGradients

    def joined(slides: Tensor, genes: Tensor) -> Tensor:
        """The answer; captum asks for a gradient of each input, and a model may see one alone."""
        return answer(slides, genes) + 0 * (slides.flatten(1).sum(1) + genes.sum(1))

    ends, starts = ((one.slide[None], one.genes[None]) for one in (unit, baseline))
    (_, genes), delta = IntegratedGradients(joined).attribute(
        ends,
        baselines=starts,
        n_steps=steps,
        internal_batch_size=max(1, AT_ONCE // max(1, unit.slide.numel())),
        return_convergence_delta=True,
    )
    with torch.no_grad():
        change = answer(*ends) - answer(*starts)
    return genes[0].detach().double().numpy(), float(change), float(delta)
