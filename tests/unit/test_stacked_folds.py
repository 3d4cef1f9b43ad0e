"""Folds trained as one stacked model are those trained alone (the benchmark's; the workflow trains them alone)."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mirrorflow.metrics.survival import c_index
from mirrorflow.models.supervised import Sizes, build_network
from mirrorflow.probes.hazards import curve_risk, hazard_nll, survival_curve

SPEC = importlib.util.spec_from_file_location(
    "stacked_folds", Path(__file__).parents[2] / "benchmarks" / "stacked_folds.py"
)
stacked_folds = importlib.util.module_from_spec(SPEC)
sys.modules["stacked_folds"] = stacked_folds
SPEC.loader.exec_module(stacked_folds)

UNITS, TOKENS, DIM, FOLDS, STEPS = 60, 6, 8, 5, 40


def likelihood(logits: Tensor, targets: Tensor) -> Tensor:
    return hazard_nll(logits, targets[:, 0], targets[:, 1])


@pytest.fixture(scope="module")
def survival():
    """Bags whose first features shorten life, and the outcome."""
    rng = np.random.default_rng(0)
    risk = rng.normal(size=UNITS)
    days, event = rng.exponential(np.exp(-risk)), rng.random(UNITS) < 0.7
    bags = rng.normal(size=(UNITS, TOKENS, DIM))
    bags[:, :, :3] += risk[:, None, None]
    bins = np.searchsorted(np.quantile(days, [0.25, 0.5, 0.75]), days)
    targets = torch.tensor(np.stack([bins, event], axis=1), dtype=torch.long)
    rows = torch.from_numpy(rng.integers(0, UNITS, (FOLDS, STEPS, 16)))
    return stacked_folds.Folds(torch.from_numpy(bags), targets, rows, likelihood), days, event


def trained(folds, dtype: torch.dtype) -> list[list[torch.nn.Module]]:
    found = []
    for train in (stacked_folds.train_alone, stacked_folds.train_stacked):
        settings = {"width": 16, "attention_width": 8, "dropout": 0.0}
        networks = [build_network("abmil", Sizes(DIM, 0, 4), settings, seed).to(dtype) for seed in range(FOLDS)]
        typed = stacked_folds.Folds(folds.bags.to(dtype), folds.targets, folds.rows, folds.loss)
        train(networks, typed, 1e-2)
        found.append(networks)
    return found


def test_in_float64_a_whole_training_is_the_same(survival):
    alone, stacked = trained(survival[0], torch.float64)
    for one, other in zip(alone, stacked, strict=True):
        for left, right in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(left, right, rtol=0, atol=1e-10)


def test_in_float32_the_mean_c_index_is_the_same_to_two_thousandths(survival):
    folds, days, event = survival
    means = []
    for networks in trained(folds, torch.float32):
        with torch.no_grad():
            logits = [network(stacked_folds.seen(folds.bags.float())).logits for network in networks]
        risks = [curve_risk(survival_curve(one)).numpy() for one in logits]
        means.append(np.mean([c_index(risk, days, event, np.ones((1, UNITS))) for risk in risks]))
    assert abs(means[0] - means[1]) < 0.002
    assert means[0] > 0.6
