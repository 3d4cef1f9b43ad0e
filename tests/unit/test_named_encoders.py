"""Encoders by name: sizes, weights' names and tokens of each against what its makers publish."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mirrorflow.config.encoder_table import NATIVE, NamedEncoder, buildable, encoder_table, named_encoder
from mirrorflow.config.saw import SEEN
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.slides.dinov2_state import dinov2_state
from mirrorflow.slides.encoder_settings import encoder_from
from mirrorflow.slides.encoders import Encoder, ResNetStage3, build_encoder
from mirrorflow.slides.named_network import named_network
from mirrorflow.slides.phikon import phikon_network
from mirrorflow.store.weights import encoder_weights

TABLE = encoder_table()
BUILT = [TABLE[name] for name in buildable() if name not in NATIVE]
IDS = [entry.name for entry in BUILT]

SHAPES = {
    # depth, token width, hidden width of the MLP's output, patch, registers, LayerScale, gated MLP, position tokens
    "phikon-v2": (24, 1024, 4096, 16, 0, True, False, 197),
    "uni": (24, 1024, 4096, 16, 0, True, False, 197),
    "uni2-h": (24, 1536, 4096, 14, 8, True, True, 256),
    "virchow": (32, 1280, 3416, 14, 0, True, True, 257),
    "virchow2": (32, 1280, 3416, 14, 4, True, True, 261),
    "h-optimus-0": (40, 1536, 4096, 14, 4, True, True, 256),
    "h-optimus-1": (40, 1536, 4096, 14, 4, True, True, 256),
    "prov-gigapath": (40, 1536, 4096, 16, 0, True, True, 197),
    "hibou-b": (12, 768, 2048, 14, 4, True, True, 256),
    "hibou-l": (24, 1024, 2736, 14, 4, True, True, 256),
    "kaiko-vits16": (12, 384, 1536, 16, 0, False, False, 197),
    "kaiko-vits8": (12, 384, 1536, 8, 0, False, False, 785),
    "kaiko-vitb16": (12, 768, 3072, 16, 0, False, False, 197),
    "kaiko-vitb8": (12, 768, 3072, 8, 0, False, False, 785),
    "kaiko-vitl14": (24, 1024, 4096, 14, 4, True, False, 1369),
    "midnight-12k": (40, 1536, 4096, 14, 0, True, True, 257),
}
"""What the sources of the table say of each transformer, apart from timm's names for it."""


