"""Style clustering module (section III-E of MIRROR): styles as Gaussians, and shared prototypes."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mirrorflow.models.draws import Draws, normal


class Style(NamedTuple):
    """Gaussian parameters [batch, latent] and the style z [batch, width] made from a sample.

    ``log_variance`` is None for the deterministic encoder of Table VI.
    """

    mean: Tensor
    log_variance: Tensor | None
    z: Tensor


class StyleEncoder(nn.Module):
    """One MLP for both modalities, width -> 512 -> 256 -> (mu, log-variance) of 128 -> sample -> width.

    The paper calls the second output log sigma; its published KL term treats it as a log-variance, and so
    does this one. Published: nothing after the 256-wide layer. ``stochastic=False`` is the ablation of Table VI: a
    plain MLP, nothing sampled.
    """

    def __init__(self, width: int, widths: tuple[int, int, int], *, stochastic: bool) -> None:
        super().__init__()
        wide, narrow, latent = widths
        self.mlp = nn.Sequential(nn.Linear(width, wide), nn.GELU(), nn.Linear(wide, narrow))
        self.mean = nn.Linear(narrow, latent)
        self.log_variance = nn.Linear(narrow, latent) if stochastic else None
        self.expand = nn.Linear(latent, width)

    def forward(self, vectors: Tensor, *, generator: Draws = None) -> Style:
        """Vectors [batch, width]; samples h ~ N(mu, sigma^2) in training, takes h = mu in evaluation."""
        hidden = self.mlp(vectors)
        mean = self.mean(hidden)
        if self.log_variance is None:
            return Style(mean, None, self.expand(mean))
        log_variance = self.log_variance(hidden)
        latent = mean
        if self.training:
            noise = normal(mean.shape[0], mean.shape[1], generator, mean.device)
            latent = mean + noise * (0.5 * log_variance.float()).exp()
        return Style(mean, log_variance, self.expand(latent))


class Prototypes(nn.Module):
    """Cluster centres P [prototype, width] shared by both modalities; orthogonal start, unit rows."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.empty(count, width))
        nn.init.orthogonal_(self.centres)
        self.normalise()

    @torch.no_grad()
    def normalise(self) -> None:
        """Scale each centre to length 1 (before every step, as published: "prevents degeneracy")."""
        self.centres.copy_(F.normalize(self.centres, dim=1))

    def forward(self, z: Tensor) -> Tensor:
        """Scores <p_k, z> [batch, prototype], Eq. 17; z is not normalised."""
        return z @ self.centres.T
