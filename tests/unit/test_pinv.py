"""The pseudo-inverse that is applied, and its gradients by hand, beside autograd through the published iteration."""

import pytest
import torch
from torch import Tensor

from fake_cuda import GPU, fake_cuda
from mirrorflow.models import nystrom, pinv
from mirrorflow.models.attention import NystromAttention
from mirrorflow.models.nystrom import iterated_pinv, nystrom_attention, start_scale
from mirrorflow.models.pinv import pinv_times, projected, rounds_much
from mirrorflow.models.transmil import Ppeg
from mirrorflow.runtime.tf32 import set_tf32


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def published(matrices: Tensor, values: Tensor, scale: Tensor, iterations: int) -> Tensor:
    z, eye = matrices.mT / scale, torch.eye(matrices.shape[-1], dtype=matrices.dtype)
    for _ in range(iterations):
        x = matrices @ z
        z = z @ (13 * eye - x @ (15 * eye - x @ (7 * eye - x))) / 4
    return z @ values


def gradients(function, given: list[Tensor], iterations: int) -> list[Tensor]:
    given = [tensor.clone().requires_grad_() for tensor in given]
    found = function(*given, iterations)
    weights = torch.randn(found.shape, generator=seeded(3), dtype=torch.float64).to(found.dtype)
    return [found.detach(), *torch.autograd.grad((found * weights).sum(), given)]


def inputs(dtype: torch.dtype, side: int = 7) -> list[Tensor]:
    matrices = torch.randn(2, 3, side, side, generator=seeded(0), dtype=torch.float64).softmax(dim=-1)
    values = torch.randn(2, 3, side, 4, generator=seeded(1), dtype=torch.float64)
    scale = 2 + torch.rand(2, 1, 1, 1, generator=seeded(2), dtype=torch.float64)
    return [tensor.to(dtype) for tensor in (matrices, values, scale)]


@pytest.mark.parametrize("as_half", [False, True])
@pytest.mark.parametrize("iterations", [1, 2, 6])
def test_value_and_gradients_are_those_of_the_published_iteration(monkeypatch, iterations, as_half):
    monkeypatch.setattr(pinv, "rounds_much", lambda _: as_half)  # either way back, in float64
    given = inputs(torch.float64)
    for found, expected in zip(
        gradients(pinv_times, given, iterations), gradients(published, given, iterations), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("dtype", "at_most"), [(torch.float32, 2e-5), (torch.bfloat16, 0.06)])
def test_rounding_stays_what_it_was(dtype, at_most):
    given = inputs(dtype, side=48)
    exact = gradients(published, [tensor.double() for tensor in given], 6)
    for found, expected in zip(gradients(pinv_times, given, 6)[:3], exact, strict=False):
        assert found.dtype == dtype
        assert ((found.double() - expected).norm() / expected.norm()).item() < at_most


