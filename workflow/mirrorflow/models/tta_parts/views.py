"""Two views of a patient's tokens should be assigned alike ("SK multi-head" of TTA's Table 5).

For some patients of a batch, two random parts of the tokens are drawn. Each head averages a part's logits to one row a
patient; the rows are assigned to prototypes by the same transport, over patients instead of tokens; and each view's
assignment is the other's pseudo-label. The head with the lowest mean loss of an epoch is used in the next.
"""

import torch
from torch import Tensor

from mirrorflow.models.transport import transport
from mirrorflow.models.tta_parts.assignment import Assigning, with_rows_of_one
from mirrorflow.models.tta_parts.tokens import SharedSpace

PATIENTS, PART, EVERY = 4, 0.8, (3, 1)
"""Released code: patients of a batch, share of the tokens in a view, and every which batch: slides, RNA."""


def views_loss(space: SharedSpace, tokens: Tensor, mask: Tensor, modality: int, how: Assigning, rho: float) -> Tensor:
    """Mean soft cross-entropy of each head [head], both ways, over the batch's first patients."""
    tokens, mask = tokens[:PATIENTS], mask[:PATIENTS]
    vectors = space.head_vectors(tokens, modality)
    scores = [space.head_scores(vectors, _part(mask), modality) for _ in range(2)]
    labels = [_assigned(one, how, rho) for one in scores]
    losses = [
        -(label * other.log_softmax(-1)).sum(-1).mean(1) for label, other in zip(labels, scores[::-1], strict=True)
    ]
    return (losses[0] + losses[1]) / 2


def _part(mask: Tensor) -> Tensor:
    """A random part of each patient's real tokens, one at least."""
    order = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, 2.0).argsort(1).argsort(1)
    wanted = (mask.sum(1, keepdim=True) * PART).ceil().clamp(min=1)
    return order < wanted


@torch.no_grad()
def _assigned(scores: Tensor, how: Assigning, rho: float) -> Tensor:
    """Scores [head, patient, prototype] to pseudo-labels of the same shape, whose rows add up to 1."""
    problem = how.problem(scores.shape[-1], rho)
    return with_rows_of_one(transport(-scores.float().log_softmax(-1), problem).plan)
