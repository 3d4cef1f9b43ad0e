"""Scenario ``tta-parts``: TTA without one part at a time, where truth is known and events are many.

The variants are those of Tables 2 to 4 of the paper, and the transport's mass held at 1. Each is trained on the
outcomes of each fold's training patients, at a small size: a prototype for every three tokens, pathways of six genes.
On a TCGA cohort of 40 events differences under 0.1 in C cannot be told; here there are a thousand.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from mirrorflow.bench.parts import MEANS, WHOLE, Bags, judge_parts, linear_on_means
from mirrorflow.bench.request import Request
from mirrorflow.bench.scenarios import Result
from mirrorflow.bench.simulate import World
from mirrorflow.bench.trials import targets_of
from mirrorflow.models.seam import Batch
from mirrorflow.models.supervised import Sizes, build_network
from mirrorflow.models.tta import Tta, objective
from mirrorflow.probes.objective import Cox, target_tensors
from mirrorflow.training.bags import ArrayBags
from mirrorflow.training.settings import SupervisedSettings
from mirrorflow.training.supervised import LabelledUnits, Units, train_supervised

WORLD = World(patients=2500, events=1000, fresh=2000, slide_dim=24, rna_dim=48)
GENES, AT_ONCE = 6, 250
"""Genes of a pathway; patients predicted at once."""
SHAPE: dict[str, Any] = {"width": 32, "prototypes": 8, "ramp_epochs": 4, "heads": 0, "dropout": 0.1}
"""heads 0: views of several projections cost most and, by the released log, teach next to nothing."""
TRAINING = SupervisedSettings(
    epochs=12,
    batch_size=32,
    learning_rate=1e-3,
    weight_decay=1e-2,
    feature_scaling="none",
    survival="cox",
    clip_norm=5.0,
)
APART = {"shared": False, "transport": "off"}
VARIANTS: Mapping[str, dict[str, Any]] = {
    WHOLE: {},
    "no-stages": {**APART, "anchors": False, "contrast_weight": 0.0},
    "together": {"anchors": False, "contrast_weight": 0.0},
    "apart": APART,
    "respective": {"shared": False, "joint": False},
    "respective-transport": {"joint": False},
    "anchors": {"contrast_weight": 0.0},
    "contrast": {"anchors": False},
    "softmax": {"transport": "off"},
    "without-curriculum": {"transport": "fixed"},
}


def _risk(bags: Bags, train: np.ndarray, seed: int, *, changes: Mapping[str, Any]) -> np.ndarray:
    """Log risk of all patients by a network that was trained on ``train`` alone."""
    genes = bags.scaled_genes(train)
    count = genes.shape[1]
    pathways = tuple(tuple(range(start, min(start + GENES, count))) for start in range(0, count, GENES))
    sizes = Sizes(bags.tokens[0].shape[1], count, 1, pathways)
    network = build_network("tta", sizes, {**SHAPE, **changes}, seed)
    assert isinstance(network, Tta)
    targets = targets_of(bags.study, train)
    own = Units(ArrayBags([bags.tokens[row] for row in train]), genes[train])
    minimised = objective(network, Cox(targets, np.array([float(np.max(np.asarray(targets.time_days)))])))
    labelled = LabelledUnits(own, target_tensors(targets), minimised, by_event=True)
    train_supervised(network, labelled, replace(TRAINING, seed=seed), device="cpu")
    return _predict(network, np.stack(bags.tokens), genes)


def _predict(network: Tta, tokens: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """Log risk [patient]; bags [patient, token, feature] are of one size, so that many go at once."""
    network.eval()
    found = []
    with torch.inference_mode():
        for start in range(0, len(tokens), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            patches = torch.from_numpy(tokens[rows])
            mask = torch.ones(patches.shape[:2], dtype=torch.bool)
            found.append(network(Batch(patches, mask, torch.from_numpy(genes[rows]))).logits.squeeze(1))
    return np.asarray(torch.cat(found).double().numpy())


def run(request: Request) -> Result:
    """Judge each variant against the whole method."""
    variants = {name: partial(_risk, changes=changes) for name, changes in VARIANTS.items()}
    said = "Parts are judged at this small size; linear-on-means is a ridge Cox regression without a network."
    return judge_parts(WORLD, {**variants, MEANS: linear_on_means}, request, said)
