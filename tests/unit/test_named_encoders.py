"""Encoders by name: sizes, weights' names and tokens of each against what its makers publish."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mirrorflow.config.encoder_table import NATIVE, NamedEncoder, buildable, encoder_table, named_encoder
from mirrorflow.config.resolve import resolve
from mirrorflow.config.saw import SEEN
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.slides.conch import conch_state
from mirrorflow.slides.dinov2_state import dinov2_state
from mirrorflow.slides.encoder_settings import encoder_from
from mirrorflow.slides.encoders import Encoder, ResNetStage3, build_encoder
from mirrorflow.slides.named_network import named_network
from mirrorflow.slides.phikon import phikon_network
from mirrorflow.slides.weights_fit import load_weights
from mirrorflow.steps.reuse.new_inputs import _encoder as encoder_settings
from mirrorflow.store.weights import encoder_weights

TABLE = encoder_table()
BUILT = [TABLE[name] for name in buildable() if name not in NATIVE]
PLAIN = [entry for entry in BUILT if entry.layout != "conch"]
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
    "h0-mini": (12, 768, 2048, 14, 4, True, True, 256),
    "conch": (12, 768, 3072, 16, 0, False, False, 785),
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


@pytest.mark.parametrize("entry", PLAIN, ids=lambda one: one.name)
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
    assert depth * block + outside + beyond(name, width) == TABLE[name].parameters


def beyond(name: str, context: int) -> int:
    """Weights of CONCH's pooler of 512 values: query, projections and their biases, three norms."""
    inside = 512 + 512 * (2 * 512 + 2 * context) + 4 * 512
    return inside + 2 * (512 + context + 512) if name == "conch" else 0


def conch_keys() -> set[str]:
    """Names of the weights of CONCH's image tower: of the ViT below `trunk.`, of the pooler, of its norm."""
    pooler = {"query", "attn.q_proj_weight", "attn.k_proj_weight", "attn.v_proj_weight", "attn.in_proj_bias"}
    pooler |= {f"{layer}.{part}" for layer in ("attn.out_proj", "ln_q", "ln_k") for part in ("weight", "bias")}
    keys = {f"trunk.{key}" for key in state_keys("conch")} | {f"attn_pool_contrast.{key}" for key in pooler}
    return keys | {"ln_contrast.weight", "ln_contrast.bias"}


