import pytest
import torch
from torch import nn

from mirrorflow.errors import ConfigError
from mirrorflow.models.attention import (
    ExactAttention,
    NystromAttention,
    exact_attention,
)
from mirrorflow.models.banded import along_sequence
from mirrorflow.models.nystrom import iterated_pinv, landmark_means
from mirrorflow.models.transmil import Ppeg, SlideEncoder, square_side, squared

WIDTH, HEADS, LANDMARKS = 16, 2, 4


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def attention_of(form: str) -> nn.Module:
    torch.manual_seed(0)
    if form == "exact":
        return ExactAttention(WIDTH, HEADS).eval()
    return NystromAttention(WIDTH, HEADS, landmarks=LANDMARKS).eval()


def encoder_of(form: str) -> SlideEncoder:
    torch.manual_seed(0)
    return SlideEncoder(5, WIDTH, heads=HEADS, landmarks=LANDMARKS, form=form, dropout=0.1).eval()


def test_exact_attention_is_softmax_plus_the_values_convolution():
    attention = ExactAttention(4, 1).eval()
    tokens = torch.randn(1, 3, 4, generator=seeded(1))
    q, k, v = attention.to_qkv(tokens)[0].chunk(3, dim=-1)
    kernel = attention.residual.weight[0, 0, :, 0]
    smoothed = torch.stack([sum(kernel[16 + j - i] * v[j] for j in range(3)) for i in range(3)])
    expected = attention.to_out(((q @ k.T) / 2).softmax(dim=1) @ v + smoothed)
    torch.testing.assert_close(attention(tokens)[0], expected)


def test_weights_of_one_form_load_into_the_other():
    nystrom, exact = attention_of("nystrom"), ExactAttention(WIDTH, HEADS)
    exact.load_state_dict(nystrom.state_dict())
    assert [name for name, _ in exact.named_parameters()] == [name for name, _ in nystrom.named_parameters()]


def test_nystrom_comes_near_exact_attention_with_a_landmark_a_token():
    exact = attention_of("exact")
    nystrom = NystromAttention(WIDTH, HEADS, landmarks=8).eval()
    nystrom.load_state_dict(exact.state_dict())
    tokens = torch.randn(1, 8, WIDTH, generator=seeded(2))
    torch.testing.assert_close(nystrom(tokens), exact(tokens), atol=0.02, rtol=0)


def test_iterated_pinv_inverts_a_well_conditioned_matrix():
    matrix = torch.tensor([[0.8, 0.2], [0.3, 0.7]])[None, None]
    torch.testing.assert_close(iterated_pinv(matrix, 12)[0, 0], torch.linalg.inv(matrix[0, 0]))


def test_landmarks_are_means_of_runs_of_real_tokens():
    tokens = torch.tensor([1.0, 3.0, 5.0, 0.0, 0.0, 0.0])[None, None, :, None]
    real = torch.tensor([[[True, True, True, False, False, False]]])
    means, marked = landmark_means(tokens, real, 3)
    assert means[0, 0, :, 0].tolist() == [2.0, 5.0, 0.0]
    assert marked.tolist() == [[[True, True, False]]]
    assert landmark_means(tokens, None, 3)[0][0, 0, :, 0].tolist() == [2.0, 2.5, 0.0]


@pytest.mark.parametrize("form", ["exact", "nystrom"])
def test_what_padding_holds_changes_nothing(form):
    attention = attention_of(form)
    tokens = torch.randn(2, 9, WIDTH, generator=seeded(3))
    mask = torch.arange(9) < torch.tensor([[9], [6]])
    other = tokens.clone()
    other[1, 6:] = 1e3
    torch.testing.assert_close(attention(tokens, mask)[1, :6], attention(other, mask)[1, :6])
    assert not torch.allclose(attention(tokens)[1, :6], attention(other)[1, :6])


def test_with_exact_attention_the_number_of_padding_tokens_changes_nothing():
    attention = attention_of("exact")
    tokens = torch.randn(1, 6, WIDTH, generator=seeded(4))
    padded = torch.cat([tokens, torch.ones(1, 5, WIDTH)], dim=1)
    torch.testing.assert_close(attention(padded, torch.arange(11)[None] < 6)[:, :6], attention(tokens))


@pytest.mark.parametrize("masked", [False, True])
def test_plain_products_are_the_same_attention_as_the_fused_kernel(monkeypatch, masked):
    q, k, v = torch.randn(3, 2, 4, 9, 8, generator=seeded(9)).to(torch.bfloat16)
    keys = (torch.arange(9) < torch.tensor([[9], [5]]))[:, None, None] if masked else None
    found = []
    for plain in (False, True):
        monkeypatch.setattr("mirrorflow.models.attention._plain_products_win", lambda _, plain=plain: plain)
        found.append(exact_attention(q, k, v, keys))
    torch.testing.assert_close(found[0], found[1], atol=0.03, rtol=0.03)


@pytest.mark.parametrize("plain", [False, True])
def test_a_bag_without_a_real_patch_gives_zero_and_moves_nothing(monkeypatch, plain):
    monkeypatch.setattr("mirrorflow.models.attention._plain_products_win", lambda _: plain)
    q, k, v = torch.randn(3, 2, 4, 9, 8, generator=seeded(9)).to(torch.bfloat16).requires_grad_()
    keys = (torch.arange(9) < torch.tensor([[0], [5]]))[:, None, None]
    mixed = exact_attention(q, k, v, keys)
    assert (mixed[0] == 0).all()
    alone = exact_attention(q[1:, :, :, :], k[1:], v[1:], keys[1:])
    torch.testing.assert_close(mixed[1:], alone)
    (gradient,) = torch.autograd.grad(mixed.float().square().sum(), [v])
    assert gradient.isfinite().all()
    assert (gradient[0] == 0).all()


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match="width 50 is not divisible by slide_heads 8"):
        ExactAttention(50, 8)


