"""A batch that goes through a supervised network in halves: the same output, terms and gradient as in one go."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from mirrorflow.config.methods import METHODS, NETWORKS
from mirrorflow.errors import MirrorflowError
from mirrorflow.models.seam import Batch, Progress
from mirrorflow.models.supervised import Sizes, SupervisedNetwork, build_network
from mirrorflow.models.tta import Tta, TtaOutput, objective
from mirrorflow.probes.objective import Cox, target_tensors
from mirrorflow.probes.task import Targets
from mirrorflow.training.bags import ArrayBags
from mirrorflow.training.in_parts import joined, output_of
from mirrorflow.training.supervised import LabelledUnits, SupervisedSettings, Units, train_supervised

SMALL = {"width": 16, "attention_width": 8, "heads": 2, "layers": 1, "latents": 4, "fusion_width": 6, "landmarks": 4}
COUNT = 6
EVENT = np.arange(COUNT) % 2 == 0
KNOWN = Targets(list("abcdef"), time_days=np.arange(1.0, COUNT + 1), event=EVENT, bins=np.arange(COUNT) % 2)
COX = Cox(KNOWN, np.array([3.0, 6.0]))


def build(family: str) -> SupervisedNetwork:
    sizes = Sizes(5, 7, COX.outputs, gene_sets=((0, 1, 2), (3,), (2, 4, 5, 6)))
    settings = {key: SMALL.get(key, value) for key, value in METHODS[family].settings["network"].items()}
    quiet = {key: 0.0 for key in settings if "dropout" in key}
    return build_network(family, sizes, settings | quiet, 0)


def batch() -> Batch:
    source = torch.Generator().manual_seed(1)
    counts = torch.tensor([6, 4, 5, 6, 3, 1])
    mask = torch.arange(6)[None] < counts[:, None]
    patches = torch.randn(COUNT, 6, 5, generator=source).masked_fill(~mask[..., None], 0)
    return Batch(patches, mask, torch.randn(COUNT, 7, generator=source), target_tensors(KNOWN), counts)


def tensors(found: Any) -> list[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        return [found]
    if dataclasses.is_dataclass(found):
        return [one for field in dataclasses.fields(found) for one in tensors(getattr(found, field.name))]
    return [one for part in found for one in tensors(part)] if isinstance(found, tuple) else []


@pytest.mark.parametrize("family", NETWORKS)
def test_halves_give_the_output_and_the_gradient_of_the_whole(family):
    network, seen, at = build(family), batch(), Progress(0, 0, 0.0)
    goal = objective(network, COX) if family == "tta" else COX
    gradients, outputs = [], []
    for parts in (1, 2):
        network.zero_grad()
        torch.manual_seed(5)
        network.at(at)
        out = output_of(network, seen, parts)
        sum((goal.terms(out, seen, at) | network.terms(out, seen, at)).values()).backward()
        outputs.append(tensors(out))
        gradients.append([torch.zeros(1) if one.grad is None else one.grad.clone() for one in network.parameters()])
    assert len(outputs[0]) == len(outputs[1])
    for whole, halved in zip(*outputs, strict=True):
        torch.testing.assert_close(halved, whole, rtol=1e-4, atol=1e-5)
    for whole, halved in zip(*gradients, strict=True):
        torch.testing.assert_close(halved, whole, rtol=1e-3, atol=1e-5)
    assert any(one.abs().max() > 0 for one in gradients[0])


def test_torch_sees_on_which_device_dropout_draws(monkeypatch):
    """It looks for tensors among the arguments, to keep the random state of their devices for the second run."""
    seen = []

    def noted(function: Any, *given: Any, **more: Any) -> Any:
        seen.append(given)
        return checkpoint(function, *given, **more)

    monkeypatch.setattr("mirrorflow.training.in_parts.checkpoint", noted)
    output_of(build("abmil"), batch(), 2)
    assert [any(isinstance(one, torch.Tensor) for one in given) for given in seen] == [True, True]


def test_parts_of_every_kind_are_joined():
    network = build("tta")
    out = output_of(network, batch(), 3)
    assert isinstance(out, TtaOutput)
    assert [len(part.mask) for part in out.parts] == [COUNT, COUNT]
    assert joined([None, None]) is None


def limited(network: SupervisedNetwork, at_most: int, monkeypatch) -> list[int]:
    whole, tried = network.forward, []

    def forward(seen: Batch):
        tried.append(len(seen.genes))
        if len(seen.genes) > at_most:
            raise torch.OutOfMemoryError
        return whole(seen)

    monkeypatch.setattr(network, "forward", forward)
    return tried


def trained(network: SupervisedNetwork, **changes: int) -> list[float]:
    seen = batch()
    bags = ArrayBags([patches[:count].numpy() for patches, count in zip(seen.patches, seen.counts, strict=True)])
    goal = objective(network, COX) if isinstance(network, Tta) else COX
    labelled = LabelledUnits(Units(bags, seen.genes.numpy()), target_tensors(KNOWN), goal, by_event=True)
    asked = {"epochs": 2, "batch_size": COUNT, "tokens": 6, "min_steps": 0, "seed": 2, **changes}
    settings = SupervisedSettings(precision="float32", **asked)
    return [row["total"] for row in train_supervised(network, labelled, settings, device="cpu").history]


def test_a_training_goes_on_in_halves_and_gives_the_same(monkeypatch, caplog):
    expected, network = trained(build("abmil")), build("abmil")
    tried = limited(network, 3, monkeypatch)
    with caplog.at_level("WARNING", "mirrorflow"):
        assert trained(network) == pytest.approx(expected, rel=1e-5)
    assert tried == [6, *[3] * 8]  # each half forward, and once more in the backward pass; two epochs
    assert "half of a batch of 6 at a time from now on" in caplog.text


def test_where_half_is_too_much_it_says_what_to_lower(monkeypatch):
    network = build("abmil")
    limited(network, 2, monkeypatch)
    with pytest.raises(MirrorflowError, match=r"half a batch at a time; lower the method's train\.batch_size"):
        trained(network)


def heads_of(monkeypatch, fail_at: tuple[int, int] | None = None, *, late: bool = False) -> dict[Any, Any]:
    """TTA's head and the heads' losses after each step of a training; memory is full once, before or after the views'
    terms of the step ``fail_at`` (epoch, step).
    """
    network, found, failed = build("tta"), {}, []
    term = network.views_term

    def views_term(out: TtaOutput, modality: int, at: Progress) -> torch.Tensor:
        here = (at.epoch, at.step)
        if here == fail_at and not late and not failed:
            failed.append(here)
            raise torch.OutOfMemoryError
        value = term(out, modality, at)
        if here == fail_at and modality == 1 and not failed:
            failed.append(here)
            raise torch.OutOfMemoryError
        found[(*here, modality)] = (int(network.head), network.head_losses.clone())
        return value

    monkeypatch.setattr(network, "views_term", views_term)
    trained(network, epochs=3, batch_size=3)
    assert failed == ([] if fail_at is None else [fail_at])
    return found


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("fail_at", [(1, 0), (1, 1), (2, 0)])
def test_a_step_that_is_done_again_keeps_ttas_head_and_counts_once(monkeypatch, fail_at, late):
    expected = heads_of(monkeypatch)
    assert {head for (epoch, *_), (head, _) in expected.items() if epoch} != {0}, "the first would be taken by mistake"
    found = heads_of(monkeypatch, fail_at, late=late)
    assert {key: head for key, (head, _) in found.items()} == {key: head for key, (head, _) in expected.items()}
    for key, (_, losses) in expected.items():
        torch.testing.assert_close(found[key][1], losses, rtol=1e-3, atol=1e-5)
