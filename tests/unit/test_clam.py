"""CLAM: what its instance classifiers learn from, and that the bag's head is untouched by them."""

import numpy as np
import pytest
import torch
from torch import Tensor

from mirrorflow.models.clam import Clam, objective, smooth_svm
from mirrorflow.models.seam import Batch, Output, Progress, TargetTensors
from mirrorflow.models.supervised import Sizes, build_network
from mirrorflow.probes.objective import Cox, CrossEntropy, Hazards
from mirrorflow.probes.task import Targets

START = Progress(0, 0, 0.0)


def network(**changes: object) -> Clam:
    settings = {"width": 8, "attention_width": 4, "dropout": 0.0, "instances": 2} | changes
    return build_network("clam", Sizes(5, 0, 3), settings, seed=0)


def batch(patches: int = 7, *, classes: bool = True) -> Batch:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(2, patches, dtype=torch.bool)
    mask[1, 5:] = False
    targets = TargetTensors(classes=torch.tensor([2, 0]) if classes else None)
    return Batch(torch.randn(2, patches, 5, generator=generator), mask, torch.zeros(2, 0), targets)


def test_parameters_at_the_published_size_without_instance_heads():
    sizes = sum(
        parameter.numel()
        for name, parameter in build_network("clam", Sizes(1024, 0, 4), {}, seed=0).named_parameters()
        if "instance" not in name
    )
    assert sizes == 1024 * 512 + 512 + 2 * (512 * 256 + 256) + 256 + 1 + 512 * 4 + 4


def by_hand(model: Clam, out: Output, seen: Batch) -> Tensor:
    """The instance loss, class by class, from sorted attention."""
    losses = []
    for row in range(2):
        real = int(seen.mask[row].sum())
        order = sorted(range(real), key=lambda i: -out.attention[row, i].item())
        high, low = out.tokens[row, order[:2]], out.tokens[row, order[-2:]]
        total = 0.0
        for number, head in enumerate(model.instance_heads):
            if number == int(seen.targets.classes[row]):
                pairs = [(head(one), 1) for one in high] + [(head(one), 0) for one in low]
            else:
                pairs = [(head(one), 0) for one in high]
            hinge = [torch.logsumexp(s + torch.tensor([float(y != j) for j in (0, 1)]), 0) - s[y] for s, y in pairs]
            total = total + torch.stack(hinge).mean()
        losses.append(total / 3)
    return torch.stack(losses).mean()


def test_the_instance_loss_is_of_the_highest_and_lowest_real_patches():
    model, seen = network(), batch()
    out = model(seen)
    torch.testing.assert_close(model.instance_loss(out, seen.mask, seen.targets.classes), by_hand(model, out, seen))


def test_the_svm_loss_is_small_where_the_margin_holds_and_falls_with_it():
    far = smooth_svm(torch.tensor([[0.0, 9.0]]), torch.tensor([1]))
    near = smooth_svm(torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
    assert float(far) < 1e-3 < float(near)
    assert float(near) == pytest.approx(float(torch.tensor(2.0).log()))


def test_terms_and_weights_of_subtyping():
    model, seen = network(bag_weight=0.7), batch()
    whole = objective(model, CrossEntropy(3))
    assert list(whole.terms(model(seen), seen, START)) == ["cross_entropy", "instance"]
    assert whole.weights(START) == pytest.approx({"cross_entropy": 0.7, "hazards": 0.7, "instance": 0.3})


def of_survival(events: tuple[bool, bool]) -> Batch:
    seen = batch(classes=False)
    targets = TargetTensors(time_days=torch.tensor([5.0, 9.0]), event=torch.tensor(events), bins=torch.tensor([0, 2]))
    return Batch(seen.patches, seen.mask, seen.genes, targets)


def test_in_survival_the_bin_of_an_event_is_the_class_and_a_censoring_has_none():
    model = network(bag_weight=0.7)
    whole, seen = objective(model, Hazards(3)), of_survival((True, False))
    out = model(seen)
    terms = whole.terms(out, seen, START)
    assert list(terms) == ["hazards", "instance"]
    alone = model.instance_loss(model(seen), seen.mask[:1], seen.targets.bins[:1])
    assert float(terms["instance"].detach()) == pytest.approx(float(alone.detach()))
    assert whole.weights(START) == pytest.approx({"cross_entropy": 0.7, "hazards": 0.7, "instance": 0.3})
    nobody = of_survival((False, False))
    none = whole.terms(model(nobody), nobody, START)["instance"]
    none.backward()
    assert float(none.detach()) == 0


def test_a_cox_loss_and_no_instances_leave_the_tasks_objective_alone():
    seen = of_survival((True, False))
    known = Targets(list("ab"), time_days=np.array([5.0, 9.0]), event=np.array([True, False]), bins=np.array([0, 1]))
    one = build_network("clam", Sizes(5, 0, 1), {"width": 8, "attention_width": 4, "dropout": 0.0}, seed=0)
    assert list(objective(one, Cox(known, np.array([9.0]))).terms(one(seen), seen, START)) == ["cox"]
    off = network(instances=0)
    assert list(objective(off, Hazards(3)).terms(off(seen), seen, START)) == ["hazards"]
    whole = objective(off, CrossEntropy(3))
    assert list(whole.terms(off(batch()), batch(), START)) == ["cross_entropy"]
    assert whole.weights(START) == {}


def test_instance_heads_learn_and_leave_the_bags_logits_alone():
    model, seen = network(), batch()
    out = model(seen)
    model.instance_loss(out, seen.mask, seen.targets.classes).backward()
    assert all(head.weight.grad.abs().sum() > 0 for head in model.instance_heads)
    assert model.embed[0].weight.grad.abs().sum() > 0
    assert model.head.weight.grad is None


def test_a_bag_of_one_patch_has_no_instance_loss():
    model = network()
    seen = Batch(torch.randn(1, 1, 5), torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 0), None)
    assert float(model.instance_loss(model(seen), seen.mask, torch.tensor([0])).detach()) == 0