def test_tokens_are_repeated_up_to_a_square():
    assert [square_side(count) for count in (1, 2, 4, 5, 2048)] == [1, 2, 2, 3, 46]
    tokens = torch.arange(5.0)[None, :, None]
    assert squared(tokens, None)[0].flatten().tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3]


def test_each_bag_is_squared_for_its_own_count():
    tokens = torch.tensor([[1.0, 2, 3, 4, 5], [6, 7, 8, 0, 0]])[..., None]
    laid, mask, sides = squared(tokens, torch.tensor([5, 3]))
    assert sides == [3, 2]
    assert laid[0, :, 0].tolist() == [1, 2, 3, 4, 5, 1, 2, 3, 4]
    assert laid[1, :4, 0].tolist() == [6, 7, 8, 6]
    assert mask.sum(dim=1).tolist() == [10, 5]


def test_ppeg_adds_three_depthwise_convolutions():
    ppeg = Ppeg(1)
    for convolution in ppeg.convolutions:
        nn.init.ones_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    grid = torch.zeros(1, 9, 1)
    grid[0, 4] = 1.0  # the centre of 3 x 3 reaches every cell through each of the three kernels
    assert ppeg(grid).flatten().tolist() == [3, 3, 3, 3, 4, 3, 3, 3, 3]


@pytest.mark.parametrize("form", ["exact", "nystrom"])
def test_the_encoder_ignores_what_padding_patches_hold(form):
    encoder = encoder_of(form)
    patches = torch.randn(2, 7, 5, generator=seeded(5))
    counts = torch.tensor([7, 3])
    other = patches.clone()
    other[1, 3:] = -50.0
    torch.testing.assert_close(encoder(patches, counts)[1, :4], encoder(other, counts)[1, :4])


@pytest.mark.parametrize("padding", [0, 1, 6, 20])
def test_with_exact_attention_a_padded_bag_is_encoded_as_itself(padding):
    encoder = encoder_of("exact")
    patches = torch.randn(1, 7, 5, generator=seeded(6))
    padded = torch.cat([patches, torch.ones(1, padding, 5)], dim=1)
    longer = torch.cat([padded, torch.randn(1, 7 + padding, 5, generator=seeded(7))])
    tokens = encoder(longer, torch.tensor([7, 7 + padding]))
    torch.testing.assert_close(tokens[:1, :8], encoder(patches))


@pytest.mark.parametrize("form", ["exact", "nystrom"])
@pytest.mark.parametrize("count", [1, 2, 3, 17])
def test_bags_of_any_size_are_encoded(form, count):
    tokens = encoder_of(form)(torch.randn(2, count, 5, generator=seeded(8)))
    assert tokens.shape == (2, 1 + count, WIDTH)
    assert torch.isfinite(tokens).all()


@pytest.mark.parametrize("count", [1, 5, 33, 65, 100, 200])
def test_a_band_of_products_is_the_convolution_along_the_sequence(count):
    convolution = ExactAttention(8, 2).double().residual
    values = torch.randn(2, 2, count, 4, generator=seeded(5), dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 2, count, 4, generator=seeded(6), dtype=torch.float64)
    found, expected = along_sequence(values, convolution.weight[:, 0, :, 0]), convolution(values)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    leaves = (values, convolution.weight)
    for one, other in zip(
        torch.autograd.grad((found * weights).sum(), leaves),
        torch.autograd.grad((expected * weights).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("counts", [None, (3, 16, 9)])
@pytest.mark.parametrize(("form", "landmarks"), [("exact", 1), ("nystrom", 4), ("nystrom", 17), ("nystrom", 36)])
def test_the_class_token_alone_is_the_class_token(form, landmarks, counts):
    """With runs of tokens a landmark, a landmark a token, and zeros in front (in the chain, which wants 32)."""
    torch.manual_seed(0)
    shape = {"heads": HEADS, "landmarks": landmarks, "form": form, "dropout": 0.1}
    encoder = SlideEncoder(5, WIDTH, **shape).eval().double()
    patches = torch.randn(3, 16, 5, generator=seeded(7), dtype=torch.float64)
    real = None if counts is None else torch.tensor(counts)
    expected = encoder(patches, real)[:, 0]
    with torch.no_grad():
        torch.testing.assert_close(encoder.class_token(patches, real), expected, rtol=1e-9, atol=1e-10)
        alone = encoder.class_token(patches[1:2], None if real is None else real[1:2])
    if counts is None:
        torch.testing.assert_close(alone, expected[1:2], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(encoder.class_token(patches, real), expected, rtol=0, atol=0)  # with gradients


def test_with_dropout_the_class_token_is_drawn_like_all_tokens():
    encoder = encoder_of("nystrom").train()
    patches = torch.randn(2, 16, 5, generator=seeded(8))
    found = []
    with torch.no_grad():
        for encode in (lambda: encoder(patches)[:, 0], lambda: encoder.class_token(patches)):
            torch.manual_seed(1)
            found.append(encode())
    assert torch.equal(*found)
