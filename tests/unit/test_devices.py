"""The device and its arithmetic: chosen openly, refused with what to set."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from mirrorflow.errors import ConfigError, MirrorflowError
from mirrorflow.learners.pretrained import pretrain
from mirrorflow.models.families import build_network as build_paired
from mirrorflow.models.mirror import MirrorSettings
from mirrorflow.runtime import gpus
from mirrorflow.runtime.tf32 import set_tf32
from mirrorflow.training import devices
from mirrorflow.training.devices import arithmetic_of, check_enough, choose_device, is_out_of_memory, unusable
from mirrorflow.training.pretraining import Layout, PairedData
from mirrorflow.training.settings import PretrainSettings
from planted import GENES, PATCH_DIM, TOKENS, planted

GPU = torch.device("cuda")


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch):
    """Nothing is remembered between tests, and both switches are put back."""
    for found in (devices._auto_device, devices._checked):
        found.cache_clear()
    switches = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = switches
    for found in (devices._auto_device, devices._checked):
        found.cache_clear()


def test_a_gpu_that_torch_cannot_use_stops_the_job_naming_driver_and_wheel(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv(gpus.VISIBLE, "3")
    monkeypatch.setattr(devices, "driver_version", lambda: "NVIDIA UNIX x86_64 Kernel Module 535.1")

    def start() -> None:
        message = "The NVIDIA driver on your system is too old (found version 12020)."
        raise RuntimeError(message)

    monkeypatch.setattr(torch.cuda, "init", start)
    with pytest.raises(MirrorflowError) as caught:
        choose_device("auto")
    said = str(caught.value)
    for part in ("CUDA_VISIBLE_DEVICES is 3", "535.1", torch.__version__, "too old", "update the driver", "to nothing"):
        assert part in said


def test_without_a_gpu_or_with_none_to_be_used_it_is_the_cpu_and_the_log_says_so(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv(gpus.VISIBLE, "")
    with caplog.at_level("INFO", "mirrorflow"):
        assert [choose_device("auto").type for _ in range(2)] == ["cpu", "cpu"]
    assert caplog.text.count("device: CPU") == 1


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("CUDA-capable device(s) is/are busy or unavailable", "exclusive mode.*nvidia-smi -c DEFAULT"),
        ("Found no NVIDIA driver on your system.", "--nv"),
        ("CUDA error: no kernel image is available for execution on the device", "GPU's generation"),
        ("CUDA error: invalid device ordinal", r"compute\.devices"),
        ("Torch not compiled with CUDA enabled", "built for CUDA"),
    ],
)
def test_each_way_in_which_a_gpu_fails_has_its_fix(monkeypatch, said, fix):
    def fail(*_, **__) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(torch, "ones", fail)
    with pytest.raises(MirrorflowError, match=fix):
        choose_device("cuda:1")
    assert said in unusable("x", said)


def pretend(monkeypatch, *, bfloat16: bool, capability: tuple[int, int], count: int = 1) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_a_gpu_without_the_units_is_refused_with_what_to_set(monkeypatch):
    pretend(monkeypatch, bfloat16=False, capability=(7, 5))
    with pytest.raises(ConfigError, match="precision: bfloat16, but Tesla T4 has no bfloat16; set float16 or float32"):
        arithmetic_of("bfloat16", GPU, 768)
    with pytest.raises(ConfigError, match="Tesla T4 has no tf32; set float32"):
        arithmetic_of("tf32", GPU, 768)
    assert arithmetic_of("auto", GPU, 768).dtype is None
    assert arithmetic_of("float16", GPU, 768).dtype == torch.float16


def test_fewer_gpus_than_devices_are_refused(monkeypatch):
    pretend(monkeypatch, bfloat16=True, capability=(9, 0), count=2)
    monkeypatch.setattr(devices, "kind_of", lambda _: "cuda")
    check_enough(2, "auto")
    with pytest.raises(ConfigError, match=r"compute\.devices is 4, this job sees 2 GPU\(s\).*--resources gpu=4"):
        check_enough(4, "auto")


@pytest.mark.parametrize(
    ("precision", "expected"),
    [("float32", (None, False)), ("tf32", (None, True)), ("bfloat16", (torch.bfloat16, False)),
     ("float16", (torch.float16, False)), ("auto", (torch.bfloat16, False))],
)  # fmt: skip
def test_both_tf32_switches_follow_the_precision(monkeypatch, precision, expected):
    pretend(monkeypatch, bfloat16=True, capability=(9, 0))
    arithmetic = arithmetic_of(precision, GPU, 768)
    assert (arithmetic.dtype, arithmetic.tf32) == expected
    for before in (True, False):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = before
        devices.Arithmetic(torch.device("cpu"), None, arithmetic.tf32).autocast()
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (expected[1],) * 2


def test_predictions_of_a_network_trained_in_tf32_are_float32():
    from mirrorflow.models.supervised import Sizes, build_network
    from mirrorflow.training.supervised import Units, predict_units

    bags, genes = planted(3)
    network = build_network("abmil", Sizes(bags[0].shape[1], 0, 2), {}, 0)
    set_tf32(on=True)
    predict_units(network, Units(bags, genes[:, :0]), device="cpu")
    assert not torch.backends.cudnn.allow_tf32


def test_an_encoder_says_which_switches_it_wants():
    from mirrorflow.slides.encoder_settings import encoder_from
    from mirrorflow.slides.encoders import build_encoder

    images = np.zeros((1, 32, 32, 3), np.uint8)
    for precision, on in (("tf32", True), ("float32", False)):
        asked = {"name": "r", "model": "resnet50", "weights": "random", "image_size": 32, "precision": precision}
        spec = encoder_from(asked)
        assert spec.noted()["precision"] == precision
        build_encoder(spec, None, "cpu")(images)
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (on, on)


def network_of():
    shape = {"width": 48, "tokens": TOKENS, "prototypes": 30, "style_widths": (24, 16, 8), "dropout": 0.0}
    return build_paired("mirror", MirrorSettings(PATCH_DIM, GENES, **shape), 0)


def test_float16_trains_with_a_scaled_loss_and_goes_on_where_it_stopped():
    bags, genes = planted(6)
    data, kept = PairedData(bags, genes), []
    settings = PretrainSettings(epochs=4, batch_size=6, learning_rate=1e-3, tokens=TOKENS, precision="float16", seed=1)

    def keep(state, _row) -> None:
        if state.epoch == 2:
            kept.append(deepcopy(state))

    whole = pretrain(network_of(), data, settings, layout=Layout("cpu"), on_epoch=keep)
    assert kept[0].optimizer["loss_scale"]["scale"] > 1
    again = pretrain(network_of(), data, settings, layout=Layout("cpu"), resume_from=kept[0])
    assert [row["total"] for row in again] == [row["total"] for row in whole]
    assert kept[0].optimizer["loss_scale"]["scale"] == 2**15, "the first scaled gradient is too large: no step"
    plain = pretrain(network_of(), data, replace(settings, precision="float32"), layout=Layout("cpu"))
    behind = [whole[0], *whole[2:]]
    assert [row["total"] for row in behind] == pytest.approx([row["total"] for row in plain[:-1]], rel=0.05)


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_a_full_memory_is_known_whoever_says_so(error, full):
    assert is_out_of_memory(error) is full
