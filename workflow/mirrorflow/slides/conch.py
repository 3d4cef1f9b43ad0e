"""CONCH's image tower (Lu et al. 2024): a ViT whose tokens one learned query attends to, and that query's LayerNorm.

Its vector is what the contrastive loss projects: the projection itself, the pooler of captions and the text tower are
left out, as in the features that its makers recommend. CoCa's pooler: Yu et al. 2022.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mirrorflow.errors import InputError
from mirrorflow.slides.positions import with_positions

WIDTH, HEADS = 512, 8
TOWER = "visual."
"""Before the names of the image tower's weights in the published file."""


class Pooler(nn.Module):
    """Learned queries that attend to tokens, both normed; keys and values are of the tokens' width."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, width))
        self.attn = nn.MultiheadAttention(width, heads, kdim=context, vdim=context, batch_first=True)
        self.ln_q = nn.LayerNorm(width)
        self.ln_k = nn.LayerNorm(context)

    def forward(self, tokens: Tensor) -> Tensor:
        """[batch, token, context] -> [batch, width], of the one query."""
        context = self.ln_k(tokens)
        query = self.ln_q(self.query).expand(len(tokens), -1, -1)
        return self.attn(query, context, context, need_weights=False)[0][:, 0]


class ImageTower(nn.Module):
    """The transformer with its pooler; names of weights are the published ones without ``visual.``."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.trunk = transformer
        self.attn_pool_contrast = Pooler(WIDTH, transformer.embed_dim, HEADS)
        self.ln_contrast = nn.LayerNorm(WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        """[batch, 3, size, size] -> [batch, 512]."""
        return self.ln_contrast(self.attn_pool_contrast(self.trunk.forward_features(images)))


def conch_state(state: Mapping[str, Tensor], network_positions: torch.Size) -> dict[str, Tensor]:
    """Weights of the published file (with a text tower beside) or of the image tower alone, under the tower's names.

    network_positions: shape [1, token, width] of the network's positions; those of another image size are resized,
    bilinear, as the makers' loading does. Raises InputError for weights that are there twice.
    """
    bare = {key.removeprefix("module.").removeprefix(TOWER): value for key, value in state.items()}
    if len(bare) < len(state):
        message = f"conch: these weights hold keys with and without `{TOWER}` before them; keep one of each"
        raise InputError(message)
    return with_positions(bare, "trunk.pos_embed", network_positions, "bilinear")
