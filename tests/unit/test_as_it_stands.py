"""Parts that keep their digits under TF32, as under autocast."""

from collections.abc import Iterator

import pytest
import torch

from mirrorflow.models import otsurv
from mirrorflow.models.autocast import as_it_stands
from mirrorflow.models.transport import implicit, partial, transport


def on() -> bool:
    return torch.backends.cuda.matmul.allow_tf32


@pytest.fixture
def tf32() -> Iterator[None]:
    before = on()
    torch.backends.cuda.matmul.allow_tf32 = True
    yield
    assert on()
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.usefixtures("tf32")
def test_tf32_is_off_within_and_on_again_after_an_error() -> None:
    def fail() -> None:
        with as_it_stands(torch.ones(1)):
            assert not on()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert on()
    with as_it_stands(torch.ones(1, device="meta")):
        assert on()


@pytest.mark.usefixtures("tf32")
def test_distances_and_the_gradient_of_a_plan_keep_their_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, far, by_cost = [], torch.cdist, implicit._by_cost
    monkeypatch.setattr(torch, "cdist", lambda *given: seen.append(on()) or far(*given))
    monkeypatch.setattr(implicit, "_by_cost", lambda *given, **more: seen.append(on()) or by_cost(*given, **more))
    source = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, 6, 4, generator=source, requires_grad=True)
    mask = torch.ones(2, 6, dtype=torch.bool)
    cost = otsurv.costs(tokens, torch.randn(3, 4, generator=source), mask)
    plan = transport(cost, partial(3, 0.1, 1.0, 0.5), mask).plan
    (plan * torch.randn(plan.shape, generator=source)).sum().backward()
    assert tokens.grad is not None
    assert len(seen) == 3
    assert not any(seen)
    assert on()