def test_the_fused_form_is_the_published_order_of_products():
    q, k, v = torch.randn(3, 2, 4, 24, 8, generator=seeded(4), dtype=torch.float64)
    fused = nystrom_attention(q, k, v, landmarks=6)
    torch.testing.assert_close(fused, nystrom._in_published_order(q, k, v, 6, None), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_a_batch_gives_what_one_by_one_gives(masked):
    torch.manual_seed(0)
    form = NystromAttention(16, 2, landmarks=4).eval().double()
    tokens = torch.randn(3, 9, 16, generator=seeded(5), dtype=torch.float64) * torch.tensor([1.0, 5, 20])[:, None, None]
    mask = torch.arange(9) < torch.tensor([[9], [6], [4]]) if masked else None
    alone = [form(tokens[i : i + 1], None if mask is None else mask[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(form(tokens, mask), torch.cat(alone), rtol=1e-12, atol=1e-13)


def test_each_sample_starts_from_its_own_sums():
    matrices = torch.tensor([[[[1.0, 2], [3, 4]]], [[[10.0, 0], [0, 1]]]])
    assert start_scale(matrices).flatten().tolist() == [7 * 6, 10 * 10]
    assert iterated_pinv(matrices).isfinite().all()


def test_under_autocast_it_stays_in_the_narrow_type(monkeypatch):
    seen = []
    monkeypatch.setattr(nystrom, "pinv_times", lambda *given: seen.append(given[0].dtype) or pinv_times(*given))
    with torch.autocast("cpu", torch.bfloat16):
        found = NystromAttention(16, 2, landmarks=4)(torch.randn(2, 9, 16, generator=seeded(6)))
    assert seen == [torch.bfloat16]
    assert found.dtype == torch.bfloat16
    found.sum().backward()


def test_one_convolution_places_tokens_as_three_do():
    torch.manual_seed(0)
    ppeg = Ppeg(3).double()
    tokens = torch.randn(2, 25, 3, generator=seeded(7), dtype=torch.float64)
    grid = tokens.mT.unflatten(2, (5, 5))
    expected = tokens + sum(one(grid).flatten(2).mT for one in ppeg.convolutions)
    torch.testing.assert_close(ppeg(tokens), expected, rtol=1e-12, atol=1e-13)


def test_gradients_of_two_passes_add_up_once():
    """Of biases that are summed by a stack they would not: these share their memory."""
    torch.manual_seed(0)
    once, twice = Ppeg(3), Ppeg(3)
    twice.load_state_dict(once.state_dict())
    tokens = torch.randn(2, 25, 3, generator=seeded(8))
    (2 * once(tokens)).sum().backward()
    for _ in range(2):
        twice(tokens).sum().backward()
    for (name, one), other in zip(once.named_parameters(), twice.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, msg=name)


@pytest.mark.parametrize("width", [1, 40])
@pytest.mark.parametrize("iterations", [1, 2, 3, 6])
def test_without_gradients_the_chain_gives_the_same(width, iterations):
    matrices = torch.randn(2, 3, 36, 36, generator=seeded(0), dtype=torch.float64).softmax(dim=-1)
    values = torch.randn(2, 3, 36, width, generator=seeded(1), dtype=torch.float64)
    scale = start_scale(matrices)
    expected = published(matrices, values, scale, iterations)
    with torch.no_grad():
        found = pinv_times(matrices, values, scale, iterations)
        through = projected(matrices, values, scale, iterations)
        column = pinv_times(matrices.mT, values, scale, iterations)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(through, matrices @ expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(column, published(matrices.mT, values, scale, iterations), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 4.0])
def test_the_chains_rounding_is_that_of_float32(sharpness):
    scores = sharpness * torch.randn(1, 8, 65, 65, generator=seeded(0), dtype=torch.float64)
    matrices = scores.softmax(dim=-1)
    values = matrices @ torch.randn(1, 8, 65, 48, generator=seeded(1), dtype=torch.float64)  # sums by a softmax
    exact = matrices @ published(matrices, values, start_scale(matrices), 6)
    narrow = matrices.float()
    with torch.no_grad():
        error = projected(narrow, values.float(), start_scale(narrow), 6).double() - exact
    assert (error.abs().max() / exact.std()).item() < 1e-5
    assert (error.std() / exact.std()).item() < 2e-6


def test_groups_that_fit_the_cache_give_what_all_at_once_gives(monkeypatch):
    given = inputs(torch.float64)
    whole = gradients(pinv_times, given, 6)
    monkeypatch.setattr(pinv, "CACHE_BYTES", 1)
    for found, expected in zip(gradients(pinv_times, given, 6), whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def test_tf32_counts_as_a_half_type():
    set_tf32(on=True)
    try:
        with fake_cuda():
            assert rounds_much(torch.ones(1, device=GPU))
            assert not rounds_much(torch.ones(1, device=GPU, dtype=torch.float64))
            assert not rounds_much(torch.ones(1, device="cpu"))
    finally:
        set_tf32(on=False)
    assert rounds_much(torch.ones(1, dtype=torch.bfloat16))
