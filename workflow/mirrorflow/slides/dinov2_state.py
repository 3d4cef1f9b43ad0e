"""Weights of transformers' Dinov2Model (Phikon-v2, Midnight, Hibou) under timm's names.

Oquab et al. 2023, DINOv2; Darcet et al. 2023, Vision transformers need registers. transformers keeps the position of
[CLS] beside those of the patches; timm's networks with registers have it in the token itself.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from mirrorflow.errors import InputError
from mirrorflow.slides.positions import resized
from mirrorflow.slides.transformers_names import timm_names

RENAMED = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.register_tokens", "reg_token"),
    (r"embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"encoder\.layer\.(\d+)\.norm([12])\.", r"blocks.\1.norm\2."),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"blocks.\1.attn.proj."),
    (r"encoder\.layer\.(\d+)\.layer_scale([12])\.lambda1", r"blocks.\1.ls\2.gamma"),
    (r"encoder\.layer\.(\d+)\.mlp\.weights_in\.", r"blocks.\1.mlp.fc1."),
    (r"encoder\.layer\.(\d+)\.mlp\.weights_out\.", r"blocks.\1.mlp.fc2."),
    (r"encoder\.layer\.(\d+)\.mlp\.fc([12])\.", r"blocks.\1.mlp.fc\2."),
    (r"layernorm\.", "norm."),
)
POSITIONS = "embeddings.position_embeddings"


def dinov2_state(state: Mapping[str, Tensor], network_positions: torch.Size) -> dict[str, Tensor]:
    """timm's names for the weights of a Dinov2Model; what has no name there keeps its own, so that it is refused.

    network_positions: shape [1, token, width] of the network's positions; those of another image size are resized,
    bicubic without antialiasing, as transformers does. Raises InputError for weights that are there twice.
    """
    bare = {key.removeprefix("dinov2."): value for key, value in state.items()}
    if len(bare) < len(state):
        message = "these weights hold keys with and without `dinov2.` before them; keep one of each"
        raise InputError(message)
    mapped = timm_names(bare, RENAMED)
    return _placed(mapped, network_positions) if POSITIONS in mapped and "cls_token" in mapped else mapped


def _placed(mapped: dict[str, Tensor], wanted: torch.Size) -> dict[str, Tensor]:
    """With positions of the network's grid; the position of [CLS] goes into the token where the network has none."""
    positions = mapped.pop(POSITIONS)
    own = int(wanted[1] ** 0.5) ** 2 == wanted[1]  # of patches alone
    patches = resized(positions[:, 1:], wanted[1] if own else wanted[1] - 1)
    if own:
        mapped["cls_token"] = mapped["cls_token"] + positions[:, :1]
        return mapped | {"pos_embed": patches}
    return mapped | {"pos_embed": torch.cat([positions[:, :1], patches], dim=1)}