def published_conch(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """As the published file has it: the image tower below `visual.`, what captions and text need beside it."""
    state = {f"visual.{key}": value.clone() for key, value in network.state_dict().items()}
    others = ("text.positional_embedding", "text_decoder.ln_final.weight", "logit_scale", "visual.proj_contrast")
    others += ("visual.attn_pool_caption.query", "visual.ln_caption.weight")
    return state | {key: torch.zeros(2) for key in others}


def test_conchs_image_tower_has_the_published_weights_and_nothing_else() -> None:
    entry = TABLE["conch"]
    with torch.device("meta"):
        state = named_network(entry).network.state_dict()
    assert set(state) == conch_keys()
    assert sum(value.numel() for value in state.values()) == entry.parameters
    assert state["ln_contrast.weight"].shape == (entry.width,)


def test_conchs_query_attends_to_all_tokens_as_published() -> None:
    """Softmax of (W_q LN(q)) (W_k LN(x))^T / sqrt(d), head by head; then the output's projection and LayerNorm."""
    torch.manual_seed(0)
    tower: Any = named_network(TABLE["conch"], depth=1).network.eval()
    again: Any = named_network(TABLE["conch"], depth=1).network.eval()
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.normal_(0, 0.1)
        state = conch_state(published_conch(tower), again.state_dict()["trunk.pos_embed"].shape)
        load_weights(again, state, "conch", "conch")
        images = torch.randn(1, 3, 448, 448, generator=torch.Generator().manual_seed(1))
        tokens, pooler = tower.trunk.forward_features(images), tower.attn_pool_contrast
        x, attn = pooler.ln_k(tokens)[0], pooler.attn
        q_bias, k_bias, v_bias = attn.in_proj_bias.chunk(3)
        query = (pooler.ln_q(pooler.query) @ attn.q_proj_weight.T + q_bias).view(8, 64)
        key = (x @ attn.k_proj_weight.T + k_bias).view(-1, 8, 64)
        value = (x @ attn.v_proj_weight.T + v_bias).view(-1, 8, 64)
        weights = (torch.einsum("hd,nhd->hn", query, key) / 8).softmax(1)
        wanted = tower.ln_contrast(attn.out_proj(torch.einsum("hn,nhd->hd", weights, value).reshape(1, 512)))
        torch.testing.assert_close(again(images), wanted, atol=1e-4, rtol=1e-4)
    assert tokens.shape == (1, 28 * 28 + 1, 768)


def test_conchs_positions_of_another_image_size_are_resized_and_other_files_refused() -> None:
    network = named_network(TABLE["conch"], depth=1).network
    wanted = network.state_dict()["trunk.pos_embed"].shape
    state = published_conch(network)
    small = state | {"visual.trunk.pos_embed": torch.arange(197.0).view(1, 197, 1).expand(1, 197, 768)}
    found = conch_state(small, wanted)["trunk.pos_embed"]
    assert found.shape == wanted
    assert found[0, [0, 1, 28], 0].tolist() == pytest.approx([0, 1, 14])
    with pytest.raises(InputError, match=r"with and without `visual\.`"):
        conch_state(state | {"ln_contrast.bias": torch.zeros(512)}, wanted)
    odd = conch_state(state | {"visual.trunk.pos_embed": torch.zeros(1, 100, 768)}, wanted)
    with pytest.raises(InputError, match=r"trunk.pos_embed\) are of another shape"):
        load_weights(network, odd, "conch", "conch")
    with pytest.raises(InputError, match="these weights are of another model"):
        load_weights(network, conch_state({"trunk.norm.weight": torch.zeros(768)}, wanted), "conch", "conch")


def test_weights_of_a_dinov2_model_that_are_there_twice_are_refused() -> None:
    state = {"layernorm.weight": torch.zeros(4), "dinov2.layernorm.weight": torch.ones(4)}
    with pytest.raises(InputError, match=r"with and without `dinov2\.` before them; keep one of each"):
        dinov2_state(state, torch.Size([1, 257, 4]))


@pytest.mark.parametrize("entry", [one for one in BUILT if one.layout == "timm"], ids=lambda one: one.name)
def test_tokens_are_pooled_as_published(entry: NamedEncoder) -> None:
    """[CLS], or [CLS] and the mean of what follows it and the registers (Virchow: from 1; two with registers: 5)."""
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    network = named_network(entry, depth=1).network.eval()
    transformer: Any = getattr(network, "transformer", network)
    with torch.no_grad():
        if getattr(transformer, "reg_token", None) is not None:
            transformer.reg_token.normal_()
        tokens, found = transformer.forward_features(images), network(images)
    first = {"virchow": 1, "virchow2": 5, "h0-mini": 5}.get(entry.name)
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
        ({"model": "hipt"}, "HIPT cannot be built by its name: features of HIPT are made elsewhere"),
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


def with_encoder(**keys: Any) -> dict[str, Any]:
    return {
        "run": "t",
        "cohorts": {"c": {"slides": {"sheet": "s.tsv"}, "clinical": {"sheet": "p.tsv"}, "encoders": ["x"]}},
        "features": {"encoders": {"x": keys}},
        "methods": {"abmil": None},
    }


@pytest.mark.parametrize("name", sorted(buildable()))
def test_a_config_needs_no_image_size_of_a_named_encoder(name: str) -> None:
    entry = resolve(with_encoder(model=name, weights="hub"))["features"]["encoders"]["x"]
    assert entry["image_size"] == TABLE[name].image_size
    assert encoder_from({"name": "x", **entry}).image_size == TABLE[name].image_size


def test_another_image_size_of_a_named_encoder_is_refused_before_the_run() -> None:
    with pytest.raises(ConfigError, match=r"features\.encoders\.x\.image_size: conch sees 448 px, this is 224"):
        resolve(with_encoder(model="conch", weights="hub", image_size=224))
    own = resolve(with_encoder(model="resnet50", weights="random", image_size=64))["features"]["encoders"]["x"]
    assert own["image_size"] == 64


@pytest.mark.parametrize("name", sorted(buildable()))
def test_what_feature_files_note_of_an_encoder_serves_new_slides(name: str) -> None:
    settings = encoder_from({"name": "x", "model": name, "weights": "hub", "image_size": TABLE[name].image_size})
    noted = json.loads(json.dumps(settings.noted()))
    assert encoder_from(encoder_settings(noted, None)).noted() == settings.noted()
    assert encoder_settings(noted, None).keys() == noted.keys() - {"recipe"}


def test_new_slides_are_not_encoded_where_the_entry_has_changed() -> None:
    noted = json.loads(json.dumps(encoder_from({"name": "x", "model": "uni", "weights": "hub"}).noted()))
    noted["recipe"]["pooling"] = "avg"
    with pytest.raises(InputError, match=r"encoder x: .* another way than for training \(pooling avg, now token\)"):
        encoder_settings(noted, None)


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
