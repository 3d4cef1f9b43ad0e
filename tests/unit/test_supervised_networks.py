"""The supervised networks: what may not matter does not, and what goes in reaches the loss."""

import pytest
import torch
from torch import Tensor

from mirrorflow.config.methods import METHODS, NETWORKS
from mirrorflow.config.modules import optional_part_of
from mirrorflow.errors import ConfigError
from mirrorflow.models.layers import GatedAttentionPooling, masked_mean
from mirrorflow.models.seam import Batch, Progress, TargetTensors
from mirrorflow.models.supervised import Sizes, SupervisedNetwork, build_network
from mirrorflow.models.survpath import PathwayTokens
from mirrorflow.probes.objective import CrossEntropy

SIZES = Sizes(patch_dim=5, gene_count=7, outputs=3, gene_sets=((0, 1, 2), (3,), (2, 4, 5, 6)))
SMALL = {
    "width": 32,
    "attention_width": 8,
    "heads": 4,
    "layers": 2,
    "latents": 4,
    "fusion_width": 4,
    "dropout": 0.25,
    "landmarks": 4,
}


def small(family: str, seed: int = 0, **changes: object) -> SupervisedNetwork:
    settings = {key: SMALL.get(key, value) for key, value in METHODS[family].settings["network"].items()}
    return build_network(family, SIZES, settings | changes, seed).eval()


def logits(network: SupervisedNetwork, patches: Tensor, mask: Tensor, genes: Tensor) -> Tensor:
    return network(Batch(patches, mask, genes)).logits


def l1_of(network: SupervisedNetwork) -> dict[str, Tensor]:
    patches, mask, genes = inputs()
    batch = Batch(patches, mask, genes)
    return network.terms(network(batch), batch, Progress(0, 0, 0.0))


