"""Encoders of config/encoders.yaml, built through timm: [CLS], [CLS] beside the mean patch token, or a query."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mirrorflow.config.encoder_table import QUERY, TOKEN_PATCH_MEAN, NamedEncoder
from mirrorflow.slides.conch import ImageTower
from mirrorflow.slides.timm_network import Architecture, layer_option


class TokenAndPatchMean(nn.Module):
    """A timm vision transformer whose [CLS] token stands beside the mean of its patch tokens, registers left out.

    Its weights keep timm's names.
    """

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, images: Tensor) -> Tensor:
        """[batch, 3, size, size] -> [batch, 2 * width]."""
        tokens = self.transformer.forward_features(images)
        patches = tokens[:, self.transformer.num_prefix_tokens :]
        return torch.cat([tokens[:, 0], patches.mean(1)], dim=1)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Of the transformer."""
        return self.transformer.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Into the transformer."""
        return self.transformer.load_state_dict(state_dict, *args, **kwargs)


def pooled(transformer: Any, pooling: str) -> nn.Module:
    """The transformer as it pools itself, or with :class:`TokenAndPatchMean` or CONCH's query around it."""
    if pooling == QUERY:
        return ImageTower(transformer)
    return TokenAndPatchMean(transformer) if pooling == TOKEN_PATCH_MEAN else transformer


def named_network(entry: NamedEncoder, *, depth: int | None = None) -> Architecture:
    """The network of an entry with random weights; ``depth``: fewer blocks than it has, to try it."""
    import timm

    options = {key: layer_option(entry.name, key, value) for key, value in entry.options.items()}
    if depth is not None:
        options["depth"] = depth
    network = timm.create_model(entry.network, pretrained=False, num_classes=0, global_pool="token", **options)
    return Architecture(pooled(network, entry.pooling), entry.image_size, tuple(entry.mean), tuple(entry.std))
