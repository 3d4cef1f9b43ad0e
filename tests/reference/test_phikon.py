"""Phikon's network equals Hugging Face's ViTModel, for which its checkpoint was published."""

from pathlib import Path

import pytest
import torch

from mirrorflow.slides.encoders import load_weights
from mirrorflow.slides.phikon import phikon_network, phikon_state
from mirrorflow.store.weights import read_weights

transformers = pytest.importorskip("transformers")


def test_equal_to_vit_model_on_the_same_weights(tmp_path: Path):
    config = transformers.ViTConfig(layer_norm_eps=1e-12)  # ViT-B/16, as owkin/phikon's config says
    generator = torch.Generator().manual_seed(0)
    theirs = transformers.ViTModel(config, add_pooling_layer=False).eval()
    for name, weights in theirs.named_parameters():
        weights.data = torch.randn(weights.shape, generator=generator) * 0.02
        weights.data += 1.0 if "norm" in name and name.endswith("weight") else 0.0
    theirs.save_pretrained(tmp_path)  # under the names of the published checkpoint
    ours = phikon_network().eval()
    load_weights(ours, phikon_state(read_weights(tmp_path / "model.safetensors")), "phikon", "phikon")
    images = torch.randn(2, 3, 224, 224, generator=generator)
    with torch.inference_mode():
        expected = theirs(images).last_hidden_state[:, 0]
        torch.testing.assert_close(ours(images), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.1


def test_keys_of_the_published_checkpoint():
    """The names of owkin/phikon's own file (transformers 4): query, key and value, and a pooler."""
    network = phikon_network(width=8, depth=2, heads=2)
    state = published_names(depth=2, width=8)
    load_weights(network, phikon_state(state), "phikon", "phikon")
    assert torch.equal(network.blocks[1].attn.qkv.weight[8:16], state["encoder.layer.1.attention.attention.key.weight"])


def published_names(depth: int, width: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.position_embeddings": (1, 197, width),
        "embeddings.patch_embeddings.projection.weight": (width, 3, 16, 16),
        "embeddings.patch_embeddings.projection.bias": (width,),
        "layernorm.weight": (width,),
        "layernorm.bias": (width,),
        "pooler.dense.weight": (width, width),
    }
    for layer in range(depth):
        block = f"encoder.layer.{layer}."
        squares = [f"attention.attention.{name}" for name in ("query", "key", "value")] + ["attention.output.dense"]
        for name in squares:
            shapes |= {f"{block}{name}.weight": (width, width), f"{block}{name}.bias": (width,)}
        for name, out, inner in (("intermediate.dense", 4 * width, width), ("output.dense", width, 4 * width)):
            shapes |= {f"{block}{name}.weight": (out, inner), f"{block}{name}.bias": (out,)}
        for name in ("layernorm_before", "layernorm_after"):
            shapes |= {f"{block}{name}.weight": (width,), f"{block}{name}.bias": (width,)}
    return {key: torch.randn(shape, generator=generator) for key, shape in shapes.items()}
