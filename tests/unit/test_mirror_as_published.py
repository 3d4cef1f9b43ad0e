"""MIRROR's layers, start and steps against the facts of its public code: values by hand, statistics, bounds."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mirrorflow.config.resolve import resolve
from mirrorflow.config.resources import read_yaml
from mirrorflow.config.training_settings import PretrainSettings
from mirrorflow.learners.pretrained import pretrain
from mirrorflow.models.mirror import Alignment, MirrorSettings, build_mirror
from mirrorflow.models.retention import RnaRetention, SlideRetention
from mirrorflow.models.rna import RnaBlock, RnaEncoder
from mirrorflow.models.style import StyleEncoder
from mirrorflow.models.transmil import SlideEncoder
from mirrorflow.tables.published import PRETRAINING, PROBE, PROTOCOL
from mirrorflow.training.best_epoch import ValidationUnits
from mirrorflow.training.compute import ComputeSettings
from mirrorflow.training.pretraining import Layout, PairedData
from mirrorflow.training.smooth_rank import smooth_rank
from planted import planted

WIDTH = 768
TINY = MirrorSettings(
    patch_dim=8, gene_count=30, width=48, tokens=10, prototypes=20, style_widths=(16, 12, 8), attention="exact"
)
CPU = Layout("cpu")


def gelu(x: float) -> float:
    return x * 0.5 * (1 + math.erf(x / 2**0.5))


# Layers, by hand.


def test_nothing_follows_the_style_encoders_second_layer():
    encoder = StyleEncoder(2, (2, 2, 2), stochastic=True).eval()
    with torch.no_grad():
        for layer in (encoder.mlp[0], encoder.mean, encoder.log_variance, encoder.expand):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
        encoder.mlp[-1].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, -2.0]]))
        encoder.mlp[-1].bias.copy_(torch.tensor([-3.0, 0.5]))
    style = encoder(torch.tensor([[1.0, -0.5]]))
    expected = torch.tensor([[gelu(1.0) - 3.0, -2 * gelu(-0.5) + 0.5]])
    torch.testing.assert_close(style.mean, expected)
    torch.testing.assert_close(style.log_variance, expected)
    torch.testing.assert_close(style.z, expected)


def test_an_rna_block_of_two_heads():
    block = RnaBlock(4, 2, mlp_ratio=1.0, dropout=0.0)
    with torch.no_grad():
        block.attention.to_qkv.weight.copy_(torch.eye(4).repeat(3, 1))
        block.attention.to_qkv.bias.zero_()
        for layer in (block.attention.to_out, block.mlp[0], block.mlp[3]):
            layer.weight.copy_(torch.eye(4))
            layer.bias.zero_()
    x = np.array([0.003, -0.001, 0.002, 0.0])  # so small that LayerNorm's eps shows

    def normed(v: np.ndarray) -> np.ndarray:
        return (v - v.mean()) / np.sqrt(v.var() + 1e-6)

    heads = normed(x).reshape(2, 2)
    scores = np.exp(heads @ heads.T / 2**0.5)
    x_mid = x + (scores / scores.sum(1, keepdims=True) @ heads).reshape(-1)
    expected = x_mid + np.array([gelu(value) for value in normed(x_mid)])
    found = block(torch.tensor(x, dtype=torch.float32)[None])[0]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), rtol=1e-5, atol=1e-6)


def test_layer_norms_have_the_published_eps_on_either_side():
    network = build_mirror(TINY, 0)
    eps = {name: module.eps for name, module in network.named_modules() if isinstance(module, nn.LayerNorm)}
    assert {value for name, value in eps.items() if name.startswith("rna")} == {1e-6}
    assert {value for name, value in eps.items() if name.startswith("slide")} == {1e-5}
    assert len(eps) == 6 + 2 + 3 + 3


# Start.


def spread(weight: torch.Tensor) -> float:
    return float(weight.detach().std())


def close(found: float, expected: float) -> bool:
    return abs(found / expected - 1) < 0.02


def test_the_slide_sides_linear_layers_start_as_published():
    torch.manual_seed(0)
    shape = {"heads": 8, "landmarks": 4, "form": "nystrom", "dropout": 0.1}
    encoder = SlideEncoder(WIDTH, WIDTH, **shape)
    retention = SlideRetention(WIDTH, tokens=8, mask_ratio=0.75, **shape)
    alignment = Alignment(WIDTH)
    layers = {
        f"{place}.{name}": module
        for place, part in (("encoder", encoder), ("retention", retention), ("alignment", alignment.slide))
        for name, module in part.named_modules()
        if isinstance(module, nn.Linear)
    }
    assert len(layers) == 5 + 4 + 1
    for name, layer in layers.items():
        bound = math.sqrt(6 / sum(layer.weight.shape))
        assert close(spread(layer.weight), bound / 3**0.5), name
        assert close(float(layer.weight.detach().abs().max()), bound), name
        assert layer.bias is None or not layer.bias.any(), name
    assert close(spread(encoder.embed[0].weight), 0.0361)
    assert close(spread(encoder.first.attention.to_qkv.weight), 0.0255)


def test_the_rna_side_keeps_torchs_start_but_for_the_retention_block():
    torch.manual_seed(0)
    shape = {"heads": 12, "mlp_ratio": 2.572, "dropout": 0.1}
    encoder, retention = RnaEncoder(WIDTH, WIDTH, **shape), RnaRetention(WIDTH, mask_ratio=0.75, **shape)
    own = 1 / math.sqrt(3 * WIDTH)
    hidden = int(2.572 * WIDTH)
    block, damped = encoder.blocks[0], retention.block
    assert close(spread(encoder.embed[0].weight), own)
    assert encoder.embed[0].bias.any()
    assert close(spread(block.attention.to_out.weight), own)
    assert close(spread(block.mlp[3].weight), 1 / math.sqrt(3 * hidden))
    assert close(spread(damped.attention.to_out.weight), own / 2**0.5)
    assert close(spread(damped.mlp[3].weight), 1 / math.sqrt(3 * hidden) / 2**0.5)
    assert close(spread(damped.attention.to_qkv.weight), own)
    assert close(spread(damped.mlp[0].weight), own)
    assert close(spread(Alignment(WIDTH).rna.weight), own)


# Steps.


def settings_of(**changes) -> PretrainSettings:
    return PretrainSettings(**({"epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "tokens": 10} | changes))


@pytest.mark.parametrize(("start", "bound"), [(200.0, 100.0), (0.2, 1.0)])
def test_tau_is_held_between_1_and_100_after_every_step(start, bound):
    bags, genes = planted(16)
    network = build_mirror(TINY, 0)
    with torch.no_grad():
        network.alignment.log_tau.fill_(math.log(start))
    history = pretrain(network, PairedData(bags, genes), settings_of(learning_rate=1e-9), layout=CPU)
    assert history[0]["tau"] == pytest.approx(bound)
    assert network.tau() == pytest.approx(bound)


def test_pretraining_keeps_its_last_incomplete_batch_and_the_probe_drops_it():
    config = resolve(read_yaml(Path("config/tcga.yaml")))
    for part, known, drops in (("pretrain", PRETRAINING, False), ("probe", PROBE, True)):
        assert config[part]["drop_last"] is known["drop_last"].value is drops
    assert PretrainSettings().drop_last is False


def test_which_epoch_was_published_is_called_an_inference():
    epoch = PROTOCOL["pretraining_epoch"]
    assert epoch.source.startswith("inferred")
    assert epoch.holds("best_on_evaluation")
    assert not epoch.holds("last")
    assert epoch.doubt == ", inferred"
    assert PROTOCOL["epoch"].doubt == ""


def judged(draws: str, **changes) -> tuple[list[float], list[float]]:
    """Losses of two epochs on units left out, and the training's own, at a learning rate that moves nothing."""
    bags, genes = planted(24)
    network = build_mirror(TINY, 0)
    others = ValidationUnits(bags, genes, np.arange(24))
    settings = settings_of(learning_rate=1e-12, evaluation_draws=draws, **changes)
    history = pretrain(network, PairedData(bags, genes), settings, validation=others, layout=CPU)
    return [row["evaluation_total"] for row in history], [row["total"] for row in history]


