"""A slide as its own mixture: a few steps of expectation-maximisation from the fold's prototypes, with them as prior.

Song et al., "Morphological Prototyping for Unsupervised Slide Representation Learning in Computational Pathology",
CVPR 2024 (PANTHER), after Kim 2022, "Differentiable Expectation-Maximization for Set Representation Learning".
"""

import math

import torch
from torch import Tensor, nn

from mirrorflow.models.autocast import as_it_stands

TAU = 1.0
"""Weight of the prior: as much as so many patches of each component."""


class PrototypeTokens(nn.Module):
    """Patches [batch, patch, feature] to tokens [batch, component, 1 + 2 feature]: weight, mean, variance.

    The prototypes are buffers that ``fit_patches`` fills. Until then they are means from N(0, 0.01), which no training
    changes.
    """

    means: Tensor
    variances: Tensor
    weights: Tensor

    def __init__(self, features: int, components: int, em_steps: int) -> None:
        super().__init__()
        self.em_steps = em_steps
        self.register_buffer("means", 0.1 * torch.randn(components, features))
        self.register_buffer("variances", torch.ones(components, features))
        self.register_buffer("weights", torch.full((components,), 1 / components))

    def forward(self, patches: Tensor, mask: Tensor) -> Tensor:
        """``mask`` [batch, patch] is True at real patches."""
        with as_it_stands(patches):
            return self._read(patches.float(), mask)

    def _read(self, patches: Tensor, mask: Tensor) -> Tensor:
        # Less the prototypes' mean, so that squares less squared means lose no digits; padding is 0.
        centre = self.means.mean(0)
        patches = (patches - centre).masked_fill(~mask[..., None], 0.0)
        both, real = torch.cat([patches, patches.square()], dim=-1), mask[..., None]
        prior = self.means - centre
        prior_moments = torch.cat([prior, self.variances + prior.square()], dim=1)
        weights, means, variances = (part.expand(len(patches), *part.shape) for part in self._start(prior))
        for _ in range(self.em_steps):
            shares = _log_densities(both, weights, means, variances).softmax(-1) * real
            counts = shares.sum(1) + TAU
            moments = (shares.mT @ both + TAU * prior_moments) / counts[..., None]
            means, squares = moments.chunk(2, dim=-1)
            weights, variances = counts / counts.sum(1, keepdim=True), (squares - means.square()).clamp(min=0.0)
        return torch.cat([weights[..., None], means + centre, variances], dim=-1)

    def _start(self, prior: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.weights, prior, self.variances


def _log_densities(both: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """log(weight N(x)) [batch, patch, component] of [x, x^2] [batch, patch, 2 feature]."""
    precisions = 1.0 / variances.clamp(min=torch.finfo(variances.dtype).tiny)
    coefficients = torch.cat([means * precisions, -0.5 * precisions], dim=-1)
    spread = variances.clamp(min=torch.finfo(variances.dtype).tiny).log().sum(-1)
    constants = weights.log() - 0.5 * (
        means.shape[-1] * math.log(2 * math.pi) + spread + (means.square() * precisions).sum(-1)
    )
    return both @ coefficients.mT + constants[:, None]
