"""Our Nystrom attention beside the `nystrom-attention` package, on the same weights.

The package's pseudo-inverse starts from the largest sums of the whole batch, ours from each sample's own: the package
is given one sample at a time.
"""

import pytest
import torch

from mirrorflow.models.attention import NystromAttention

package = pytest.importorskip("nystrom_attention", reason="nystrom-attention is not installed")

WIDTH, HEADS, LANDMARKS = 32, 4, 8


def both_forms() -> tuple[NystromAttention, torch.nn.Module]:
    torch.manual_seed(0)
    ours = NystromAttention(WIDTH, HEADS, landmarks=LANDMARKS, dropout=0.0)
    theirs = package.NystromAttention(WIDTH, dim_head=WIDTH // HEADS, heads=HEADS, num_landmarks=LANDMARKS)
    theirs.load_state_dict(
        {
            "to_qkv.weight": ours.to_qkv.weight,
            "to_out.0.weight": ours.to_out.weight,
            "to_out.0.bias": ours.to_out.bias,
            "res_conv.weight": ours.residual.weight,
        }
    )
    return ours, theirs


def one_by_one(theirs, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    masks = [None] * len(x) if mask is None else mask.split(1)
    return torch.cat([theirs(row, mask=own) for row, own in zip(x.split(1), masks, strict=True)])


@pytest.mark.parametrize("tokens", [1, 5, 8, 16, 37, 65])
@pytest.mark.parametrize("spread", [1.0, 4.0])
def test_equal_without_a_mask(tokens, spread):
    ours, theirs = both_forms()
    x = spread * torch.randn(3, tokens, WIDTH, generator=torch.Generator().manual_seed(tokens))
    torch.testing.assert_close(ours(x), one_by_one(theirs, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tokens", [8, 37])
def test_equal_with_a_mask(tokens):
    ours, theirs = both_forms()
    x = torch.randn(3, tokens, WIDTH, generator=torch.Generator().manual_seed(tokens))
    mask = torch.arange(tokens) < torch.tensor([[tokens], [tokens // 2], [1]])
    expected, found = one_by_one(theirs, x, mask), ours(x, mask)
    torch.testing.assert_close(found[mask], expected[mask], atol=1e-5, rtol=1e-5)


def test_equal_gradients():
    ours, theirs = both_forms()
    x = torch.randn(2, 20, WIDTH, generator=torch.Generator().manual_seed(0))
    target = torch.randn(2, 20, WIDTH, generator=torch.Generator().manual_seed(1))
    for found in (ours(x), one_by_one(theirs, x)):
        (found * target).sum().backward()
    for name, other in [("to_qkv", theirs.to_qkv), ("to_out", theirs.to_out[0]), ("residual", theirs.res_conv)]:
        torch.testing.assert_close(getattr(ours, name).weight.grad, other.weight.grad, atol=1e-4, rtol=1e-4)
