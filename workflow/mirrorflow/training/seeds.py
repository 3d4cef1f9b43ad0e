"""Seeds that follow from others: of a fold, of a step; and torch, seeded with them."""

import numpy as np
import torch


def fold_seed(seed: int, fold: int) -> int:
    """A seed of its own for each fold of a run."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


def step_seed(seed: int, epoch: int, step: int) -> int:
    """A number for torch's generators that follows from seed, epoch and step alone."""
    return int(np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)[0] >> 2)


def seed_torch(seed: int, device: torch.device) -> None:
    """Seed torch's own generators, the CPU's and those of the GPU that computes.

    On a CPU not by ``torch.manual_seed``: until a GPU is used it writes the call's stack down for each kind of GPU,
    which takes up to a millisecond, in every step.
    """
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
