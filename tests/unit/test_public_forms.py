"""TANGLE, ILRA-MIL, PORPOISE, SurvPath: layers of their public code by hand, and those of before 1.0 to the digit."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mirrorflow.config.methods import METHODS
from mirrorflow.config.resolve import resolve
from mirrorflow.errors import ConfigError
from mirrorflow.learners.pretrained import pretrain, split_settings
from mirrorflow.models.families import build_network as build_pair
from mirrorflow.models.ilra_mil import CrossAttention, Shape
from mirrorflow.models.porpoise import GatedFusion
from mirrorflow.models.seam import TargetTensors
from mirrorflow.models.supervised import Sizes, SupervisedNetwork, build_network
from mirrorflow.models.survpath import SparseAttention
from mirrorflow.models.tangle import GatedAttentionPool, Tangle, TangleSettings
from mirrorflow.probes.objective import CrossEntropy
from mirrorflow.training.bags import draw_rows
from mirrorflow.training.pretraining import Layout, PairedData
from mirrorflow.training.settings import SupervisedSettings
from mirrorflow.training.supervised import LabelledUnits, Units, predict_units, train_supervised
from planted import planted
from small_config import minimal

BEFORE = json.loads((Path(__file__).parent / "before_1_0.json").read_text())
"""Predictions of each method before its public form came, at these seeds: fresh, and after three epochs."""
SMALL = {"width": 32, "attention_width": 8, "heads": 4, "layers": 2, "latents": 4, "fusion_width": 4}
PATHWAYS = tuple(tuple(range(start, 30, 3)) for start in range(3))


def settings_of(name: str, **entry: Any) -> dict[str, Any]:
    method = METHODS[name]
    network = {key: value for key, value in SMALL.items() if key in method.settings["network"]}
    return method.resolved(name, {"network": network | entry.pop("network", {}), **entry})["network"]


def network_of(name: str, genes: int = 30, **entry: Any) -> SupervisedNetwork:
    sizes = Sizes(8, genes if "rna" in METHODS[name].inputs else 0, 2, PATHWAYS if name == "survpath" else ())
    return build_network(name, sizes, settings_of(name, **entry), seed=5)


def same_as_before(found: Tensor, name: str, stage: str) -> None:
    np.testing.assert_allclose(found.numpy(), np.array(BEFORE[name][stage]), rtol=0, atol=2e-6)


# Before 1.0.


@pytest.mark.parametrize("name", ["ilra-mil", "porpoise", "survpath"])
def test_the_preset_predicts_what_was_predicted_before_1_0(name):
    bags, genes = planted(8)
    network = network_of(name, preset="before-1.0")
    units = Units(bags, genes if "rna" in METHODS[name].inputs else genes[:, :0])
    same_as_before(predict_units(network, units, device="cpu"), name, "start")
    settings = SupervisedSettings(
        epochs=3, batch_size=4, tokens=6, learning_rate=1e-3, min_steps=0, precision="float32", seed=3
    )
    labelled = LabelledUnits(units, TargetTensors(classes=torch.arange(8) % 2), CrossEntropy(2, 0.0))
    train_supervised(network, labelled, settings, device="cpu")
    same_as_before(predict_units(network, units, device="cpu"), name, "trained")


def tangle_settings(entry: dict[str, Any], **section: Any) -> dict[str, Any]:
    config = resolve(minimal(methods={"tangle": entry}, pretrain={"width": 12, "tokens": 6, **section}))
    return config["methods"]["tangle"]["pretrain"]


def test_the_preset_pretrains_tangle_as_before_1_0():
    bags, genes = planted(8)
    asked = tangle_settings({"preset": "before-1.0"}, epochs=3, batch_size=4, learning_rate=1e-3)
    shape, training = split_settings(asked, "tangle", patch_dim=8, gene_count=30, seed=3)
    network = build_pair("tangle", shape, 5)

    def compare(stage: str) -> None:
        patches = torch.stack([torch.from_numpy(bags[i][:4]) for i in range(8)])
        with torch.inference_mode():
            found = network.eval().encode(patches, torch.from_numpy(genes))
        same_as_before(torch.stack(found), "tangle", stage)

    compare("start")
    pretrain(network, PairedData(bags, genes), training, layout=Layout("cpu"))
    compare("trained")


@pytest.mark.parametrize("name", ["ilra-mil", "porpoise", "survpath"])
def test_the_public_form_is_the_default_and_another_one_is_refused(name):
    assert settings_of(name)["form"] == "public"
    assert settings_of(name, preset="before-1.0")["form"] == "before-1.0"
    with pytest.raises(ConfigError, match=r"form is 'after-1\.0'; allowed: public, before-1\.0"):
        network_of(name, network={"form": "after-1.0"})


# TANGLE.


def test_tangle_has_as_many_parameters_as_its_public_code():
    def count(**changes: Any) -> int:
        with torch.device("meta"):
            network = Tangle(TangleSettings(patch_dim=768, gene_count=10_234, **changes))
        return sum(parameter.numel() for parameter in network.parameters())

    assert count() == 11_410_945
    assert count(rna_norm=False) == 11_407_873


def test_tangles_layers_over_the_genes_are_linear_norm_relu_dropout():
    network = build_pair("tangle", TangleSettings(patch_dim=8, gene_count=5, width=4), 0)
    kinds = [type(layer).__name__ for layer in network.rna_encoder]
    assert kinds == [*["Linear", "LayerNorm", "ReLU", "Dropout"] * 2, "Linear"]
    assert [layer.p for layer in network.rna_encoder if isinstance(layer, nn.Dropout)] == [0.2, 0.2]
    assert [layer.p for layer in network.embed if isinstance(layer, nn.Dropout)] == [0.1, 0.1]
    assert network.pool.dropout.p == 0.25


def test_tangles_attention_drops_out_behind_tanh_and_sigmoid():
    torch.manual_seed(0)
    pool = GatedAttentionPool(64, 0.25).train()
    seen: list[Tensor] = []
    pool.score.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    tokens = torch.randn(8, 30, 64)
    pool(tokens)
    kept = seen[0] != 0
    assert float(kept.float().mean()) == pytest.approx(0.75**2, abs=0.02)
    whole = pool.content(tokens).tanh() * pool.gate(tokens).sigmoid()
    torch.testing.assert_close(seen[0][kept], whole[kept] / 0.75**2)


PUBLIC_TANGLE = {
    "batch_size": 64,
    "learning_rate": 1e-4,
    "weight_decay": 0.01,
    "schedule": "cosine",
    "warmup_epochs": 5,
    "epochs": 100,
    "replacement": True,
    "kept_epoch": "smooth_rank",
    "drop_last": False,
    "tokens": 2048,
    "dropout": 0.1,
    "rna_dropout": 0.2,
    "attention_dropout": 0.25,
    "temperature": 0.01,
}


def test_tangle_is_trained_as_its_public_code_does_and_mirror_is_not():
    config = resolve(minimal(methods={"tangle": {}, "mirror": {}}))
    assert config["methods"]["tangle"]["pretrain"].items() >= PUBLIC_TANGLE.items()
    assert config["methods"]["mirror"]["pretrain"].items() >= {"batch_size": 16, "learning_rate": 2e-5}.items()
    assert config["methods"]["mirror"]["pretrain"].items() >= {"replacement": False, "kept_epoch": "protocol"}.items()
    split_settings(config["methods"]["tangle"]["pretrain"], "tangle", patch_dim=8, gene_count=5, seed=0)


def test_what_the_section_names_stands_over_tangles_own_and_under_its_entry():
    section = {"batch_size": 8, "weight_decay": 0, "rna_dropout": 0.3}
    found = tangle_settings({"pretrain": {"batch_size": 4}}, **section)
    assert (found["batch_size"], found["weight_decay"], found["rna_dropout"]) == (4, 0, 0.3)
    assert found["learning_rate"] == 1e-4
    found = tangle_settings({"preset": "before-1.0"}, batch_size=8)
    assert (found["batch_size"], found["learning_rate"], found["rna_dropout"]) == (8, 2e-5, None)


def test_patches_are_drawn_with_replacement_where_asked():
    rng = np.random.default_rng(0)
    assert len(set(draw_rows(2000, 2000, rng, replace=True))) == pytest.approx(2000 * (1 - math.exp(-1)), rel=0.05)
    assert len(set(draw_rows(2000, 2000, rng))) == 2000


# ILRA-MIL.


def linear(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    return x @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()


def norm(x: np.ndarray, eps: float = 1e-5) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_ilras_attention_projects_twice():
    torch.manual_seed(0)
    block = CrossAttention(3, 5, Shape(4, 2, 0.0, twice=True), gated=True).double().eval()
    with torch.no_grad():
        block.second.in_proj_bias.normal_()
    queries, tokens = torch.randn(2, 3, dtype=torch.float64), torch.randn(6, 5, dtype=torch.float64)
    asked, k, v = linear(block.to_q, queries.numpy()), *(linear(p, tokens.numpy()) for p in (block.to_k, block.to_v))
    weights, biases = (
        np.split(part.detach().numpy(), 3) for part in (block.second.in_proj_weight, block.second.in_proj_bias)
    )
    q2, k2, v2 = (x @ w.T + b for x, w, b in zip((asked, k, v), weights, biases, strict=True))
    heads = [softmax(q2[:, rows] @ k2[:, rows].T / 2**0.5) @ v2[:, rows] for rows in (slice(0, 2), slice(2, 4))]
    out = norm(asked + linear(block.second.out_proj, np.concatenate(heads, 1)))
    out = norm(out + np.maximum(linear(block.feed[0], out), 0))
    gate = linear(block.gate, queries.numpy())
    expected = out * gate * sigmoid(gate)
    mask = torch.ones(1, 6, dtype=torch.bool)
    np.testing.assert_allclose(block(queries[None], tokens[None], mask)[0].detach().numpy(), expected, rtol=1e-10)


def test_ilra_has_no_patch_embedding_no_dropout_and_rank_one():
    network = network_of("ilra-mil", network={"latents": METHODS["ilra-mil"].settings["network"]["latents"]})
    assert network.embed is None
    assert [block.latents.shape[1] for block in network.blocks] == [1, 1]
    assert network.blocks[0].gather.to_k.in_features == network.blocks[0].spread.gate.in_features == 8
    assert {layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)} == {0.0}
    assert settings_of("ilra-mil", preset="before-1.0", network={})["dropout"] == 0.25


# PORPOISE.


def test_porpoises_fusion_by_hand():
    torch.manual_seed(0)
    fusion = GatedFusion(4, 2, 0.5).double().eval()
    slide, rna = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    both = np.concatenate([slide.numpy(), rna.numpy()], 1)
    parts = []
    for content, gate, out, vector in zip(fusion.contents, fusion.gates, fusion.outs, (slide, rna), strict=True):
        gated = sigmoid(linear(gate, both)) * np.maximum(linear(content[0], vector.numpy()), 0)
        parts.append(np.concatenate([np.maximum(linear(out[0], gated), 0), np.ones((3, 1))], 1))
    product = np.einsum("bi,bj->bij", *parts).reshape(3, 9)
    joined = np.maximum(linear(fusion.joined[1], product), 0)
    expected = np.maximum(linear(fusion.last[0], np.concatenate([joined, both], 1)), 0)
    np.testing.assert_allclose(fusion(slide, rna).detach().numpy(), expected, rtol=1e-10)
    assert [type(layer).__name__ for layer in fusion.joined] == ["Dropout", "Linear", "ReLU"]
    assert len(fusion.last) == 2


def test_porpoises_patches_are_512_wide_and_narrowed_after_pooling():
    network = network_of("porpoise", network={"width": 256, "attention_width": 256, "fusion_width": 32})
    assert network.embed[0].out_features == network.pool.content[0].in_features == 512
    assert (network.narrow[0].in_features, network.narrow[0].out_features) == (512, 256)
    assert [gate.out_features for gate in network.fuse.gates] == [32, 32]
    assert network.l1 == 1e-5


# SurvPath.


def test_survpaths_attention_is_half_as_wide_and_neither_projected_nor_residual():
    torch.manual_seed(0)
    attend = SparseAttention(4, 2).double()
    pathways, patches = torch.randn(1, 3, 4, dtype=torch.float64), torch.randn(1, 5, 4, dtype=torch.float64)
    tokens = norm(np.concatenate([pathways[0], patches[0]]))
    q, k, v = np.split(tokens @ attend.to_qkv.weight.detach().numpy().T, 3, axis=1)
    mask = torch.ones(1, 5, dtype=torch.bool)
    to_pathways, to_patches = (part[0].detach().numpy() for part in attend(pathways, patches, mask))
    np.testing.assert_allclose(to_pathways, softmax(q[:3] @ k.T / 2**0.5) @ v, rtol=1e-10)
    np.testing.assert_allclose(to_patches, softmax(q[3:] @ k[:3].T / 2**0.5) @ v[:3], rtol=1e-10)


def test_survpaths_layers_are_those_of_its_public_code():
    network = network_of("survpath", network={"width": 256})
    assert isinstance(network.embed, nn.Linear)
    assert network.attend.to_qkv.weight.shape == (3 * 128, 256)
    assert [tuple(layer.weight.shape) for layer in network.feed if isinstance(layer, nn.Linear)] == [(128, 128)] * 2
    assert [layer.p for layer in network.feed if isinstance(layer, nn.Dropout)] == [0.1]
    assert network.norm.normalized_shape == (128,)
    assert [tuple(network.head[i].weight.shape) for i in (0, 2)] == [(64, 256), (2, 64)]


# How they start.


def spread(weight: Tensor) -> float:
    return float(weight.detach().std())


def xavier_normal(layer: nn.Linear) -> float:
    return math.sqrt(2 / (layer.in_features + layer.out_features))


def torchs_own(layer: nn.Linear) -> float:
    return 1 / math.sqrt(3 * layer.in_features)


WIDE = Sizes(1024, 900, 2, (tuple(range(900)), tuple(range(100))))


@pytest.mark.parametrize(
    ("name", "expected"), [("ilra-mil", xavier_normal), ("porpoise", torchs_own), ("survpath", torchs_own)]
)
def test_linear_layers_start_as_in_the_public_code(name: str, expected: Callable[[nn.Linear], float]):
    network = build_network(name, WIDE, METHODS[name].settings["network"], seed=0)
    layers = {key: one for key, one in network.named_modules() if isinstance(one, nn.Linear)}
    for key, layer in layers.items():
        if layer.weight.numel() > 20_000:  # of fewer a sample's deviation says less than 2 %
            assert spread(layer.weight) == pytest.approx(expected(layer), rel=0.02), key
    assert len(layers) > 3


def test_pathways_start_each_as_a_linear_layer_of_its_own_size():
    tokens = build_network("survpath", WIDE, METHODS["survpath"].settings["network"], seed=0).pathways
    assert spread(tokens.first[0]) == pytest.approx(1 / math.sqrt(3 * 900), rel=0.02)
    assert spread(tokens.first[1, :100]) == pytest.approx(1 / math.sqrt(3 * 100), rel=0.02)
    assert not tokens.first[1, 100:].any()
    assert spread(tokens.second) == pytest.approx(1 / math.sqrt(3 * 256), rel=0.02)
    assert float(tokens.first_bias[1].detach().abs().max()) == pytest.approx(0.1, rel=0.05)
    assert float(tokens.second_bias.detach().abs().max()) == pytest.approx(1 / 16, rel=0.05)
