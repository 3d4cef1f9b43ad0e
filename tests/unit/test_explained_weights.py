"""Weights of patches by the seam: the class token's rows, rollout, one-pass methods; covering draws; removal."""

from typing import Any

import numpy as np
import pytest
import torch

from mirrorflow.models.attention import ExactAttention, NystromAttention, make_attention, nystrom_attention
from mirrorflow.models.class_token import class_token_weights, folded, mixing_of
from mirrorflow.models.families import family_of
from mirrorflow.models.seam import Batch
from mirrorflow.models.supervised import Sizes, build_network
from mirrorflow.models.transmil import SlideEncoder
from mirrorflow.training.covering import cover, covered
from mirrorflow.training.removal import deletion_curve, effects, neighbours, per_patch

SETS = ((0, 1), (2, 3, 4))
SIZES = Sizes(patch_dim=6, gene_count=5, outputs=3, gene_sets=SETS)


def attention(form: Any) -> NystromAttention | ExactAttention:
    torch.manual_seed(0)
    return make_attention(form, 16, 4, landmarks=6, dropout=0.1).eval()


def masked(kept: int, of: int) -> torch.Tensor:
    return torch.arange(of)[None] < kept


# rows of the class token


@pytest.mark.parametrize("form", ["exact", "nystrom"])
@pytest.mark.parametrize("mask", [None, masked(22, 29), masked(29, 29)])
@torch.no_grad()
def test_a_row_times_the_values_is_what_the_attention_mixes(form: str, mask: torch.Tensor | None) -> None:
    own, tokens = attention(form), torch.randn(1, 29, 16, generator=torch.Generator().manual_seed(1))
    rows = mixing_of(own, tokens, mask).rows()
    _, _, values = own.project(tokens, mask)
    mixed = (rows[:, None] @ values[0])[:, 0]
    residual = own.residual(values)[0, :, 0]
    found = own.to_out((mixed + residual).flatten())
    # the convolution over values sees padding in front as zeros, as at the border
    torch.testing.assert_close(found, own(tokens, mask)[0, 0], rtol=1e-4, atol=1e-5)
    real = slice(None) if mask is None else mask[0]
    again = mixing_of(own, tokens, mask).mixed()
    torch.testing.assert_close(again[0, real], own(tokens, mask)[0, real], rtol=1e-4, atol=1e-5)
    if mask is not None:
        assert (rows[:, ~mask[0]] == 0).all()
    if form == "exact":
        torch.testing.assert_close(rows.sum(1), torch.ones(4))


@torch.no_grad()
def test_nystroms_row_is_that_of_its_own_matrix_and_may_be_negative() -> None:
    own, tokens = attention("nystrom"), 6 * torch.randn(1, 24, 16, generator=torch.Generator().manual_seed(1))
    q, k, _ = own.project(tokens, None)
    matrix = nystrom_attention(q, k, torch.eye(24).expand(1, 4, 24, 24), landmarks=6, mask=masked(24, 24))[0]
    rows = mixing_of(own, tokens, masked(24, 24)).rows()
    torch.testing.assert_close(rows, matrix[:, 0], rtol=1e-3, atol=1e-5)
    assert float(rows.min()) < -1e-4
    weights = torch.rand(24)
    torch.testing.assert_close(
        mixing_of(own, tokens, masked(24, 24)).rows(weights), weights @ matrix, rtol=1e-3, atol=1e-4
    )


@torch.no_grad()
def test_weighted_rows_of_exact_attention_are_those_of_its_matrix() -> None:
    own, tokens = attention("exact"), torch.randn(1, 700, 16)
    q, k, _ = own.project(tokens, None)
    matrix = (q[0] @ k[0].mT * 4**-0.5).softmax(-1)
    weights = torch.rand(700)
    torch.testing.assert_close(mixing_of(own, tokens, None).rows(weights), weights @ matrix, rtol=1e-4, atol=1e-5)


def encoder(form: Any) -> SlideEncoder:
    torch.manual_seed(0)
    return SlideEncoder(6, 16, heads=4, landmarks=6, form=form, dropout=0.1).eval()


