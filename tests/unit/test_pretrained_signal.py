"""Pretraining to probe: a planted subtype and survival are learned from the embeddings, shuffled ones are not."""

import numpy as np
import pandas as pd
import pytest
import torch

from mirrorflow.cohorts.splits import survival_bin_edges
from mirrorflow.config.methods import PRETRAINED_FAMILIES
from mirrorflow.config.training_settings import PretrainSettings
from mirrorflow.learners.pretrained import pretrain
from mirrorflow.metrics import accuracy, c_index, confusion
from mirrorflow.models.families import build_network, family_of
from mirrorflow.probes.linear_head import HeadSettings, fit_linear_head
from mirrorflow.probes.task import Prediction, SubtypePrediction, Targets, survival_targets
from mirrorflow.training.bags import ArrayBags
from mirrorflow.training.pretraining import Layout, PairedData

COUNT, TRAIN, BINS = 160, 100, 4
GROUP = np.random.default_rng(0).integers(0, 3, COUNT)
OWN = {
    "mirror": {"prototypes": 8, "style_widths": (12, 8, 4), "attention": "exact", "slide_heads": 2, "rna_heads": 2},
    "tangle": {"temperature": 0.1, "attention_dropout": 0.0, "rna_dropout": 0.0},
}
"""Small, and of the published form otherwise."""
TRAINING = PretrainSettings(
    epochs=6, batch_size=12, learning_rate=2e-3, tokens=5, seed=3, precision="float32", feature_scaling="train"
)


def units() -> tuple[ArrayBags, np.ndarray]:
    """Bags and expression [unit, gene] that share the group."""
    rng = np.random.default_rng(1)
    bags = [rng.normal(size=(6, 6)).astype(np.float32) + 2 * np.eye(6, dtype=np.float32)[group] for group in GROUP]
    return ArrayBags(bags), (rng.normal(size=(COUNT, 9)) + 2 * np.eye(9)[GROUP]).astype(np.float32)


@pytest.fixture(scope="module", params=PRETRAINED_FAMILIES)
def embeddings(request: pytest.FixtureRequest) -> np.ndarray:
    """Slide and RNA vectors [unit, feature] side by side, of a network pretrained on the first units."""
    bags, genes = units()
    shape = {"patch_dim": 6, "gene_count": 9, "width": 24, "tokens": 5, "dropout": 0.0}
    network = build_network(request.param, family_of(request.param).settings(**shape, **OWN.get(request.param, {})), 0)
    pretrain(network, PairedData(ArrayBags(bags.arrays[:TRAIN]), genes[:TRAIN]), TRAINING, layout=Layout("cpu"))
    network.eval()
    with torch.inference_mode():
        patches = torch.stack([torch.from_numpy(bag[:5]) for bag in bags.arrays])
        return torch.cat(network.encode(patches, torch.from_numpy(genes)), dim=1).numpy()


def probed(embeddings: np.ndarray, targets: Targets, outputs: int) -> Prediction:
    train, held_out = embeddings[None, :TRAIN], embeddings[None, TRAIN:]
    settings = HeadSettings(epochs=30, learning_rate=0.01, standardize=True)
    return fit_linear_head(train, held_out, targets, outputs, settings)


def right(embeddings: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy on held-out units of a head trained on ``labels`` [training unit]."""
    prediction = probed(embeddings, Targets(pd.DataFrame(index=range(TRAIN)), classes=labels), 3)
    assert isinstance(prediction, SubtypePrediction)
    return float(accuracy(confusion(prediction.probabilities, GROUP[TRAIN:], np.ones((1, COUNT - TRAIN))))[0])


def test_a_planted_subtype_is_learned_and_a_shuffled_one_is_not(embeddings):
    assert right(embeddings, GROUP[:TRAIN]) > 0.8
    shuffled = [right(embeddings, np.random.default_rng(seed).permutation(GROUP[:TRAIN])) for seed in range(5)]
    assert np.mean(shuffled) == pytest.approx(1 / 3, abs=0.15)


def test_a_planted_risk_is_learned_and_a_shuffled_one_is_not(embeddings):
    rng = np.random.default_rng(4)
    known = pd.DataFrame(
        {"time_days": rng.exponential(1000 * np.exp(-3.0 * GROUP)), "event": (rng.random(COUNT) < 0.8).astype(float)}
    )
    train, asked = known[:TRAIN], known[TRAIN:]
    edges = survival_bin_edges(train["time_days"].to_numpy(), train["event"].to_numpy() == 1, BINS)

    def ranked(outcomes: pd.DataFrame) -> float:
        prediction = probed(embeddings, survival_targets(outcomes, edges), BINS)
        times, events = asked["time_days"].to_numpy(), asked["event"].to_numpy() == 1
        return float(c_index(prediction.risk, times, events, np.ones((1, len(asked))))[0])

    assert ranked(train) > 0.7
    shuffled = [ranked(train.iloc[np.random.default_rng(seed).permutation(TRAIN)]) for seed in range(5)]
    assert np.mean(shuffled) == pytest.approx(0.5, abs=0.15)
