"""What a network costs: parameters, operations, samples a second, memory (section V-D of MIRROR's paper).

Every network of config/methods.yaml is measured at its default size.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mirrorflow.config.methods import METHODS, NETWORKS, PRETRAINED_FAMILIES
from mirrorflow.config.modules import optional_part_of
from mirrorflow.config.training_settings import PairedShape
from mirrorflow.models.families import family_of
from mirrorflow.models.mirror import DownstreamModel
from mirrorflow.models.paired import PairedNetwork, total_loss
from mirrorflow.models.seam import Batch, Objective, Output, Progress, TargetTensors, weighted
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
    """A network in use: what is trained or run, and the loss of a step, by its number, over patches and genes."""

    module: nn.Module
    run: Callable[[Tensor, Tensor], Any]
    loss: Callable[[Tensor, Tensor, int], Tensor]
    cycle: int = 1
    """Steps after which the same is done again."""


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
    own = optional_part_of("models", family, "objective")
    objective = _FirstClass() if own is None else own(made, _FirstClass())
    loss = partial(_supervised_loss, made, objective)
    return {"downstream": Stage(made, partial(_output, made), loss, optional_part_of("models", family, "CYCLE") or 1)}


def _output(network: SupervisedNetwork, patches: Tensor, genes: Tensor) -> Output:
    """Of bags without padding."""
    return network(_whole_bags(patches, genes))


def _whole_bags(patches: Tensor, genes: Tensor) -> Batch:
    """Of units of the first class."""
    mask = torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device)
    counts = torch.full((len(patches),), patches.shape[1], device="cpu")
    return Batch(patches, mask, genes, TargetTensors(classes=_first_class(patches)), counts)


def _first_class(units: Tensor) -> Tensor:
    return torch.zeros(len(units), dtype=torch.long, device=units.device)


class _FirstClass:
    """Cross-entropy of logits, all of the first class: what a family's own objective is beside."""

    def terms(self, out: Output, batch: Batch, at: Progress) -> dict[str, Tensor]:
        """A mean over the batch."""
        return {"cross_entropy": nn.functional.cross_entropy(out.logits, _first_class(out.logits))}

    def weights(self, at: Progress) -> Mapping[str, float]:
        """One term, weight 1."""
        return {}


def _supervised_loss(
    network: SupervisedNetwork, objective: Objective, patches: Tensor, genes: Tensor, step: int
) -> Tensor:
    """What a training descends: the family's objective and the network's own terms, in float32."""
    at, batch = Progress(0, step, 0.0), _whole_bags(patches, genes)
    network.at(at)
    out = network(batch).in_float32()
    with torch.autocast(patches.device.type, enabled=False):
        return weighted(objective.terms(out, batch, at) | network.terms(out, batch, at), objective.weights(at))


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
    optimisation steps of the whole objective. The best of ``steps`` counts, after one to warm up; where steps differ,
    the best mean over a cycle of them.
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
    trained = batch * part.cycle / _best_seconds(_training(part, inputs, autocast), steps, where)
    return _cost(rate, trained, where)


def _cost(rate: float, trained: float, where: torch.device) -> dict[str, float]:
    memory = peak_memory_mb(where) / 1e3
    return {"samples_per_second": rate, "epoch_seconds": PATIENTS / trained, "peak_memory_gb": memory}


def stages_of(subject: str) -> list[str]:
    """Stages of a subject, built of nothing."""
    with torch.device("meta"):
        return list(SUBJECTS[subject](dataclasses.replace(Dimensions(), gene_count=8)))


def _inputs(sizes: Dimensions, batch: int) -> tuple[Tensor, Tensor]:
    return torch.randn(batch, sizes.tokens, sizes.patch_dim), torch.randn(batch, sizes.gene_count)


def _pretraining_loss(network: PairedNetwork, patches: Tensor, genes: Tensor, step: int) -> Tensor:
    return total_loss(network.loss_terms(network(patches, genes)), network.loss_weights())


def _head_loss(network: nn.Module, patches: Tensor, genes: Tensor, step: int) -> Tensor:
    logits = network(patches, genes)
    return nn.functional.cross_entropy(logits.float(), _first_class(logits))


def _training(part: Stage, inputs: tuple[Tensor, Tensor], autocast: Autocast) -> Callable[[], None]:
    optimizer = Course(1, 1).optimizer_of([Group(list(part.module.parameters()), 1e-5)])
    part.module.train()

    def cycle() -> None:
        for step in range(part.cycle):
            optimizer.zero_grad(set_to_none=True)
            with autocast():
                loss = part.loss(*inputs, step)
            loss.backward()
            optimizer.step()

    return cycle


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
