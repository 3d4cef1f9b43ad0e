import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mirrorflow.config.methods import PRETRAINED_FAMILIES
from mirrorflow.config.training_settings import PretrainSettings
from mirrorflow.errors import ConfigError
from mirrorflow.learners.pretrained import pretrain
from mirrorflow.models.families import build_network, family_of
from mirrorflow.models.tangle import GatedAttentionPool, Tangle, TangleSettings
from mirrorflow.training.pretraining import Layout, PairedData
from mirrorflow.training.retrieval import retrieval_report
from planted import planted

TINY = TangleSettings(patch_dim=8, gene_count=30, width=24, tokens=10, dropout=0.0)


def inputs(batch: int = 3, patches: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, patches, 8, generator=generator), torch.randn(batch, 30, generator=generator)


def test_parameters_and_operations_are_those_of_mirrors_paper():
    with torch.device("meta"):
        tangle = Tangle(TangleSettings(patch_dim=768, gene_count=10_234))
    parameters = sum(parameter.numel() for parameter in tangle.parameters())
    assert round(parameters / 1e6, 2) == 11.41
    patches, genes = torch.empty(1, 2048, 768, device="meta"), torch.empty(1, 10_234, device="meta")
    with FlopCounterMode(display=False) as counter:
        tangle(patches, genes)
    assert round(counter.get_total_flops() / 1e9, 2) == 9.69


def test_pooling_is_a_weighted_mean_by_gated_attention():
    pool = GatedAttentionPool(2)
    with torch.no_grad():
        for layer in (pool.content, pool.gate):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
        pool.score.weight.copy_(torch.tensor([[1.0, 0.0]]))
    tokens = torch.tensor([[[1.0, 5.0], [0.0, 7.0]]])
    first = torch.tanh(torch.tensor(1.0)) * torch.sigmoid(torch.tensor(1.0))
    weight = torch.sigmoid(first)  # softmax of (first, 0)
    torch.testing.assert_close(pool(tokens)[0], weight * tokens[0, 0] + (1 - weight) * tokens[0, 1])


def test_what_padding_holds_changes_nothing():
    network = build_network("tangle", TINY, 0).eval()
    patches, genes = inputs()
    other = patches.clone()
    other[1, 4:] = 1e3
    counts = torch.tensor([7, 4, 7])
    slides = [network.encode(p, genes, counts=counts)[0] for p in (patches, other)]
    torch.testing.assert_close(slides[0], slides[1])
    torch.testing.assert_close(slides[0][1:2], network.encode(patches[1:2, :4], genes[1:2])[0])


def test_infonce_is_on_unit_vectors_at_the_published_temperature():
    network = build_network("tangle", TINY, 0).eval()
    output = network(*inputs())
    slide, rna = network.encode(*inputs())
    products = torch.nn.functional.cosine_similarity(slide[:, None], rna[None], dim=2) / 0.01
    rows, columns = (-products.log_softmax(dim).diagonal().mean() for dim in (1, 0))
    torch.testing.assert_close(network.loss_terms(output)["alignment"], (rows + columns) / 2)
    assert network.tau() == 100


def test_training_finds_the_planted_pairs():
    bags, genes = planted()
    network = build_network("tangle", dataclasses.replace(TINY, temperature=0.1), 0)
    settings = PretrainSettings(
        epochs=15, learning_rate=2e-3, tokens=10, seed=3, precision="float32", feature_scaling="train"
    )
    history = pretrain(network, PairedData(bags, genes), settings, layout=Layout("cpu"))
    assert history[-1]["total"] == history[-1]["alignment"] < 0.5 * history[0]["total"]
    assert history[-1]["tau"] == 10
    patches = torch.stack([torch.from_numpy(bags[i][:4]) for i in range(len(bags))])
    with torch.inference_mode():
        slide, rna = network.align(*network.encode(patches, torch.from_numpy(genes)))
    report = retrieval_report(slide.numpy(), rna.numpy(), [str(i) for i in range(len(bags))])
    assert report["slide_to_rna_recall@1"] > 0.5


@pytest.mark.parametrize("family", PRETRAINED_FAMILIES)
def test_a_familys_network_follows_from_the_seed_alone(family):
    settings = family_of(family).settings(patch_dim=4, gene_count=6, width=48, tokens=4)
    before = torch.random.get_rng_state()
    first, second, other = (build_network(family, settings, seed).state_dict() for seed in (5, 5, 6))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"temperature": 0.0}, r"temperature is 0\.0; it must be above 0"),
        ({"same_patient_negatives": "some"}, "allowed: keep, drop"),
    ],
)
def test_impossible_settings_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(TINY, **changes)
