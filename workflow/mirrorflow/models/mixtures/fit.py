"""Prototypes of a fold: k-means, or a mixture from it, on a seeded sample of the training patients' patches."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from mirrorflow.errors import CannotFitError
from mirrorflow.models.mixtures.em import Mixture, fit_mixture, lloyd
from mirrorflow.models.mixtures.rows import Bags, Rows, draw, some

STARTING_PATCHES = 20_000
"""Patches that k-means++ chooses its centres from."""
LLOYD_STEPS, EM_STEPS = 50, 50
SAME_RUN = 1e-6


def fit_patches(
    bags: Bags, rng: np.random.Generator, *, components: int, prior: str, sample: int, restarts: int
) -> Mapping[str, np.ndarray]:
    """Means, variances and weights of ``components``, as the buffers of :class:`.tokens.PrototypeTokens` are called.

    Raises CannotFitError where the sample has fewer distinct patches than components.
    """
    rows = draw(bags, sample, rng)
    centres = _clustered(rows, components, restarts, rng)
    found = Mixture(torch.full((components,), 1 / components), centres, torch.ones_like(centres))
    if prior == "mixture":
        spread = _spread(rows)
        start = Mixture(found.weights.double(), centres, spread.expand_as(centres))
        found = fit_mixture(rows, start, steps=EM_STEPS).mixture
    named = {"means": found.means, "variances": found.variances, "weights": found.weights}
    return {f"tokens.{name}": value.float().numpy() for name, value in named.items()}


def _clustered(rows: Rows, components: int, restarts: int, rng: np.random.Generator) -> Tensor:
    """Centres [component, feature] of the best of some runs of k-means, each from k-means++."""
    from sklearn.cluster import kmeans_plusplus

    near = some(rows, STARTING_PATCHES, rng)
    if (distinct := len(np.unique(near, axis=0))) < components:
        message = (
            f"a mixture of {components} components cannot be fitted on {distinct} different patches of the training "
            "patients; set network.components to fewer"
        )
        raise CannotFitError(message)
    best = None
    for _ in range(restarts):
        start, _ = kmeans_plusplus(near, components, random_state=int(rng.integers(1 << 31)))
        run = lloyd(rows, torch.from_numpy(start).double(), steps=LLOYD_STEPS)
        # A run that only rounding makes better has the same centres in another order.
        best = run if best is None or run.inertia < best.inertia * (1 - SAME_RUN) else best
    assert best is not None
    return best.centres


def _spread(rows: Rows) -> Tensor:
    """Variance [feature] of all patches, and a little, so that a constant feature has one."""
    count, mean, squares = 0, None, None
    for chunk in rows.chunks():
        values = torch.from_numpy(np.asarray(chunk)).double()
        shift = values.mean(0)
        around = (values - shift).square().sum(0)
        if mean is None or squares is None:
            count, mean, squares = len(values), shift, around
            continue
        total = count + len(values)
        squares = squares + around + (shift - mean).square() * (count * len(values) / total)
        mean, count = mean + (shift - mean) * (len(values) / total), total
    assert squares is not None
    return squares / count + 1e-6
