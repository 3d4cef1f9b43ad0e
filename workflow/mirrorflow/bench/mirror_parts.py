"""Scenario ``mirror-parts``: this project's MIRROR without one part of its objective at a time, where truth is known.

Each patient has a bag of tokens, a share of which shows the slide's features (the others are background), and an
expression profile. MIRROR is pretrained at a small size on the training patients of each fold, without outcomes; a
ridge Cox regression on its frozen vectors is judged as in a run, against the whole objective. ``no-pretraining`` is the
same regression on mean tokens and expression.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.bench.request import Request
from mirrorflow.bench.scenarios import Result
from mirrorflow.bench.simulate import Study, World, simulate
from mirrorflow.bench.trials import Trained, cells_of, cox, draw_folds, targets_of, true_c
from mirrorflow.evaluation import with_verdicts
from mirrorflow.evaluation.verdicts import Named
from mirrorflow.learners.pretrained import pretrain
from mirrorflow.models.families import build_network, family_of
from mirrorflow.models.settings import LOSSES
from mirrorflow.training.bags import ArrayBags
from mirrorflow.training.embedding import EmbedSettings, embed
from mirrorflow.training.pretraining import Layout, PairedData, PretrainSettings

TOKENS, TISSUE = 24, 0.4
"""Tokens of a bag, and the share of them that shows the slide's features."""
WORLD = World(patients=200, events=100, fresh=600, slide_dim=24, rna_dim=48, interaction=0.0)
SHAPE: dict[str, Any] = {
    "width": 48, "tokens": TOKENS, "prototypes": 32, "style_widths": (32, 24, 16), "attention": "exact",
    "slide_heads": 4, "rna_heads": 4,
}  # fmt: skip
TRAINING = PretrainSettings(
    epochs=15, batch_size=16, learning_rate=1e-3, tokens=TOKENS, precision="float32", feature_scaling="train"
)
WHOLE, NONE = "whole", "no-pretraining"
VARIANTS: Mapping[str, dict[str, Any]] = {
    WHOLE: {},
    **{f"without-{part}": {"losses": tuple(one for one in LOSSES if one != part)} for part in LOSSES},
    "alignment-alone": {"losses": ("alignment",)},
    "nystrom-attention": {"attention": "nystrom", "landmarks": 8},
}
SHOWN = ("method", "true_c", "mean", "ci_low", "ci_high", "difference", "true_difference", "p_holm", "verdict")


@dataclass(frozen=True)
class Bags:
    """A study with its slides as bags of tokens."""

    study: Study
    tokens: list[np.ndarray]
    rna: np.ndarray


def draw_bags(study: Study, rng: np.random.Generator) -> Bags:
    """Tokens [token, feature] a patient: some show the features, the rest is background of the same scale."""
    shape = (len(study.slides), TOKENS, study.slides.shape[1])
    shows = rng.random(shape[:2]) < TISSUE
    tokens = rng.standard_normal(shape) + np.where(shows[..., None], study.slides[:, None, :], 0.0)
    return Bags(study, list(tokens.astype(np.float32)), study.rna.astype(np.float32))


def pretrained_vectors(bags: Bags, train: np.ndarray, changes: Mapping[str, Any], seed: int) -> np.ndarray:
    """Vectors [patient, feature] of a MIRROR that was pretrained on ``train`` alone."""
    shape = {**SHAPE, **changes, "patch_dim": bags.tokens[0].shape[1], "gene_count": bags.rna.shape[1]}
    network = build_network("mirror", family_of("mirror").settings(**shape), seed)
    mean, sd = bags.rna[train].mean(0), bags.rna[train].std(0)
    genes = ((bags.rna - mean) / sd).astype(np.float32)
    data = PairedData(ArrayBags([bags.tokens[row] for row in train]), genes[train])
    pretrain(network, data, replace(TRAINING, seed=seed), layout=Layout("cpu"))
    units = [str(row) for row in range(len(genes))]
    asked = EmbedSettings(draws=1, tokens=TOKENS, batch_size=64, precision="float32")
    return embed(network, ArrayBags(bags.tokens), genes, units, asked, seed=seed, device="cpu").joined()


def mean_vectors(bags: Bags) -> np.ndarray:
    """Mean token and expression side by side."""
    return np.hstack([np.stack([one.mean(0) for one in bags.tokens]), bags.rna])


def run(request: Request) -> Result:
    """Judge each variant against the whole objective, on ``datasets`` studies (1)."""
    world = replace(WORLD, **request.sizes(WORLD.patients, WORLD.events))
    tables = [_judge(world, request.seed + number, request.resamples) for number in range(request.datasets or 1)]
    rows = pd.concat(tables)
    oracle = float(rows["oracle"].mean())
    by_method = rows.groupby("method", sort=False)
    truth, apart = by_method["true_c"].mean(), by_method["true_difference"]
    figures = {f"true_{name}": float(value) for name, value in apart.mean().items() if name != WHOLE}
    if len(tables) > 1:
        error = apart.std(ddof=1) / np.sqrt(len(tables))
        figures |= {f"error_{name}": float(value) for name, value in error.items() if name != WHOLE}
    said = (
        f"{world.patients} patients, {world.events} events, {TOKENS} tokens of which {TISSUE:.0%} show the slide; an "
        f"oracle has C {oracle:.3f} on fresh patients. difference: to the whole objective.",
        "Parts are judged at this small size, by the frozen vectors' Cox regression alone.",
    )
    return Result(rows[["dataset", *SHOWN]], said, {"oracle": oracle, f"true_c_{WHOLE}": float(truth[WHOLE])} | figures)


def _judge(world: World, seed: int, resamples: int) -> pd.DataFrame:
    rng = np.random.default_rng([11, seed])
    study = simulate(world, rng)
    bags, fold = draw_bags(study, rng), draw_folds(study, rng)
    cells: list[Named] = []
    truth: dict[str, float] = {}
    for name, vectors_of in _methods(bags, seed).items():
        trained = _train(name, vectors_of, study, fold)
        truth[name] = true_c(trained, study)
        cells += cells_of(trained, study, fold, resamples, ["c_index"])
    rows = pd.DataFrame(with_verdicts(cells, WHOLE, 0.95)).assign(dataset=seed)
    rows["true_c"] = rows["method"].map(truth)
    rows["true_difference"] = rows["true_c"] - truth[WHOLE]
    return rows.assign(oracle=study.true_c(study.log_hazard))


def _methods(bags: Bags, seed: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Name -> vectors of all patients, given the training patients of a fold."""
    found: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        name: lambda train, changes=changes: pretrained_vectors(bags, train, changes, seed)  # type: ignore[misc]
        for name, changes in VARIANTS.items()
    }
    return found | {NONE: lambda _: mean_vectors(bags)}


def _train(name: str, vectors_of: Callable[[np.ndarray], np.ndarray], study: Study, fold: np.ndarray) -> Trained:
    risks = []
    for k in range(fold.max() + 1):
        rows = np.flatnonzero(fold != k)
        vectors = vectors_of(rows)
        risks.append(cox(vectors[rows], targets_of(study, rows), vectors))
    return Trained(name, np.stack(risks))
