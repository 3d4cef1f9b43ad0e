"""How much a frozen model's logits move with its inputs: s1 and s2 (MIRROR, Eq. 23 and 24)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mirrorflow.models.paired import PairedNetwork
from mirrorflow.runtime.tf32 import set_tf32
from mirrorflow.training.bags import Bags, Batch
from mirrorflow.training.devices import choose_device, guarded
from mirrorflow.training.embedding import Embedder, EmbedSettings
from mirrorflow.training.loading import halves, on_device, received

PARTS = ("slide", "rna")
"""Inputs with respect to which gradients are taken; without a part's name a metric is of both."""

AT_A_TIME = 4
"""Units: their graph is kept for as many gradients as there are classes."""
FULL = (
    f"the GPU's memory is full with {AT_A_TIME} units, and with half of them; lower pretrain.tokens, or set "
    "CUDA_VISIBLE_DEVICES to nothing"
)


@dataclass(frozen=True)
class KnownUnits:
    """Units by name, their bags, expression [unit, gene] as scaled for training, and classes [unit]."""

    names: Sequence[str]
    bags: Bags
    genes: np.ndarray
    classes: np.ndarray


def sensitivities(
    model: PairedNetwork,
    head: tuple[np.ndarray, np.ndarray],
    units: KnownUnits,
    settings: EmbedSettings,
    *,
    seed: int,
    device: str = "auto",
) -> dict[str, np.ndarray]:
    """``s1``, ``s2``, and each of them by input (``s1_slide``, ``s1_rna``, ...), [unit].

    The logits f are those of a linear ``head``, weight [class, 2 * width] and bias [class], on frozen
    embeddings in evaluation mode. s1 is the l2 norm of the gradient of f_y - max over k != y of f_k (the
    units' classes hold y), s2 the Frobenius norm of the Jacobian of f. The input x is what the network receives: the
    patch features of the unit's bag as they are stored [token, feature] (the bag that :func:`.embedding.embed`
    draws first with this ``seed``; a patch drawn twice counts as two inputs), and its expression as scaled
    for training. Precision is float32.
    """
    embedder = Embedder(
        model,
        units.bags,
        units.genes,
        units.names,
        replace(settings, draws=1, batch_size=AT_A_TIME),
        seed,
        choose_device(device),
    )
    model.eval()
    set_tf32(on=False)
    weight, bias = (torch.as_tensor(part).float().to(embedder.device) for part in head)
    of_batch = partial(_of_batch, embedder, (weight, bias), classes=units.classes)
    found: list[dict[str, np.ndarray]] = []
    for batch in embedder.batches(0, training=False):
        found += guarded(
            partial(_each, of_batch, [batch]), lambda: FULL, partial(_in_halves, of_batch, batch, embedder)
        )
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


Measured = Callable[[Batch], dict[str, np.ndarray]]


def _each(of_batch: Measured, batches: Sequence[Batch]) -> list[dict[str, np.ndarray]]:
    return [of_batch(batch) for batch in batches]


def _in_halves(of_batch: Measured, batch: Batch, embedder: Embedder) -> list[dict[str, np.ndarray]]:
    return _each(of_batch, halves(batch, embedder.device))


def _of_batch(
    embedder: Embedder, head: tuple[Tensor, Tensor], batch: Batch, classes: np.ndarray
) -> dict[str, np.ndarray]:
    patches = received(batch, embedder.device).detach().requires_grad_()
    genes = embedder.genes[on_device(batch.units, embedder.device)].requires_grad_()
    logits = torch.cat(embedder.model.encode(patches, genes, counts=batch.counts), dim=1) @ head[0].T + head[1]
    truth = torch.as_tensor(classes[batch.units], device=logits.device)
    outputs = {"s1": [_margin(logits, truth)], "s2": list(logits.unbind(1))}
    values: dict[str, Tensor] = {}
    for name, scalars in outputs.items():
        squares = torch.stack([_squared_gradients(scalar, (patches, genes)) for scalar in scalars]).sum(0)
        values |= {f"{name}_{part}": column for part, column in zip(PARTS, squares.unbind(1), strict=True)}
        values[name] = squares.sum(1)
    return {name: value.sqrt().cpu().numpy() for name, value in values.items()}


def _margin(logits: Tensor, truth: Tensor) -> Tensor:
    """f_y less the largest other logit [unit]."""
    own = logits.gather(1, truth[:, None]).squeeze(1)
    return own - logits.scatter(1, truth[:, None], -torch.inf).amax(1)


def _squared_gradients(scalar: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
    """Squared norms [unit, input] of the gradients of ``scalar`` [unit]; units do not look at each other."""
    gradients = torch.autograd.grad(scalar.sum(), inputs, retain_graph=True)
    return torch.stack([gradient.flatten(1).double().square().sum(1) for gradient in gradients], dim=1)
