"""Encoders: settings, weights, and what a network makes of an image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mirrorflow.errors import ConfigError, InputError
from mirrorflow.slides.encoder_settings import EncoderSettings, encoder_from
from mirrorflow.slides.encoders import IMAGENET_MEAN, IMAGENET_STD, ResNetStage3, build_encoder, fold_batch_norms
from mirrorflow.slides.weights_fit import load_weights
from mirrorflow.store.weights import encoder_weights, read_weights

RANDOM = {"name": "resnet50-random", "model": "resnet50", "weights": "random", "image_size": 64}
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)


def build(**changes: Any):
    settings = encoder_from(RANDOM | changes)
    return build_encoder(settings, encoder_weights(settings), "cpu")


def test_resnet_stage_3_gives_1024_values():
    encoder = build()
    assert encoder.dim == 1024
    features = encoder(IMAGES)
    assert features.shape == (3, 1024)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_folding_batch_norms_changes_nothing():
    network = ResNetStage3().eval()
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean = torch.rand(module.num_features, generator=generator)
            module.running_var = torch.rand(module.num_features, generator=generator) + 0.5
    images = torch.rand(2, 3, 64, 64, generator=generator)
    with torch.inference_mode():
        before = network(images)
        after = fold_batch_norms(network)(images)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)


def test_random_weights_follow_their_seed_alone():
    state = torch.random.get_rng_state()
    first, again, other = build(), build(), build(seed=1)
    assert first.weights_digest == again.weights_digest
    assert first.weights_digest != other.weights_digest
    assert torch.equal(torch.random.get_rng_state(), state)


def test_normalisation():
    encoder = build()
    pixels = encoder.normalise(np.full((1, 64, 64, 3), 51, np.uint8))
    expected = [(0.2 - mean) / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    assert pixels.shape == (1, 3, 64, 64)
    assert pixels[0, :, 5, 5].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("precision", "least"), [("bfloat16", 0.98), ("float16", 0.999)])
def test_half_precision_tells_patches_apart_as_float32_does(precision: str, least: float):
    whole, half = build()(IMAGES), build(precision=precision)(IMAGES)
    whole, half = whole - whole.mean(0), half - half.mean(0)
    cosine = (whole * half).sum(1) / np.linalg.norm(whole, axis=1) / np.linalg.norm(half, axis=1)
    assert cosine.min() > least


def test_weights_from_a_file(tmp_path: Path):
    source = ResNetStage3()
    state = {key: value for key, value in source.state_dict().items() if "num_batches" not in key}
    state["fc.weight"] = torch.zeros(2, 2)  # more than needed is fine
    save_file(state, tmp_path / "a.safetensors")
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / "a.pth")
    encoders = [build(name="r", weights=str(tmp_path / name)) for name in ("a.safetensors", "a.pth")]
    expected = fold_batch_norms(source.eval())
    pixels = encoders[0].normalise(IMAGES)
    with torch.inference_mode():
        wanted = expected(pixels).numpy()
    for encoder in encoders:
        np.testing.assert_allclose(encoder(IMAGES), wanted, rtol=1e-4, atol=1e-5)
    assert encoders[0].weights_digest == encoders[1].weights_digest


def test_weights_of_another_model_are_refused():
    with pytest.raises(InputError, match=r"encoder r: these weights are of another model: 214 \(conv1.* are missing"):
        load_weights(ResNetStage3(), {"bn1.weight": torch.zeros(64)}, "r", "resnet50")


def test_missing_and_damaged_weights(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"encoder r: no weights file .*gone\.pth; put it there"):
        encoder_from(RANDOM | {"name": "r", "weights": str(tmp_path / "gone.pth")}).noted()
    for name in ("a.pth", "a.safetensors"):
        (tmp_path / name).write_bytes(b"not weights at all")
        with pytest.raises(InputError, match="weights"):
            read_weights(tmp_path / name)


def test_a_hub_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch):
    from torchvision.models import ResNet50_Weights

    def refuse(*_: object, **__: object) -> None:
        message = "no route to host"
        raise OSError(message)

    monkeypatch.setattr(ResNet50_Weights, "get_state_dict", refuse)
    monkeypatch.setattr("mirrorflow.store.weights.silence_of", lambda _url: "")  # it answers, and then does not
    with pytest.raises(InputError, match=r"resnet50-11ad3fa6\.pth .*no route to host.*set weights to the file's path"):
        encoder_weights(encoder_from({"name": "r", "model": "resnet50", "weights": "hub"}))


def test_any_timm_model():
    encoder = build(name="t", model="timm/resnet10t", image_size=None)
    assert (encoder.image_size, encoder.dim) == (176, 512)
    assert encoder(np.zeros((2, 176, 176, 3), np.uint8)).shape == (2, 512)
    vit = build(name="t", model="timm/vit_tiny_patch16_224", image_size=None)
    assert (vit.dim, vit.mean, vit.std) == (192, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # its own, not ImageNet's
    with pytest.raises(ConfigError, match="timm knows no model 'nonsense'"):
        build(name="t", model="timm/nonsense")
    with pytest.raises(ConfigError, match="sees 224 px, image_size is 64"):
        build(name="t", model="timm/vit_tiny_patch16_224")


def test_what_a_feature_file_is_compared_with(tmp_path: Path):
    (tmp_path / "w.pth").write_bytes(b"abc")
    noted = encoder_from(RANDOM | {"weights": str(tmp_path / "w.pth"), "patching": "256px-20x"}).noted()
    assert noted["weights"].startswith("sha256:ba7816bf8f01cfea")
    assert not {"seed", "weights_set", "patching"} & noted.keys()
    assert encoder_from(RANDOM).noted()["seed"] == 0
    hub = encoder_from({"name": "r", "model": "resnet50", "weights": "hub", "weights_set": "V1"})
    assert hub.noted()["weights_set"] == "IMAGENET1K_V1"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (RANDOM | {"modle": 1}, "unknown modle"),
        (RANDOM | {"model": "resnet18"}, "resnet50, phikon, timm/<name>"),
        (RANDOM | {"precision": "int8"}, "float32, tf32, bfloat16, float16"),
        ({"name": "r", "model": "resnet50"}, "weights is missing"),
        (RANDOM | {"model": "phikon"}, "phikon sees 224 px, image_size is 64"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        build_encoder(encoder_from(settings), None, "cpu")


def test_defaults():
    assert encoder_from({"name": "p", "model": "phikon", "weights": "hub"}) == EncoderSettings("p", "phikon", "hub")
