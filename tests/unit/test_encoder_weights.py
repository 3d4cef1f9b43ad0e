"""Weights of encoders: every one has its place, or is named and refused with what to set."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from mirrorflow.errors import ConfigError, InputError
from mirrorflow.slides.encoder_settings import encoder_from
from mirrorflow.slides.encoders import IMAGENET_MEAN, IMAGENET_STD, ResNetStage3, build_encoder
from mirrorflow.slides.phikon import phikon_network, phikon_state
from mirrorflow.slides.weights_fit import load_weights
from mirrorflow.store.weights import encoder_weights

RESNET = {"name": "resnet50-random", "model": "resnet50", "weights": "random", "image_size": 64}
VIT = {"name": "uni", "model": "timm/vit_tiny_patch16_224"}
LAYER_SCALE = {"options": {"init_values": 1.0e-5}, "mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)}
PICTURES = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3), np.uint8)


@pytest.fixture(scope="module")
def in_unis_form(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Weights of a vision transformer with LayerScale, and its features of PICTURES normalised as ImageNet is."""
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=0, init_values=1e-5).eval()
    for name, weight in network.named_parameters():
        if "gamma" in name:
            torch.nn.init.uniform_(weight, 0.05, 0.5)  # as after training: LayerScale matters
    path = tmp_path_factory.mktemp("weights") / "uni.safetensors"
    save_file(network.state_dict(), path)
    pixels = torch.from_numpy(PICTURES).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.inference_mode():
        return path, network((pixels - mean) / std).numpy()


def built(**settings: Any):
    spec = encoder_from(settings)
    return build_encoder(spec, encoder_weights(spec), "cpu")


def test_layer_scale_that_the_model_does_not_have_is_refused_with_the_mend(in_unis_form: tuple[Path, np.ndarray]):
    said = (
        r"encoder uni: .*0 are missing, 0 are of another shape or type, 24 \(blocks\.0\.ls1\.gamma, .* have no place.*"
        r"features\.encoders\.uni: they have LayerScale: `options: \{init_values: 1\.0e-5\}` \(and `mean`, `std`"
    )
    with pytest.raises(InputError, match=said):
        built(**VIT, weights=str(in_unis_form[0]))


def test_weights_with_options_want_their_normalisation(in_unis_form: tuple[Path, np.ndarray]):
    with pytest.raises(
        ConfigError, match=r"encoder uni: .*set `mean` and `std` .*ImageNet's are \[0\.485, 0\.456, 0\.406\]"
    ):
        built(**VIT, weights=str(in_unis_form[0]), options={"init_values": 1e-5})


def test_weights_in_unis_form_give_their_features(in_unis_form: tuple[Path, np.ndarray]):
    path, wanted = in_unis_form
    encoder = built(**VIT, weights=str(path), **LAYER_SCALE)
    assert (encoder.mean, encoder.std) == (IMAGENET_MEAN, IMAGENET_STD)
    np.testing.assert_allclose(encoder(PICTURES), wanted, rtol=1e-4, atol=1e-4)


def test_pooling_and_image_size_are_options_too(in_unis_form: tuple[Path, np.ndarray]):
    path, wanted = in_unis_form
    averaged = LAYER_SCALE | {"options": {"init_values": 1e-5, "fc_norm": False}, "pooling": "avg"}
    mean_of_tokens = built(**VIT, weights=str(path), **averaged)
    assert np.abs(mean_of_tokens(PICTURES) - wanted).max() > 0.1
    with pytest.raises(InputError, match=r"fc_norm.* are missing.*`pooling`, or `options: \{fc_norm: true or false\}`"):
        built(**VIT, weights=str(path), **LAYER_SCALE, pooling="avg")
    with pytest.raises(ConfigError, match=r"sees 224 px, image_size is 112; set 224, or `options: \{img_size: 112\}`"):
        built(**VIT, weights=str(path), **LAYER_SCALE, image_size=112)
    dynamic = LAYER_SCALE["options"] | {"dynamic_img_size": True}
    assert built(**VIT, weights=str(path), **LAYER_SCALE | {"options": dynamic}, image_size=112).image_size == 112
    smaller = LAYER_SCALE["options"] | {"img_size": 112}
    with pytest.raises(InputError, match=r"1 \(pos_embed\) are of another shape.*of another image size"):
        built(**VIT, weights=str(path), **LAYER_SCALE | {"options": smaller}, image_size=112)


def test_a_local_file_without_options_is_normalised_as_timms_own_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    state = timm.create_model("vit_tiny_patch16_224", num_classes=7).state_dict()  # with a head, which is spare
    save_file(state, tmp_path / "w.safetensors")
    assert built(**VIT, weights=str(tmp_path / "w.safetensors")).mean == (0.5, 0.5, 0.5)
    assert "encoder uni: images are normalised with mean [0.5, 0.5, 0.5]" in caplog.text


@pytest.mark.parametrize(
    ("strange", "refused"), [("layer4.0.conv1.weight", False), ("fc.bias", False), ("ema.w", True)]
)
def test_spare_weights_are_those_on_the_list(strange: str, refused: bool):  # noqa: FBT001
    state = ResNetStage3().state_dict() | {strange: torch.zeros(2)}
    if not refused:
        load_weights(ResNetStage3(), state, "r", "resnet50")
        return
    with pytest.raises(InputError, match=rf"1 \({strange}\) have no place.*encoders\.r\.model says resnet50"):
        load_weights(ResNetStage3(), state, "r", "resnet50")


