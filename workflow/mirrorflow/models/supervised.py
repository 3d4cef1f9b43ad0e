"""What the supervised networks share: their inputs, the scaling of patches, how one is built by its name.

A method is a module of this package, named after its family (``ilra-mil`` -> ``ilra_mil.py``), with ``SETTINGS``, a
dataclass of what can be set, and ``build(sizes, **settings)``, which returns a :class:`SupervisedNetwork`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mirrorflow.config.fields import keys_of
from mirrorflow.config.modules import part_of
from mirrorflow.errors import ConfigError


@dataclass(frozen=True)
class Sizes:
    """What the data decide of a network.

    patch_dim and gene_count: width of a patch's features and of the expression (0 where a method sees none);
    outputs: classes, or bins of the discrete hazards; gene_sets: positions of each pathway's genes.
    """

    patch_dim: int
    gene_count: int
    outputs: int
    gene_sets: tuple[tuple[int, ...], ...] = ()


class SupervisedNetwork(nn.Module):
    """Bags, and expression where the method sees it, to one row of logits a unit.

    Whatever a padded patch holds, no logit depends on it; the order of the patches means nothing.
    """

    patch_mean: Tensor
    patch_sd: Tensor

    def __init__(self, sizes: Sizes, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("patch_mean", torch.zeros(sizes.patch_dim))
        self.register_buffer("patch_sd", torch.ones(sizes.patch_dim))

    def scale_patches(self, mean: Tensor, sd: Tensor) -> None:
        """Standardise patch features by ``mean`` and ``sd`` [feature] from now on; stored with the weights."""
        self.patch_mean.copy_(mean)
        self.patch_sd.copy_(sd)

    def forward(self, patches: Tensor, mask: Tensor, genes: Tensor) -> Tensor:
        """Logits [batch, output] of patches [batch, patch, feature] and genes [batch, gene].

        ``mask`` [batch, patch] is True at real patches, of which every bag has one at least.
        """
        return self.logits((patches - self.patch_mean) / self.patch_sd, mask, genes)

    def logits(self, patches: Tensor, mask: Tensor, genes: Tensor) -> Tensor:
        """As :meth:`forward`, of scaled patches."""
        raise NotImplementedError

    def penalty(self) -> Tensor:
        """What the method adds to the loss of every step; 0 for most."""
        return self.patch_mean.new_zeros(())


def build_network(family: str, sizes: Sizes, settings: Mapping[str, Any], seed: int) -> SupervisedNetwork:
    """The network of a method's family, its weights drawn from ``seed``; torch's own state is left alone.

    What ``settings`` do not name is as the family's ``SETTINGS`` say. Raises ConfigError for settings that the method
    does not have, or that cannot be.
    """
    build, stated = part_of("models", family, "build"), part_of("models", family, "SETTINGS")
    known = [one.name for one in keys_of(stated)]
    if unknown := sorted(set(settings) - set(known)):
        message = f"{family}: network has no setting {', '.join(unknown)}; it has {', '.join(known)}"
        raise ConfigError(message)
    whole = stated(**settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(sizes, **{name: getattr(whole, name) for name in known})
