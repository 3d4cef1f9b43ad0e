"""Every network and step on a GPU that is not there: no operation on two devices, and a bound on what is waited for.

Each bound is what the code does now; one that a change raises is a copy or an ``.item()`` that the processor waits for
in a loop.
"""

import numpy as np
import pytest
import torch
from torch import nn

from fake_cuda import GPU, fake_cuda
from mirrorflow.config.methods import NETWORKS
from mirrorflow.models.families import build_network, family_of
from mirrorflow.models.seam import Progress, TargetTensors
from mirrorflow.models.supervised import Sizes
from mirrorflow.models.supervised import build_network as build_supervised
from mirrorflow.probes.objective import CrossEntropy, Hazards
from mirrorflow.training.adaptation import AdaptationSettings, AdaptedModel, AdaptedTargets, AdaptedUnits, _Adaptation
from mirrorflow.training.bags import Batch
from mirrorflow.training.devices import Arithmetic
from mirrorflow.training.embedding import Embedder, EmbedSettings
from mirrorflow.training.settings import SupervisedSettings
from mirrorflow.training.step import Gradients, StepInputs
from mirrorflow.training.supervised import Units, _Supervised
from mirrorflow.training.world import ProcessGroup
from planted import planted

UNITS, TOKENS, PATCH_DIM, GENES = 4, 12, 8, 40
SHAPES = {
    "mirror": {"width": 48, "prototypes": 30, "style_widths": (24, 16, 8)},
    "tangle": {"width": 24},
}


@pytest.fixture(autouse=True)
def on_the_gpu(monkeypatch):
    """Modules are built where they belong: fake ones cannot be moved there."""
    monkeypatch.setattr(nn.Module, "to", lambda module, *_, **__: module)
    monkeypatch.setattr(Gradients, "_generator", lambda *_: None)  # a generator asks for a driver


def paired(family: str, **changes):
    settings = family_of(family).settings(
        patch_dim=PATCH_DIM, gene_count=GENES, tokens=TOKENS, **SHAPES[family], **changes
    )
    with torch.device(GPU):
        return build_network(family, settings, 0)


def step_inputs(counts: torch.Tensor | None) -> StepInputs:
    patches, genes = torch.randn(UNITS, TOKENS, PATCH_DIM, device=GPU), torch.randn(UNITS, GENES, device=GPU)
    return StepInputs(patches, genes, counts, torch.arange(UNITS, device=GPU), 0, UNITS)


NOTHING = {"into": 0, "out": 0}
PRETRAINED = [
    ("mirror", {}, {}, {"into": 0, "out": 1}),
    ("mirror", {"attention": "exact"}, {}, {"into": 0, "out": 1}),
    ("mirror", {"losses": ("alignment", "retention", "cluster"), "clustering": "hard"}, {}, {"into": 0, "out": 1}),
    ("mirror", {"same_patient_negatives": "drop"}, {}, {"into": 0, "out": 1}),
    ("mirror", {}, {"masked": True}, {"into": 8, "out": 1}),
    ("mirror", {}, {"micro_batch": 2}, {"into": 0, "out": 9}),
    ("tangle", {}, {}, {"into": 0, "out": 1}),
    ("tangle", {}, {"masked": True}, {"into": 1, "out": 1}),
    ("tangle", {}, {"micro_batch": 2}, {"into": 0, "out": 1}),
]


@pytest.mark.parametrize(("family", "changes", "how", "bound"), PRETRAINED)
def test_a_step_of_pretraining(family, changes, how, bound):
    counts = torch.tensor([TOKENS] * UNITS) if how.get("masked") else None
    with fake_cuda() as seen:
        network = paired(family, **changes).train()
        gradients = Gradients(network, Arithmetic(GPU, torch.bfloat16), how.get("micro_batch"), ProcessGroup())
        inputs = step_inputs(counts)
        given = len(seen.into), len(seen.out)
        if how.get("micro_batch"):
            # Gradients by hand: fake ones do not come back.
            parts = gradients._parts(inputs)
            outputs = [gradients._part(part, 3) for part in parts]
            for part, output in zip(parts, outputs, strict=True):
                gradients._aligned(part, 3)
                for term in network.unit_terms(output).values():
                    term.item()
        else:
            gradients.backward(inputs, 3, lambda _: None)
        assert len(seen.into) - given[0] <= bound["into"], seen.into
        assert len(seen.out) - given[1] <= bound["out"], seen.out