def test_units_left_out_are_drawn_anew_for_each_epoch_or_once():
    first, second = judged("same")[0]
    assert first == pytest.approx(second, rel=1e-6)
    anew = judged("anew")[0]
    assert anew[0] != pytest.approx(anew[1], rel=1e-4)
    assert judged("anew")[0] == anew  # and follow from the seed
    assert judged("same")[1] == judged("anew")[1]  # training draws are the same


def test_styles_are_sampled_in_a_published_evaluation_and_dropout_is_not():
    network = build_mirror(TINY, 0)
    vectors = torch.randn(4, 48, generator=torch.Generator().manual_seed(0))

    def style(seed: int, *, sampled: bool) -> torch.Tensor:
        network.judged(sampled=sampled)
        return network.style(vectors, generator=torch.Generator().manual_seed(seed)).z

    assert not torch.equal(style(0, sampled=True), style(1, sampled=True))
    assert torch.equal(style(1, sampled=True), style(1, sampled=True))
    assert torch.equal(style(0, sampled=False), style(1, sampled=False))
    assert not network.slide_encoder.training
    network.train()
    assert network.style.training


# The epoch that is kept by the training slides' smooth rank.


def test_smooth_rank_by_hand():
    assert smooth_rank(torch.diag(torch.tensor([2.0, 2.0, 2.0]))) == 3.0
    shares = np.array([0.75, 0.25])
    expected = math.exp(-(shares * np.log(shares)).sum())
    assert smooth_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(expected, abs=0.005)
    assert smooth_rank(torch.ones(5, 3)) == 1.0


@pytest.mark.parametrize("micro_batch", [None, 5])
def test_the_epoch_of_the_highest_rank_is_kept(micro_batch):
    bags, genes = planted(20)
    network = build_mirror(TINY, 0)
    kept: list[dict[str, torch.Tensor]] = []
    others = ValidationUnits(bags, genes, np.arange(20))
    history = pretrain(
        network,
        PairedData(bags, genes),
        settings_of(epochs=4, kept_epoch="smooth_rank"),
        validation=others,
        on_epoch=lambda state, row: kept.append({name: value.clone() for name, value in state.model.items()}),
        layout=Layout("cpu", ComputeSettings(micro_batch=micro_batch)),
    )
    ranks = [-row["minus_smooth_rank"] for row in history]
    assert all(1 <= rank <= 20 for rank in ranks)
    best = kept[int(np.argmax(ranks))]
    assert all(torch.equal(value, best[name]) for name, value in network.state_dict().items())
    assert "evaluation_total" not in history[0]
