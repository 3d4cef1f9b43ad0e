"""What a network costs: parameters, operations, samples a second, memory (section V-D of MIRROR's paper).

Every network of config/methods.yaml is measured at its default size.
"""

import dataclasses
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mirrorflow.config.methods import METHODS, NETWORKS, PRETRAINED_FAMILIES
from mirrorflow.config.training_settings import PairedShape
from mirrorflow.models.families import family_of
from mirrorflow.models.mirror import DownstreamModel
from mirrorflow.models.paired import PairedNetwork, total_loss
from mirrorflow.models.seam import Batch
from mirrorflow.models.supervised import Sizes, SupervisedNetwork, build_network
from mirrorflow.training.devices import Precision, arithmetic_of, choose_device, guarded, wait_for
from mirrorflow.training.trainer import Course, Group, peak_memory_mb

PATHWAYS = 50
"""As many as MSigDB's Hallmark sets."""
PATIENTS = 694
"""Of an epoch: four fifths of TTA's largest cohort (BRCA, 868)."""


@dataclass(frozen=True)
class Dimensions:
    """Published: the defaults, with 2 classes."""

    patch_dim: int = 768
    gene_count: int = 10_234
    tokens: int = PairedShape.tokens
    width: int = PairedShape.width


class Stage(NamedTuple):
    """A network in use: what is trained or run, and the loss of one step over patches and genes."""

    module: nn.Module
    run: Callable[[Tensor, Tensor], Any]
    loss: Callable[[Tensor, Tensor], Tensor]


NOT_COUNTED: dict[str, dict[str, Any]] = {"tta": {"transport": "off"}, "otsurv": {"assignment": "softmax"}}
"""Parts that look at numbers and so cannot be counted without any: transport, which has no parameters."""

Autocast = Callable[[], AbstractContextManager[Any]]

Builder = Callable[[Dimensions], dict[str, Stage]]
"""Stages by name: ``pretrain`` (where there is one) and ``downstream``."""


def pretrained(family: str, sizes: Dimensions, **settings: Any) -> dict[str, Stage]:
    """A self-supervised family: the network it is pretrained as, and its encoders with a linear head."""
    made = family_of(family)
    shape = {"patch_dim": sizes.patch_dim, "gene_count": sizes.gene_count, "width": sizes.width, "tokens": sizes.tokens}
    network = made.network(made.settings(**shape, **settings))
    downstream = DownstreamModel(network)
    return {
        "pretrain": Stage(network, network, partial(_pretraining_loss, network)),
        "downstream": Stage(downstream, downstream, partial(_head_loss, downstream)),
    }


def supervised(method: str, sizes: Dimensions) -> dict[str, Stage]:
    """A network from patches and genes to the logits of two classes, trained as a whole; the method's default size.

    Pathways (survpath): 50 groups of equal size that share no gene.
    """
    family, defaults = METHODS[method].family, METHODS[method].defaults
    gene_sets = tuple(
        tuple(range(start, sizes.gene_count, PATHWAYS)) for start in range(min(PATHWAYS, sizes.gene_count))
    )
    genes = sizes.gene_count if "rna" in defaults["inputs"] else 0
    counting = torch.get_default_device().type == "meta"
    settings = {**defaults["network"], **(NOT_COUNTED.get(family, {}) if counting else {})}
    made = build_network(family, Sizes(sizes.patch_dim, genes, 2, gene_sets), settings, seed=0)
    network = _WholeBags(made)
    return {"downstream": Stage(network, network, partial(_head_loss, network))}


class _WholeBags(nn.Module):
    """A supervised network on bags without padding."""

    def __init__(self, network: SupervisedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, patches: Tensor, genes: Tensor) -> Tensor:
        mask = torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device)
        counts = torch.full((len(patches),), patches.shape[1], device="cpu")
        return self.network(Batch(patches, mask, genes, counts=counts)).logits


VARIANTS: dict[str, dict[str, dict[str, Any]]] = {"mirror": {"mirror": {}, "mirror--exact": {"attention": "exact"}}}
"""Families of which more than the default is measured: family -> name -> settings."""

