"""Scenario ``mirror-parts``: this project's MIRROR without one part of its objective at a time, where truth is known.

MIRROR is pretrained at a small size on the training patients of each fold, without outcomes; a ridge Cox regression on
its frozen vectors is judged as in a run, against the whole objective. ``linear-on-means`` is the same regression on
mean tokens and expression, without any pretraining.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from mirrorflow.bench.parts import MEANS, TOKENS, WHOLE, Bags, cox_on, judge_parts, linear_on_means
from mirrorflow.bench.request import Request
from mirrorflow.bench.scenarios import Result
from mirrorflow.bench.simulate import World
from mirrorflow.learners.pretrained import pretrain
from mirrorflow.models.families import build_network, family_of
from mirrorflow.models.settings import LOSSES
from mirrorflow.training.bags import ArrayBags
from mirrorflow.training.embedding import EmbedSettings, embed
from mirrorflow.training.pretraining import Layout, PairedData, PretrainSettings

WORLD = World(patients=200, events=100, fresh=600, slide_dim=24, rna_dim=48, interaction=0.0)
SHAPE: dict[str, Any] = {
    "width": 48, "tokens": TOKENS, "prototypes": 32, "style_widths": (32, 24, 16), "attention": "exact",
    "slide_heads": 4, "rna_heads": 4,
}  # fmt: skip
TRAINING = PretrainSettings(
    epochs=15, batch_size=16, learning_rate=1e-3, tokens=TOKENS, precision="float32", feature_scaling="train"
)
VARIANTS: Mapping[str, dict[str, Any]] = {
    WHOLE: {},
    **{f"without-{part}": {"losses": tuple(one for one in LOSSES if one != part)} for part in LOSSES},
    "alignment-alone": {"losses": ("alignment",)},
    "nystrom-attention": {"attention": "nystrom", "landmarks": 8},
}


def pretrained_vectors(bags: Bags, train: np.ndarray, changes: Mapping[str, Any], seed: int) -> np.ndarray:
    """Vectors [patient, feature] of a MIRROR that was pretrained on ``train`` alone."""
    shape = {**SHAPE, **changes, "patch_dim": bags.tokens[0].shape[1], "gene_count": bags.rna.shape[1]}
    network = build_network("mirror", family_of("mirror").settings(**shape), seed)
    genes = bags.scaled_genes(train)
    data = PairedData(ArrayBags([bags.tokens[row] for row in train]), genes[train])
    pretrain(network, data, replace(TRAINING, seed=seed), layout=Layout("cpu"))
    units = [str(row) for row in range(len(genes))]
    asked = EmbedSettings(draws=1, tokens=TOKENS, batch_size=64, precision="float32")
    return embed(network, ArrayBags(bags.tokens), genes, units, asked, seed=seed, device="cpu").joined()


def _risk(bags: Bags, train: np.ndarray, seed: int, *, changes: Mapping[str, Any]) -> np.ndarray:
    return cox_on(pretrained_vectors(bags, train, changes, seed), bags, train)


def run(request: Request) -> Result:
    """Judge each variant against the whole objective."""
    variants = {name: partial(_risk, changes=changes) for name, changes in VARIANTS.items()}
    said = "Parts are judged at this small size, by the frozen vectors' Cox regression alone."
    return judge_parts(WORLD, {**variants, MEANS: linear_on_means}, request, said)
