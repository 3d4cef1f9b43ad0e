"""Seeds that follow from others: of a fold, of a step."""

import numpy as np


def fold_seed(seed: int, fold: int) -> int:
    """A seed of its own for each fold of a run."""
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])


def step_seed(seed: int, epoch: int, step: int) -> int:
    """A number for torch's generators that follows from seed, epoch and step alone."""
    return int(np.random.SeedSequence([seed, epoch, step]).generate_state(1, np.uint64)[0] >> 2)