def state_keys(name: str) -> set[str]:
    """Names of all weights of a transformer, from its facts."""
    depth, *_, registers, scaled, _, _ = SHAPES[name]
    layers = ["norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"]
    keys = {"cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "norm.bias"}
    keys |= {"reg_token"} if registers else set()
    for block in range(depth):
        keys |= {f"blocks.{block}.{layer}.{part}" for layer in layers for part in ("weight", "bias")}
        keys |= {f"blocks.{block}.ls{side}.gamma" for side in (1, 2)} if scaled else set()
    return keys


@pytest.mark.parametrize("entry", BUILT, ids=IDS)
def test_width_weights_and_their_names_are_the_published_ones(entry: NamedEncoder) -> None:
    with torch.device("meta"):
        built = named_network(entry)
    state = built.network.state_dict()
    assert set(state) == state_keys(entry.name)
    total = sum(value.numel() for value in state.values())
    assert total == entry.parameters
    _, width, *_ = SHAPES[entry.name]
    assert state["norm.weight"].shape == (width,)
    assert entry.width == width * (2 if entry.pooling == "token_patch_mean" else 1)
    if entry.published_parameters:
        assert total / 1e6 == pytest.approx(entry.published_parameters, rel=0.006)


@pytest.mark.parametrize("name", SHAPES)
def test_the_number_of_weights_follows_from_the_published_sizes(name: str) -> None:
    depth, width, hidden, patch, registers, scaled, gated, positions = SHAPES[name]
    first = hidden * (2 if gated else 1)
    attention = 3 * width * (width + 1) + width * (width + 1)
    mlp = first * (width + 1) + width * (hidden + 1)
    block = attention + mlp + 4 * width + (2 * width if scaled else 0)
    outside = width * (1 + positions + registers + 3 * patch**2 + 1 + 2)
    assert depth * block + outside == TABLE[name].parameters


@pytest.mark.parametrize("entry", [one for one in BUILT if one.layout == "timm"], ids=lambda one: one.name)
def test_tokens_are_pooled_as_published(entry: NamedEncoder) -> None:
    """[CLS], or [CLS] and the mean of what follows it and the registers (Virchow: from 1, Virchow2: from 5)."""
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    network = named_network(entry, depth=1).network.eval()
    transformer: Any = getattr(network, "transformer", network)
    with torch.no_grad():
        if getattr(transformer, "reg_token", None) is not None:
            transformer.reg_token.normal_()
        tokens, found = transformer.forward_features(images), network(images)
    first = {"virchow": 1, "virchow2": 5}.get(entry.name)
    assert tokens.shape[1] == (224 // SHAPES[entry.name][3]) ** 2 + 1 + SHAPES[entry.name][4]
    wanted = tokens[:, 0] if first is None else torch.cat([tokens[:, 0], tokens[:, first:].mean(1)], 1)
    torch.testing.assert_close(found, wanted)
    assert found.shape == (1, entry.width)


def transformers_model(name: str, image_size: int) -> Any:
    """transformers' own model of one block, with the sizes of the published one and random weights."""
    import transformers

    _, width, _, patch, registers, _, gated, _ = SHAPES[name]
    sizes = {
        "hidden_size": width, "num_hidden_layers": 1, "num_attention_heads": width // 64, "patch_size": patch,
        "image_size": image_size, "use_swiglu_ffn": gated, "mlp_ratio": 4,
    }  # fmt: skip
    torch.manual_seed(0)
    if registers:
        config = transformers.Dinov2WithRegistersConfig(**sizes, num_register_tokens=registers)
        model: Any = transformers.Dinov2WithRegistersModel(config)
    else:
        model = transformers.Dinov2Model(transformers.Dinov2Config(**sizes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.05)
    return model.eval()


@pytest.mark.parametrize(
    ("name", "image_size"),
    [("phikon-v2", 224), ("hibou-b", 224), ("hibou-l", 224), ("midnight-12k", 224), ("midnight-12k", 518)],
)
def test_weights_of_transformers_give_its_own_vectors(name: str, image_size: int, tmp_path: Path) -> None:
    """Positions of images of 518 px are resized as transformers does; pooled as slide2vec does.

    Its files have the published names; its own state_dict() has others since transformers 5.
    """
    entry, model = TABLE[name], transformers_model(name, image_size)
    network = named_network(entry, depth=1).network.eval()
    model.save_pretrained(tmp_path)
    mapped = dinov2_state(load_file(tmp_path / "model.safetensors"), network.state_dict()["pos_embed"].shape)
    assert set(mapped) - set(network.state_dict()) == {"embeddings.mask_token"}
    network.load_state_dict({key: mapped[key] for key in network.state_dict()})
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs, ours = model(pixel_values=images).last_hidden_state, network(images)
    wanted = theirs[:, 0]
    if name == "midnight-12k":
        wanted = torch.cat([wanted, theirs[:, 1:].mean(1)], 1)
    torch.testing.assert_close(ours, wanted, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("entry", BUILT, ids=IDS)
def test_images_are_normalised_as_published(entry: NamedEncoder) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3), np.uint8)
    encoder = Encoder(
        torch.nn.Identity(), entry.width, 224, tuple(entry.mean), tuple(entry.std), "float32", torch.device("cpu"), ""
    )
    wanted = (pixels / 255 - np.array(entry.mean)) / np.array(entry.std)
    np.testing.assert_allclose(encoder.normalise(pixels)[0].numpy(), wanted[0].transpose(2, 0, 1), atol=1e-5)


def test_the_native_ones_have_their_sizes() -> None:
    assert sum(value.numel() for value in ResNetStage3().parameters()) == TABLE["resnet50"].parameters
    with torch.device("meta"):
        phikon = phikon_network()
    assert sum(value.numel() for value in phikon.parameters()) == TABLE["phikon"].parameters


def test_a_named_encoder_is_built_from_its_name_and_its_recipe_is_noted() -> None:
    settings = encoder_from({"name": "small", "model": "kaiko-vits16", "weights": "random", "image_size": 224})
    encoder = build_encoder(settings, None, "cpu")
    assert encoder.dim == 384
    assert encoder.mean == (0.5, 0.5, 0.5)
    assert settings.noted()["recipe"]["network"] == "vit_small_patch16_224"
    assert encoder(np.zeros((2, 224, 224, 3), np.uint8)).shape == (2, 384)


def test_weights_of_a_file_need_no_options(tmp_path: Any) -> None:
    entry = TABLE["kaiko-vits16"]
    save_file(named_network(entry).network.state_dict(), tmp_path / "own.safetensors")
    settings = encoder_from({"name": "small", "model": "kaiko-vits16", "weights": str(tmp_path / "own.safetensors")})
    assert build_encoder(settings, encoder_weights(settings), "cpu").dim == 384
    other = encoder_from({"name": "other", "model": "kaiko-vits8", "weights": str(tmp_path / "own.safetensors")})
    with pytest.raises(InputError, match="these weights are of another model"):
        build_encoder(other, encoder_weights(other), "cpu")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": "h0-mini"}, "H0-mini cannot be built by its name: how many registers"),
        ({"model": "conch"}, "CONCH cannot be built by its name"),
        ({"options": {"depth": 3}}, "uni is as it is; options and pooling"),
        ({"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}, "uni is normalised as its makers do"),
        ({"image_size": 256}, "uni sees 224 px, image_size is 256"),
    ],
)
def test_what_a_named_encoder_is_not_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        encoder_from({"name": "x", "model": "uni", "weights": "hub"} | change)


def test_every_entry_says_where_its_values_are_from() -> None:
    for entry in TABLE.values():
        assert entry.pretrained_on, entry.name
        assert set(entry.saw) <= set(SEEN), entry.name
        assert bool(entry.network) != bool(entry.left_out), entry.name
        wanted = {"architecture", "normalisation"} if entry.network else set()
        wanted |= {"mpp"} if entry.mpp else set()
        wanted |= {"licence"} if entry.licence and entry.name != "resnet50" else set()
        wanted |= {"parameters"} if entry.published_parameters else set()
        assert wanted <= set(entry.sources), entry.name


def test_names_that_are_no_entry_are_none() -> None:
    assert named_encoder("timm/resnet18") is None
    assert named_encoder("resnet50") is None


def test_the_docs_list_what_can_be_built() -> None:
    page = (Path(__file__).parents[2] / "docs" / "slides_and_features.md").read_text(encoding="utf-8")
    for name in buildable():
        entry = TABLE[name]
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert [cell.strip() for cell in row.split("|")][2] == str(entry.width)
        assert entry.licence in row
        assert ("gated" in row) == entry.gated