WITHOUT_SOLVER = {"tta": {"transport": "off"}, "otsurv": {"assignment": "softmax"}}
"""A solver looks at numbers to see whether it has converged; fake tensors have none."""


@pytest.mark.parametrize("family", sorted(NETWORKS))
def test_a_step_of_a_network_that_is_trained_on_labels(family):
    bags, _ = planted(UNITS)
    genes = np.random.default_rng(0).normal(size=(UNITS, GENES)).astype(np.float32)
    counts = torch.tensor([12] * UNITS)
    with fake_cuda() as seen:
        with torch.device(GPU):
            sets = tuple(tuple(range(start, GENES, 5)) for start in range(5))
            network = build_supervised(family, Sizes(PATCH_DIM, GENES, 2, sets), WITHOUT_SOLVER.get(family, {}), 0)
        for dtype in (None, torch.bfloat16):
            training = supervised(network, Units(bags, genes), Arithmetic(GPU, dtype))
            batch = Batch(np.arange(UNITS), torch.randn(UNITS, TOKENS, PATCH_DIM, device=GPU), counts)
            given = len(seen.into), len(seen.out)
            training.backward(batch, Progress(0, 0, 0.0), lambda _: None)
            assert len(seen.into) == given[0], seen.into
            assert len(seen.out) <= given[1] + 1, seen.out


def supervised(network, units, arithmetic: Arithmetic) -> _Supervised:
    """A training whose data lie on the GPU, without what asks a driver for streams and memory."""
    training = object.__new__(_Supervised)
    training.network, training.units, training.settings = network, units, SupervisedSettings(tokens=TOKENS)
    training.device, training.arithmetic, training.scaler = GPU, arithmetic, Arithmetic(torch.device("cpu")).scaler()
    training.genes = torch.randn(UNITS, GENES, device=GPU)
    training.targets = TargetTensors(classes=torch.zeros(UNITS, dtype=torch.long, device=GPU))
    training.objective = CrossEntropy(2)
    return training


def test_adaptation_and_embedding_stay_on_the_gpu():
    with fake_cuda():
        network = paired("mirror")
        with torch.device(GPU):
            model = AdaptedModel.__new__(AdaptedModel)
            nn.Module.__init__(model)
            model.network, model.head = network, nn.Linear(96, 4)
        units = AdaptedUnits(np.zeros((1, UNITS, 48), np.float32), np.zeros((UNITS, GENES), np.float32))
        survival = TargetTensors(event=torch.ones(UNITS, dtype=torch.bool), bins=torch.zeros(UNITS, dtype=torch.long))
        training = _Adaptation(model, AdaptedTargets(units, survival, Hazards(4)), AdaptationSettings(), GPU)
        training.backward(torch.arange(UNITS), Progress(0, 0, 0.0), lambda _: None)

        embedder = object.__new__(Embedder)
        embedder.model, embedder.device, embedder.slides_only = network, GPU, False
        embedder.settings, embedder.arithmetic = EmbedSettings(tokens=TOKENS), Arithmetic(GPU, torch.bfloat16)
        embedder.model.eval()
        embedder.genes = torch.randn(UNITS, GENES, device=GPU)
        drawn = Batch(np.arange(UNITS), torch.randn(UNITS, TOKENS, PATCH_DIM, device=GPU), None)
        slide, rna = embedder._encode(drawn)
        assert slide.device.type == rna.device.type == "cuda"


def test_a_mix_of_devices_and_a_number_that_is_read_are_seen():
    with fake_cuda() as seen:
        with pytest.raises(RuntimeError, match="device"):
            torch.ones(2, device=GPU) + torch.ones(2, device="cpu")
        torch.ones(1, device=GPU).item()
        torch.ones(3, device="cpu").to(GPU)
        torch.ones(3, device="cpu").to(GPU, non_blocking=True)
    assert (seen.into, seen.out) == (["(3,) torch.float32"], ["a number"])
