"""Folds of a network trained as one stacked model, beside each alone: `python benchmarks/stacked_folds.py`.

Stacked, every fold's weights lie along a first axis, and one pass (``torch.func.vmap``) serves all of them: a fifth of
the kernels to launch on a GPU. Printed: seconds of both, and how far weights differ after the training. A test holds
them equal in float64; benchmarks/gpu.py measures both on a GPU.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from mirrorflow.models.seam import Batch
from mirrorflow.models.supervised import Sizes, SupervisedNetwork, build_network

Loss = Callable[[Tensor, Tensor], Tensor]
"""Of logits [batch, output] and targets [batch, ...]."""


@dataclass(frozen=True)
class Folds:
    """Bags [unit, patch, feature] and targets [unit, ...] on the device; rows [fold, step, batch] of each step."""

    bags: Tensor
    targets: Tensor
    rows: Tensor
    loss: Loss

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Patches and targets of rows [..., batch]."""
        return self.bags[rows], self.targets[rows]


def seen(patches: Tensor) -> Batch:
    """Whole bags without expression."""
    mask = torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device)
    return Batch(patches, mask, patches.new_zeros(len(patches), 0))


def train_alone(networks: Sequence[nn.Module], folds: Folds, learning_rate: float) -> None:
    """One fold after the other, in place."""
    for network, fold in zip(networks, folds.rows, strict=True):
        optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, fused=True)
        for rows in fold:
            patches, targets = folds.batch(rows)
            optimizer.zero_grad(set_to_none=True)
            folds.loss(network(seen(patches)).logits, targets).backward()
            optimizer.step()


def train_stacked(networks: Sequence[nn.Module], folds: Folds, learning_rate: float) -> None:
    """All folds at once; the networks are given their weights at the end."""
    weights, buffers = stack_module_state(list(networks))
    optimizer = torch.optim.Adam(list(weights.values()), lr=learning_rate, fused=True)

    def loss_of(own: dict[str, Tensor], fixed: dict[str, Tensor], patches: Tensor, targets: Tensor) -> Tensor:
        return folds.loss(functional_call(networks[0], (own, fixed), (seen(patches),)).logits, targets)

    of_all = vmap(loss_of, randomness="different")
    for rows in folds.rows.unbind(1):
        optimizer.zero_grad(set_to_none=True)
        of_all(weights, buffers, *folds.batch(rows)).sum().backward()
        optimizer.step()
    for number, network in enumerate(networks):
        network.load_state_dict({name: values[number].detach() for name, values in (weights | buffers).items()})


def simulated(count: int, *, units: int, tokens: int, dim: int, steps: int, batch: int, device: str = "cpu") -> Folds:
    """Bags whose class shifts some features; every fold draws batches of its own."""
    generator = torch.Generator().manual_seed(0)
    bags, classes = torch.randn(units, tokens, dim, generator=generator), torch.arange(units) % 2
    bags[:, :, :4] += 0.3 * classes[:, None, None]
    rows = torch.randint(0, units, (count, steps, batch), generator=generator)
    return Folds(bags.to(device), classes.to(device), rows.to(device), nn.functional.cross_entropy)


def networks_of(count: int, dim: int, dtype: torch.dtype, device: str = "cpu", **settings: float) -> list[nn.Module]:
    """A network a fold, each from its own seed."""
    made: list[SupervisedNetwork] = [build_network("abmil", Sizes(dim, 0, 2), settings, seed) for seed in range(count)]
    return [network.to(device, dtype).train() for network in made]


def seconds(train: Callable[..., None], networks: Sequence[nn.Module], folds: Folds) -> float:
    """Of a training; on a GPU until it has ended."""
    started = time.perf_counter()
    train(networks, folds, 1e-3)
    if folds.bags.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def compared(folds: Folds, device: str, **settings: float) -> dict[str, float]:
    """Seconds of both, and the largest difference of weights without dropout, in float64."""
    count, dim = len(folds.rows), folds.bags.shape[-1]
    found: dict[str, float] = {}
    for name, train in (("alone", train_alone), ("stacked", train_stacked)):
        train(networks_of(count, dim, torch.float32, device, **settings), folds, 1e-3)  # warms up
        found[f"folds_{name}_s"] = seconds(train, networks_of(count, dim, torch.float32, device, **settings), folds)
    exact = Folds(folds.bags.double(), folds.targets, folds.rows, folds.loss)
    pairs = [networks_of(count, dim, torch.float64, device, **settings | {"dropout": 0.0}) for _ in range(2)]
    train_alone(pairs[0], exact, 1e-3)
    train_stacked(pairs[1], exact, 1e-3)
    differences = [
        (one - other).abs().max().item()
        for network, again in zip(*pairs, strict=True)
        for one, other in zip(network.parameters(), again.parameters(), strict=True)
    ]
    return found | {
        "folds_difference": max(differences),
        "folds_ratio": found["folds_alone_s"] / found["folds_stacked_s"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data = simulated(5, units=80, tokens=arguments.tokens, dim=384, steps=arguments.steps, batch=16)
    for key, value in compared(data, "cpu", width=arguments.width, attention_width=arguments.width // 2).items():
        print(f"{key}={value:.4g}")