def test_quantised_weights_are_no_weights():
    state = ResNetStage3().state_dict()
    state["conv1.weight"] = state["conv1.weight"].to(torch.int8)
    with pytest.raises(InputError, match=r"1 \(conv1\.weight\) are of another shape or type"):
        load_weights(ResNetStage3(), state, "r", "resnet50")


def hugging_face(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """timm's names as Hugging Face's ViTModel has them."""
    names = {
        "cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection", "blocks": "encoder.layer",
        "norm1": "layernorm_before", "norm2": "layernorm_after", "attn.proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense",
    }  # fmt: skip
    theirs = {}
    for key, value in state.items():
        renamed = key if "." in key and not key.startswith("norm.") else key.replace("norm.", "layernorm.")
        for ours, other in names.items():
            renamed = renamed.replace(ours, other)
        parts = zip(("query", "key", "value"), value.chunk(3), strict=True) if "attn.qkv" in key else [("", value)]
        theirs |= {renamed.replace("attn.qkv", f"attention.attention.{name}"): part.clone() for name, part in parts}
    return theirs


def test_phikons_checkpoint_is_read_whole():
    ours = phikon_network(width=12, depth=2, heads=2)
    theirs = hugging_face(ours.state_dict())
    theirs |= {"pooler.dense.weight": torch.zeros(12, 12), "embeddings.mask_token": torch.zeros(1, 1, 12)}
    mapped = phikon_state({f"vit.{key}": value for key, value in theirs.items()})
    read = phikon_network(width=12, depth=2, heads=2)
    load_weights(read, mapped, "p", "phikon")
    for key, value in ours.state_dict().items():
        assert torch.equal(read.state_dict()[key], value), key


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"encoder.layer.0.layer_scale1.lambda1": torch.zeros(12)},
            r"1 \(encoder\.layer\.0\.layer_scale1\.lambda1\) have no",
        ),
        ({"encoder.layer.0.attention.attention.key.bias": None}, r"1 \(blocks\.0\.attn\.qkv\.bias\) are missing"),
    ],
)
def test_what_phikon_does_not_have_is_refused(changed: dict[str, Any], message: str):
    network = phikon_network(width=12, depth=2, heads=2)
    state = hugging_face(network.state_dict()) | changed
    state = {key: value for key, value in state.items() if value is not None}
    with pytest.raises(InputError, match=message):
        load_weights(network, phikon_state(state), "p", "phikon")


def test_weights_of_timms_hub_are_loaded_strictly(monkeypatch: pytest.MonkeyPatch):
    plain = timm.create_model("vit_tiny_patch16_224", num_classes=21843).state_dict()
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *_, **__: dict(plain))
    tag = {"name": "v", "model": "timm/vit_tiny_patch16_224.augreg_in21k", "weights": "hub"}
    state = encoder_weights(encoder_from(tag))
    assert state is not None
    assert set(state) == {key for key in plain if not key.startswith("head.")}
    with pytest.raises(InputError, match=r"weights of timm's hub .* are of another model .*ls1\.gamma.*`options`"):
        encoder_weights(encoder_from(tag | {"options": {"init_values": 1e-5}}))


def test_new_settings_are_noted_and_old_notes_stay(tmp_path: Path):
    assert encoder_from({"name": "p", "model": "phikon", "weights": "hub"}).noted() == {
        "name": "p", "model": "phikon", "weights": "hub", "precision": "float32", "image_size": 224,
        "output_dtype": "float32",
    }  # fmt: skip
    (tmp_path / "w.pth").write_bytes(b"abc")
    noted = encoder_from(VIT | LAYER_SCALE | {"weights": str(tmp_path / "w.pth"), "pooling": "token"}).noted()
    assert noted["options"] == {"init_values": 1e-5}
    assert (noted["pooling"], noted["mean"], noted["std"]) == ("token", IMAGENET_MEAN, IMAGENET_STD)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (RESNET | {"options": {"init_values": 1}}, "resnet50 is as it is; options and pooling are for timm/<name>"),
        (RESNET | {"mean": [0.5, 0.5, 0.5]}, "set mean and std together"),
        (
            RESNET | {"mean": [124, 116, 104], "std": [58, 57, 57]},
            r"mean is \[124, 116, 104\]; it must be from 0 to 1",
        ),
        (VIT | {"weights": "random", "options": {"init_valuse": 1}}, r"cannot be built with options .*init_valuse"),
        (
            VIT | {"weights": "random", "options": {"mlp_layer": "Swiglu"}},
            "neither timm.layers nor torch.nn has a layer",
        ),
        (VIT | {"weights": "random", "options": {"in_chans": 4}}, "in_chans cannot be set here"),
    ],
)
def test_bad_options(settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        build_encoder(encoder_from(settings), None, "cpu")


def test_layers_are_named():
    encoder = built(
        **VIT, weights="random", options={"mlp_layer": "SwiGLUPacked", "act_layer": "SiLU", "reg_tokens": 4}
    )
    assert encoder.dim == 192
