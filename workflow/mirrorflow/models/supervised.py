"""What the supervised networks share: their inputs, the scaling of patches, how one is built by its name.

A method is a module of this package, named after its family (``ilra-mil`` -> ``ilra_mil.py``), with ``SETTINGS``, a
dataclass of what can be set, and ``build(sizes, **settings)``, which returns a :class:`SupervisedNetwork`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mirrorflow.config.fields import keys_of
from mirrorflow.config.modules import part_of
from mirrorflow.errors import ConfigError, MirrorflowError
from mirrorflow.models.seam import Batch, Output, Progress


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
    """Bags and expression, as far as the method sees them, to one row of logits a unit.

    Whatever a padded patch holds, no logit depends on it; the order of the patches means nothing, unless the class says
    that it is ``ordered``: then patches come in the order of their files, also where some of them are drawn.
    """

    ordered: ClassVar[bool] = False

    patch_mean: Tensor
    patch_sd: Tensor

    def __init__(self, sizes: Sizes, width: int) -> None:
        super().__init__()
        self.width, self.outputs = width, sizes.outputs
        self.register_buffer("patch_mean", torch.zeros(sizes.patch_dim))
        self.register_buffer("patch_sd", torch.ones(sizes.patch_dim))

    def scale_patches(self, mean: Tensor, sd: Tensor) -> None:
        """Standardise patch features by ``mean`` and ``sd`` [feature] from now on; stored with the weights."""
        self.patch_mean.copy_(mean)
        self.patch_sd.copy_(sd)

    def take_fitted(self, fitted: Mapping[str, Tensor]) -> None:
        """Take what the family's ``fit_inputs`` gave into the buffers of these names; stored with the weights."""
        for name, value in fitted.items():
            self.get_buffer(name).copy_(value)

    def forward(self, batch: Batch) -> Output:
        """Output of a batch; every bag has one real patch at least.

        Raises MirrorflowError where :meth:`output` returns something else, or logits of another shape.
        """
        out = self.output(replace(batch, patches=(batch.patches - self.patch_mean) / self.patch_sd))
        where = f"{type(self).__module__}: {type(self).__name__}.output"
        if not isinstance(out, Output):
            message = f"{where} returns a {type(out).__name__}; return Output(logits)"
            raise MirrorflowError(message)
        wanted = (len(batch.mask), self.outputs)
        if tuple(out.logits.shape) != wanted:
            message = f"{where}: logits have shape {tuple(out.logits.shape)}, [unit, output] is {wanted}"
            raise MirrorflowError(message)
        return out

    def output(self, batch: Batch) -> Output:
        """As :meth:`forward`, of scaled patches."""
        raise NotImplementedError

    def load_best(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of the epoch that is kept."""
        self.load_state_dict(state)

    def at(self, progress: Progress) -> None:
        """Called before each step of a training: what of the network follows from where the training is."""

    def terms(self, out: Output, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """Loss terms of the network's own, which count with weight 1 beside those of the objective; most have none."""
        return {}


def build_network(family: str, sizes: Sizes, settings: Mapping[str, Any], seed: int) -> SupervisedNetwork:
    """The network of a method's family, its weights drawn from ``seed``; torch's own state is left alone.

    What ``settings`` do not name is as the family's ``SETTINGS`` say. Raises ConfigError for settings that the method
    does not have, and for impossible values.
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