SUBJECTS: dict[str, Builder] = {
    name: partial(pretrained, family, **settings)
    for family in PRETRAINED_FAMILIES
    for name, settings in VARIANTS.get(family, {family: {}}).items()
} | {name: partial(supervised, name) for name in NETWORKS}


def count(subject: str, stage: str, sizes: Dimensions) -> dict[str, float]:
    """Parameters (millions) and operations of one sample's forward pass (10^9, 2 a multiply-add), computing nothing."""
    with torch.device("meta"):
        part = SUBJECTS[subject](sizes)[stage]
        patches, genes = _inputs(sizes, 1)
        with FlopCounterMode(display=False) as counter:
            part.run(patches, genes)
    parameters = sum(parameter.numel() for parameter in part.module.parameters())
    return {"parameters_m": parameters / 1e6, "gflops": counter.get_total_flops() / 1e9}


def measure(
    subject: str,
    stage: str,
    sizes: Dimensions,
    *,
    batch: int,
    steps: int,
    precision: Precision,
    device: str,
    threads: int,
) -> dict[str, float]:
    """Samples a second, seconds an epoch of 694 patients and peak memory (GB) on this machine, in a process of its own.

    ``pretrain``: optimisation steps. ``downstream``: forward passes without gradients; epochs and memory are those of
    optimisation steps of encoders and head. The best of ``steps`` counts, after one to warm up.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    where = choose_device(device)
    with torch.device(where):
        part = SUBJECTS[subject](sizes)[stage]
        inputs = _inputs(sizes, batch)
    autocast = arithmetic_of(precision, where, sizes.width).autocast
    return guarded(
        partial(_measured, part, inputs, autocast, stage, steps),
        lambda: f"the GPU's memory is full with {batch} samples of {subject}, {stage}; lower complexity.batch_size",
    )


def _measured(
    part: Stage, inputs: tuple[Tensor, Tensor], autocast: Autocast, stage: str, steps: int
) -> dict[str, float]:
    where, batch = inputs[0].device, len(inputs[0])
    if stage == "pretrain":
        rate = batch / _best_seconds(_training(part, inputs, autocast), steps, where)
        return _cost(rate, rate, where)
    rate = batch / _best_seconds(partial(_infer, part, inputs, autocast), steps, where)
    return _cost(rate, batch / _best_seconds(_training(part, inputs, autocast), steps, where), where)


def _cost(rate: float, trained: float, where: torch.device) -> dict[str, float]:
    memory = peak_memory_mb(where) / 1e3
    return {"samples_per_second": rate, "epoch_seconds": PATIENTS / trained, "peak_memory_gb": memory}


def stages_of(subject: str) -> list[str]:
    """Stages of a subject, built of nothing."""
    with torch.device("meta"):
        return list(SUBJECTS[subject](dataclasses.replace(Dimensions(), gene_count=8)))


def _inputs(sizes: Dimensions, batch: int) -> tuple[Tensor, Tensor]:
    return torch.randn(batch, sizes.tokens, sizes.patch_dim), torch.randn(batch, sizes.gene_count)


def _pretraining_loss(network: PairedNetwork, patches: Tensor, genes: Tensor) -> Tensor:
    return total_loss(network.loss_terms(network(patches, genes)), network.loss_weights())


def _head_loss(network: nn.Module, patches: Tensor, genes: Tensor) -> Tensor:
    logits = network(patches, genes)
    return nn.functional.cross_entropy(logits.float(), torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def _training(part: Stage, inputs: tuple[Tensor, Tensor], autocast: Autocast) -> Callable[[], None]:
    optimizer = Course(1, 1).optimizer_of([Group(list(part.module.parameters()), 1e-5)])
    part.module.train()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            loss = part.loss(*inputs)
        loss.backward()
        optimizer.step()

    return step


@torch.inference_mode()
def _infer(part: Stage, inputs: tuple[Tensor, Tensor], autocast: Autocast) -> None:
    part.module.eval()
    with autocast():
        part.run(*inputs)


def _best_seconds(work: Callable[[], None], steps: int, device: torch.device) -> float:
    best = float("inf")
    for _ in range(1 + steps):
        started = time.perf_counter()
        work()
        wait_for(device)
        best = min(best, time.perf_counter() - started)
    return best
