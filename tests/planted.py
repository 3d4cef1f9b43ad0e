"""Slides and RNA with a planted signal, for everything that pretrains."""

import numpy as np

from mirrorflow.training.bags import ArrayBags

PATCH_DIM, GENES, TOKENS = 8, 30, 10


def planted(units: int = 32, seed: int = 0) -> tuple[ArrayBags, np.ndarray]:
    """Slides and RNA that share four latent factors a unit."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(units, 4))
    to_patches, to_genes = rng.normal(size=(4, PATCH_DIM)), rng.normal(size=(4, GENES))
    bags = [
        (row @ to_patches + 0.5 * rng.normal(size=(rng.integers(4, 20), PATCH_DIM))).astype(np.float32)
        for row in factors
    ]
    return ArrayBags(bags), (factors @ to_genes + 0.2 * rng.normal(size=(units, GENES))).astype(np.float32)
