"""A GPU whose memory is full: once more with less, then what to lower."""

import numpy as np
import pytest
import torch

from mirrorflow.errors import MirrorflowError
from mirrorflow.learners.pretrained import pretrain
from mirrorflow.models.families import build_network
from mirrorflow.models.mirror import MirrorSettings
from mirrorflow.models.supervised import Sizes
from mirrorflow.models.supervised import build_network as build_supervised
from mirrorflow.training.devices import guarded
from mirrorflow.training.embedding import EmbedSettings, embed
from mirrorflow.training.pretraining import Layout, PairedData
from mirrorflow.training.settings import ComputeSettings, PretrainSettings
from mirrorflow.training.supervised import Units, predict_units
from planted import GENES, PATCH_DIM, TOKENS, planted

NAMES = [f"P{i}" for i in range(8)]


def network_of():
    shape = {"width": 48, "tokens": TOKENS, "prototypes": 30, "style_widths": (24, 16, 8), "dropout": 0.0}
    return build_network("mirror", MirrorSettings(PATCH_DIM, GENES, **shape), 0)


def fits(module: torch.nn.Module, method: str, at_most: int, monkeypatch) -> list[int]:
    """Pretend that ``at_most`` units fit; returns the sizes that were tried."""
    whole, tried = getattr(module, method), []

    def limited(patches, *given, **named):
        tried.append(len(patches))
        if len(patches) > at_most:
            message = "CUDA out of memory. Tried to allocate 2.00 GiB"
            raise torch.OutOfMemoryError(message)
        return whole(patches, *given, **named)

    monkeypatch.setattr(module, method, limited)
    return tried


WHOLE = ComputeSettings()


def train(network, compute: ComputeSettings = WHOLE):
    bags, genes = planted(8)
    settings = PretrainSettings(epochs=2, batch_size=8, tokens=TOKENS, precision="float32", seed=1)
    return pretrain(network, PairedData(bags, genes), settings, layout=Layout("cpu", compute))


def test_a_step_goes_on_with_half_the_units_at_a_time(monkeypatch, caplog):
    network = network_of()
    tried = fits(network, "forward", 4, monkeypatch)
    with caplog.at_level("WARNING", "mirrorflow"):
        history = train(network)
    assert tried == [8, 4, 4, 4, 4]  # the whole batch once; halves for it and for the second epoch
    assert "micro_batch: 4 from now on" in caplog.text
    expected = train(network_of(), ComputeSettings(micro_batch=4))
    assert [row["total"] for row in history] == pytest.approx([row["total"] for row in expected], rel=1e-6)


@pytest.mark.parametrize(("compute", "advice"), [({}, "micro_batch: 2"), ({"micro_batch": 4}, "micro_batch: 1")])
def test_where_half_is_too_much_it_says_what_to_lower(monkeypatch, compute, advice):
    network = network_of()
    fits(network, "forward", 1 if not compute else 0, monkeypatch)
    with pytest.raises(MirrorflowError, match=advice):
        train(network, ComputeSettings(**compute))


def test_embedding_goes_on_in_halves_and_gives_the_same(monkeypatch):
    bags, genes = planted(8)
    settings = EmbedSettings(tokens=TOKENS, batch_size=8)
    network = network_of()
    expected = embed(network, bags, genes, NAMES, settings, seed=0, device="cpu")
    tried = fits(network, "encode_slides", 4, monkeypatch)
    found = embed(network, bags, genes, NAMES, settings, seed=0, device="cpu")
    assert tried == [8, 4, 4]
    np.testing.assert_allclose(found.slide, expected.slide, rtol=1e-5, atol=1e-6)
    fits(network, "encode_slides", 1, monkeypatch)
    with pytest.raises(MirrorflowError, match=r"8 units of 10 tokens are embedded.*lower pretrain\.batch_size"):
        embed(network, bags, genes, NAMES, settings, seed=0, device="cpu")


def test_a_bag_that_does_not_fit_is_named(monkeypatch):
    bags, genes = planted(3)
    network = build_supervised("abmil", Sizes(PATCH_DIM, 0, 2), {}, 0)

    def full(_batch):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(network, "forward", full)
    with pytest.raises(MirrorflowError, match=rf"0: the GPU's memory is full with all {len(bags[0])} patches"):
        predict_units(network, Units(bags, genes[:, :0]), device="cpu")


def test_other_errors_stay_what_they_are():
    def wrong() -> int:
        message = "mat1 and mat2 shapes cannot be multiplied"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="mat1"):
        guarded(wrong, lambda: "full", lambda: 3)
    assert guarded(lambda: 2, lambda: "full") == 2
