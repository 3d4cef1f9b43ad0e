"""A supervised network's output for a batch, made in parts whose activations are not kept.

The objective sees the whole batch at once, which a Cox loss needs. The backward pass runs each part forward again, with
the dropout it drew, so that memory holds the activations of one part: the gradient of the whole batch, up to rounding
and to what dropout draws (recomputation of activations: Chen et al. 2016, "Training Deep Nets with Sublinear Memory
Cost").
"""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mirrorflow.models.seam import Batch, Output
from mirrorflow.models.supervised import SupervisedNetwork


def output_of(network: SupervisedNetwork, batch: Batch, parts: int) -> Output:
    """The output of ``batch``, made in so many ``parts`` of about equal size; 1: as the network makes it."""
    if parts == 1 or len(batch.genes) == 1:
        return network(batch)
    rows = torch.arange(len(batch.genes)).chunk(parts)
    return joined([_recomputed(network, batch.of(some)) for some in rows])


def _recomputed(network: SupervisedNetwork, part: Batch) -> Output:
    """The output of a part, whose backward pass runs it again. torch keeps the random state of the devices of the
    tensors among the arguments: those within a batch it does not see, and dropout would draw anew on a GPU.
    """
    return checkpoint(lambda _, given: network(given), part.genes, part, use_reentrant=False)


def joined(made: Sequence[Any]) -> Any:
    """Outputs of the parts of a batch as one: tensors along their first axis, dataclasses and tuples part by part."""
    first = made[0]
    if isinstance(first, Tensor):
        return torch.cat(list(made))
    if is_dataclass(first) and not isinstance(first, type):
        parts = {one.name: joined([getattr(some, one.name) for some in made]) for one in fields(first)}
        return type(first)(**parts)
    if isinstance(first, tuple):
        return tuple(joined(some) for some in zip(*made, strict=True))
    return first
