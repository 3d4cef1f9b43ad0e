"""A pretrained network on another cohort's genes: frozen, but for a new RNA embedding (MIRROR, Sec. V-B)."""

import dataclasses
from typing import Any, cast

import torch

from mirrorflow.models.paired import PairedNetwork


def renew_rna_embedding(network: PairedNetwork, gene_count: int, seed: int) -> PairedNetwork:
    """A copy of ``network`` for ``gene_count`` genes: its weights frozen, its RNA embedding fresh and to be trained.

    Cohorts differ in their genes, so the layers that see genes cannot come along: MIRROR's embedding MLP, the first
    of TANGLE's RNA layers (:meth:`PairedNetwork.rna_embedding`). Patch scaling stays that of the source. The new
    weights are the same for the same seed, whatever was drawn before.
    """
    settings = dataclasses.replace(cast("Any", network.settings), gene_count=gene_count)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        copy = type(network)(settings)
    own = set(map(id, copy.rna_embedding().parameters()))
    fresh = {name for name, parameter in copy.named_parameters() if id(parameter) in own}
    brought = {name: value for name, value in network.state_dict().items() if name not in fresh}
    copy.load_state_dict({**copy.state_dict(), **brought})
    copy.requires_grad_(requires_grad=False)
    copy.rna_embedding().requires_grad_(requires_grad=True)
    return copy.eval()