def inputs(count: int = 4, patches: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(count, patches, dtype=torch.bool)
    return torch.randn(count, patches, 5, generator=generator), mask, torch.randn(count, 7, generator=generator)


@pytest.mark.parametrize("family", NETWORKS)
def test_the_order_of_patches_means_nothing(family):
    network, (patches, mask, genes) = small(family), inputs()
    shuffled = patches[:, torch.randperm(6, generator=torch.Generator().manual_seed(2))]
    found, other = (logits(network, one, mask, genes) for one in (patches, shuffled))
    if network.ordered:
        assert not torch.allclose(found, other)
    else:
        torch.testing.assert_close(found, other)


@pytest.mark.parametrize("padding", [0.0, 1e3])
@pytest.mark.parametrize("family", NETWORKS)
def test_padding_changes_nothing(family, padding):
    network, (patches, mask, genes) = small(family), inputs()
    padded = torch.cat([patches, torch.full((4, 3, 5), padding)], dim=1)
    longer = torch.cat([mask, torch.zeros(4, 3, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(logits(network, patches, mask, genes), logits(network, padded, longer, genes))


@pytest.mark.parametrize("family", NETWORKS)
def test_units_of_a_batch_do_not_see_each_other(family):
    network, (patches, mask, genes) = small(family), inputs()
    alone = torch.cat([logits(network, patches[i : i + 1], mask[i : i + 1], genes[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(logits(network, patches, mask, genes), alone)


@pytest.mark.parametrize("family", NETWORKS)
def test_one_patch_is_a_bag(family):
    patches, mask, genes = inputs(patches=1)
    found = logits(small(family), patches, mask, genes)
    assert found.shape == (4, 3)
    assert found.isfinite().all()


@pytest.mark.parametrize("family", NETWORKS)
def test_every_weight_and_every_real_input_gets_a_gradient(family):
    network, (patches, mask, genes) = small(family).train(), inputs()
    torch.manual_seed(0)  # of the dropout: one that leaves no unit whole gives it no gradient
    mask[0, 4:] = False
    patches.requires_grad_()
    genes.requires_grad_()
    seen = Batch(patches, mask, genes, TargetTensors(classes=torch.tensor([0, 1, 2, 0])))
    out = network(seen)
    # A sum of squares, for a bias of the logits has no part in their differences; and what the method adds to the loss.
    own = optional_part_of("models", family, "objective")
    added = own(network, CrossEntropy(3, 0.0)).terms(out, seen, Progress(0, 0, 0.0)).values() if own else []
    (out.logits.square().sum() + sum(added)).backward()
    for name, parameter in network.named_parameters():
        constant = family != "survpath" and name == "pool.score.bias"  # a softmax does not see it
        assert constant or (parameter.grad is not None and parameter.grad.abs().sum() > 0), name
    if "slides" in METHODS[family].inputs:
        assert (patches.grad[mask].abs().sum(1) > 0).all()
        assert (patches.grad[~mask] == 0).all()
    else:
        assert patches.grad is None
    if "rna" in METHODS[family].inputs:
        assert (genes.grad.abs() > 0).any(0).all()
    else:
        assert genes.grad is None


@pytest.mark.parametrize("family", NETWORKS)
def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_own_alone(family):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, other, third = small(family, 1), small(family, 1), small(family, 2)
    assert torch.equal(torch.rand(3), expected)
    pairs = list(zip(one.parameters(), other.parameters(), third.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)


@pytest.mark.parametrize("family", NETWORKS)
def test_patches_are_scaled_by_the_stored_moments(family):
    network, (patches, mask, genes) = small(family), inputs()
    expected = logits(network, patches, mask, genes)
    mean, sd = torch.arange(5.0), torch.arange(1.0, 6.0)
    network.scale_patches(mean, sd)
    torch.testing.assert_close(logits(network, patches * sd + mean, mask, genes), expected)
    assert torch.equal(network.state_dict()["patch_mean"], mean)


def test_a_setting_of_another_method_is_refused():
    with pytest.raises(ConfigError, match="abmil: network has no setting heads; it has width"):
        build_network("abmil", SIZES, {"heads": 2}, 0)
    with pytest.raises(ConfigError, match="not divisible by heads 3"):
        build_network("ilra-mil", SIZES, {"width": 16, "heads": 3}, 0)


def test_gated_attention_is_the_papers_formula():
    pooling = GatedAttentionPooling(4, 3, 0.0).eval()
    tokens = torch.randn(1, 5, 4, generator=torch.Generator().manual_seed(0))
    content, gate, score = pooling.content[0], pooling.gate[0], pooling.score
    rows = []
    for h in tokens[0]:
        hidden = torch.tanh(content.weight @ h + content.bias) * torch.sigmoid(gate.weight @ h + gate.bias)
        rows.append(torch.exp(score.weight[0] @ hidden))
    weights = torch.stack(rows) / torch.stack(rows).sum()
    mask = torch.ones(1, 5, dtype=torch.bool)
    torch.testing.assert_close(pooling.weights(tokens, mask)[0], weights)
    pooled, attention = pooling(tokens, mask)
    torch.testing.assert_close(pooled[0], weights @ tokens[0])
    torch.testing.assert_close(attention[0], weights)


def test_means_are_over_real_tokens():
    tokens = torch.tensor([[[1.0], [3.0], [100.0]]])
    assert masked_mean(tokens, torch.tensor([[True, True, False]])).item() == 2.0


@pytest.mark.parametrize("scaled", [True, False])
def test_a_pathway_token_is_a_network_of_its_own_genes(scaled):
    torch.manual_seed(0)
    tokens = PathwayTokens(SIZES, 6, 0.0, scaled=scaled)
    genes = torch.randn(2, 7, generator=torch.Generator().manual_seed(1))
    expected = []
    for row, members in enumerate(SIZES.gene_sets):
        own = genes[:, list(members)]
        hidden = torch.nn.functional.elu(own @ tokens.first[row, : len(members)] + tokens.first_bias[row])
        expected.append(torch.nn.functional.elu(hidden @ tokens.second[row] + tokens.second_bias[row]))
    torch.testing.assert_close(tokens(genes), torch.stack(expected, dim=1))


@pytest.mark.parametrize("scaled", [True, False])
def test_padding_of_short_pathways_is_never_trained(scaled):
    torch.manual_seed(0)
    tokens = PathwayTokens(SIZES, 6, 0.0, scaled=scaled)
    assert (tokens.first[1, 1:] == 0).all()
    tokens(torch.randn(2, 7)).sum().backward()
    assert (tokens.first.grad[1, 1:] == 0).all()
    assert (tokens.first.grad[1, 0] != 0).any()


def test_porpoise_penalises_expression_and_fusion_and_before_1_0_expression_alone():
    network, free = small("porpoise", l1=0.5), small("porpoise", l1=0.0)
    before = small("porpoise", l1=0.5, form="before-1.0")
    for one, parts in ((network, (network.genes, network.fuse)), (before, (before.genes,))):
        sizes = sum(parameter.abs().sum() for part in parts for parameter in part.parameters())
        torch.testing.assert_close(l1_of(one)["l1"], 0.5 * sizes)
    assert l1_of(free) == {}
    assert l1_of(small("abmil")) == {}


def test_porpoise_holds_products_of_both_modalities():
    network, (patches, mask, genes) = small("porpoise"), inputs()
    base = logits(network, patches, mask, genes)
    other_genes, other_patches = genes.flip(0), patches.flip(0)
    both = logits(network, other_patches, mask, other_genes)
    apart = logits(network, patches, mask, other_genes) + logits(network, other_patches, mask, genes) - base
    assert not torch.allclose(both, apart)


def test_survpaths_patches_do_not_attend_to_each_other():
    network, (patches, mask, genes) = small("survpath"), inputs()
    seen = {}
    network.attend.register_forward_hook(lambda _, __, output: seen.update(tokens=output))
    logits(network, patches, mask, genes)
    pathways, tokens = seen["tokens"]
    changed = patches.clone()
    changed[:, 0] += 1.0
    logits(network, changed, mask, genes)
    assert torch.equal(seen["tokens"][1][:, 1:], tokens[:, 1:])
    assert not torch.allclose(seen["tokens"][1][:, 0], tokens[:, 0])
    assert not torch.allclose(seen["tokens"][0], pathways)
