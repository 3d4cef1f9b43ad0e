"""Phikon (owkin/phikon): timm's ViT-B/16 with the keys of the published checkpoint mapped onto it.

Filiot et al., Scaling self-supervised learning for histopathology with masked image modeling, 2023. The
checkpoint is of Hugging Face's ``ViTModel``; the feature is the [CLS] token after the last LayerNorm.
"""

from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn

from mirrorflow.errors import InputError
from mirrorflow.slides.transformers_names import timm_names

NORM_EPS = 1e-12  # of the checkpoint's config; timm's own default is 1e-6

RENAMED = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"encoder\.layer\.(\d+)\.layernorm_before\.", r"blocks.\1.norm1."),
    (r"encoder\.layer\.(\d+)\.layernorm_after\.", r"blocks.\1.norm2."),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.", r"blocks.\1.attn.proj."),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.", r"blocks.\1.mlp.fc1."),
    (r"encoder\.layer\.(\d+)\.output\.dense\.", r"blocks.\1.mlp.fc2."),
    (r"layernorm\.", "norm."),
)


def phikon_network(*, width: int = 768, depth: int = 12, heads: int = 12) -> nn.Module:
    """ViT with patches of 16 px on 224 px images; [batch, 3, 224, 224] -> [batch, width]."""
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(
        patch_size=16,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        num_classes=0,
        global_pool="token",
        norm_layer=partial(nn.LayerNorm, eps=NORM_EPS),
    )


def phikon_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of Hugging Face's ViTModel under timm's names; timm's own names pass unchanged.

    Query, key and value become one matrix. What has no name in timm keeps its own, so that nothing is lost unseen.
    Raises InputError for weights that are there twice.
    """
    bare = {key.removeprefix("vit."): value for key, value in state.items()}
    if len(bare) < len(state):
        message = "phikon: these weights hold keys with and without `vit.` before them; keep one of each"
        raise InputError(message)
    return timm_names(bare, RENAMED)