@torch.no_grad()
def test_rollout_by_hand() -> None:
    own, patches = encoder("exact"), torch.randn(1, 9, 6)
    found = {one.name: one for one in class_token_weights(own, patches)}
    assert list(found) == ["block 2", "rollout", "block 1"]
    first = torch.cat([own.cls, own.embed(patches)], 1)
    mixed = own.first(first)
    second = torch.cat([mixed[:, :1], own.positions(mixed[:, 1:])], 1)
    matrices = []
    for block, tokens in ((own.first, first), (own.second, second)):
        q, k, _ = block.attention.project(block.norm(tokens), None)
        matrices.append((q[0] @ k[0].mT * 4**-0.5).softmax(-1).mean(0))
    halves = [(one + torch.eye(10)) / 2 for one in matrices]
    torch.testing.assert_close(found["rollout"].values[0], (halves[1] @ halves[0])[0, 1:])
    torch.testing.assert_close(found["block 2"].values[0], matrices[1][0, 1:])
    torch.testing.assert_close(found["block 1"].values[0], matrices[0][0, 1:])
    assert found["block 1"].heads is not None
    assert found["block 1"].heads.shape == (1, 4, 9)


@pytest.mark.parametrize("form", ["exact", "nystrom"])
@torch.no_grad()
def test_a_patch_repeated_to_fill_the_square_has_what_all_its_tokens_get(form: str) -> None:
    assert folded(torch.arange(9.0)[None], 7).tolist() == [[0 + 7, 1 + 8, 2, 3, 4, 5, 6]]
    found = class_token_weights(encoder(form), torch.randn(1, 7, 6), torch.tensor([7]))
    assert all(one.values.shape == (1, 7) for one in found)
    itself = 1 - float(found[2].values.sum())
    if form == "exact":
        assert 0 < itself < 0.5  # what the class token pays itself
        assert "exact attention" in found[0].said
    else:
        assert "weights may be negative" in found[0].said


# every method by the seam


def batch(patches: int = 7, padded: int = 3) -> Batch:
    torch.manual_seed(3)
    bag = torch.randn(1, patches + padded, 6)
    return Batch(bag, masked(patches, patches + padded), torch.randn(1, 5))


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("abmil", ["attention"]),
        ("clam", ["attention"]),
        ("porpoise", ["attention"]),
        ("survpath", ["pathways"]),
        ("tta", ["plan", "pooling"]),
        ("otsurv", ["attention"]),
        ("attnmisl", ["attention"]),
        ("ilra-mil", []),
    ],
)
@torch.no_grad()
def test_shares_add_up_to_1_over_real_patches_alone(family: str, names: list[str]) -> None:
    own = build_network(family, SIZES, {"width": 16} if family != "ilra-mil" else {"width": 16, "heads": 2}, 0).eval()
    own.scale_patches(torch.full((6,), 0.5), torch.full((6,), 2.0))
    found = own.patch_weights(batch())
    assert [one.name for one in found] == names
    for one in found:
        assert one.said
        torch.testing.assert_close(one.values.sum(1), torch.ones(1), rtol=1e-4, atol=1e-5)
        assert (one.values[:, 7:] == 0).all()
        alone = own.patch_weights(batch(padded=0))[found.index(one)]
        assert alone.values.shape == (1, 7)
    if names == ["attention"]:
        torch.testing.assert_close(found[0].values, own(batch()).attention)


@torch.no_grad()
def test_transmils_class_token_is_that_of_its_encoder() -> None:
    own = build_network("transmil", SIZES, {"width": 16, "heads": 4, "landmarks": 4}, 0).eval()
    own.scale_patches(torch.full((6,), 0.5), torch.full((6,), 2.0))
    found = own.patch_weights(batch())
    assert [one.name for one in found] == ["block 2", "rollout", "block 1"]
    scaled = (batch().patches[:, :7] - 0.5) / 2
    torch.testing.assert_close(found[0].values, class_token_weights(own.encoder, scaled)[0].values)
    # the row times the values is what the class token takes from the block
    tokens, _ = own.encoder._before_second(scaled, None)
    mixing = mixing_of(own.encoder.second.attention, own.encoder.second.norm(tokens))
    torch.testing.assert_close(folded(mixing.rows()[:, 1:], 7).mean(0)[None], found[0].values)
    torch.testing.assert_close(mixing.mixed()[:, :1], own.encoder.second.first(tokens) - tokens[:, :1])


@torch.no_grad()
def test_survpaths_weights_are_the_softmax_of_its_attention() -> None:
    own = build_network("survpath", SIZES, {"width": 16, "form": "before-1.0"}, 0).eval()
    seen = batch(padded=0)
    pathways, tokens = own.pathways(seen.genes), own.embed(seen.patches)
    weights = own.attend.on_patches(pathways, tokens, seen.mask)
    values = torch.cat([pathways, tokens], 1)
    _, keys, _ = own.attend.to_qkv(own.attend.norm(values)).chunk(3, dim=-1)
    queries, _, _ = own.attend.to_qkv(own.attend.norm(pathways)).chunk(3, dim=-1)
    shares = (queries @ keys.mT * queries.shape[-1] ** -0.5).softmax(-1)
    torch.testing.assert_close(weights, shares[:, :, 2:].mean(1))


@torch.no_grad()
def test_ttas_plan_is_absent_without_transport() -> None:
    own = build_network("tta", SIZES, {"width": 16, "transport": "off"}, 0).eval()
    assert [one.name for one in own.patch_weights(batch())] == ["pooling"]


@pytest.mark.parametrize(
    ("family", "names"), [("mirror", ["block 2", "rollout", "block 1"]), ("tangle", ["attention"])]
)
@torch.no_grad()
def test_pretrained_methods_have_weights_of_the_bag_as_encoded(family: str, names: list[str]) -> None:
    made = family_of(family)
    small: dict[str, Any] = {"patch_dim": 6, "gene_count": 5, "width": 16, "tokens": 9}
    heads = {"slide_heads": 4, "rna_heads": 4, "prototypes": 8} if family == "mirror" else {}
    torch.manual_seed(0)
    own = made.network(made.settings(**small, **heads)).eval()
    own.scale_patches(torch.full((6,), 0.5), torch.full((6,), 2.0))
    found = own.patch_weights(torch.randn(1, 9, 6))
    assert [one.name for one in found] == names
    assert all(one.values.shape == (1, 9) for one in found)
    if family == "tangle":
        torch.testing.assert_close(found[0].values.sum(1), torch.ones(1))


# draws that cover a bag


@pytest.mark.parametrize(("size", "tokens"), [(25, 10), (20, 10), (7, 10), (10, 10)])
def test_every_patch_is_in_a_draw_and_none_twice_in_one(size: int, tokens: int) -> None:
    draws = cover(size, tokens, np.random.default_rng(0))
    assert set(np.concatenate(draws)) == set(range(size))
    assert all(len(draw) == len(set(draw)) == min(size, tokens) for draw in draws)


def test_mean_and_deviation_over_the_draws_by_hand() -> None:
    draws = [np.array([0, 1]), np.array([1, 2]), np.array([0, 1])]
    given = iter([[0.3, 0.7], [0.5, 0.5], [0.1, 0.9]])
    (found,) = covered(draws, 3, lambda draw: np.array([next(given)]))
    assert found.mean == pytest.approx([0.4, 1.4, 1.0])  # times the 2 patches of a draw
    assert found.deviation == pytest.approx(
        [np.std([0.6, 0.2], ddof=1), np.std([1.4, 1.0, 1.8], ddof=1), np.nan], nan_ok=True
    )
    assert found.drawn.tolist() == [2, 3, 1]


# removal


def test_groups_are_neighbours_of_equal_size() -> None:
    places = np.stack(np.meshgrid(np.arange(8), np.arange(5)), -1).reshape(-1, 2) * 256
    groups = neighbours(places, 20)
    assert sorted(np.concatenate(groups)) == list(range(40))
    assert {len(group) for group in groups} == {2}
    assert all(np.abs(np.diff(places[group], axis=0)).sum() == 256 for group in groups)  # they touch
    assert [group.tolist() for group in neighbours(places[:3], 20)] == [[0], [1], [2]]
    assert sorted(map(len, neighbours(places[:23], 5))) == [4, 4, 5, 5, 5]
    assert neighbours(places[:0], 3) == []


def test_the_effect_is_what_the_group_brings() -> None:
    values = np.array([1.0, 2.0, 4.0, 8.0])
    groups = [np.array([0, 3]), np.array([1]), np.array([2])]
    found = effects(lambda kept: float(values[kept].sum()), 4, groups)
    assert found.tolist() == [9, 2, 4]
    assert per_patch(found, groups, 4).tolist() == [9, 2, 4, 9]
    assert np.isnan(effects(lambda kept: float(values[kept].sum()), 4, [np.arange(4)])).all()


def test_the_deletion_curve_falls_faster_by_weight_than_at_random() -> None:
    values = np.arange(30.0)
    curve = deletion_curve(lambda kept: float(values[kept].sum()), values, steps=10, orders=4, seed=0)
    assert curve.left_out.tolist() == pytest.approx(np.arange(10) / 10)
    assert curve.ordered[:2].tolist() == [435, 435 - 29 - 28 - 27]
    assert curve.random.shape == (4, 10)
    assert (curve.random[:, 0] == 435).all()
    assert curve.area > 20
    again = deletion_curve(lambda kept: float(values[kept].sum()), values, steps=10, orders=4, seed=0)
    np.testing.assert_array_equal(curve.random, again.random)
    one = deletion_curve(lambda kept: 1.0, np.ones(1), steps=10, orders=2, seed=0)
    assert (one.ordered.tolist(), one.random.shape) == ([1.0], (2, 1))
