"""What the parts of a method are worth where the truth is known: variants on one study, judged against the whole.

Each patient has a bag of tokens, a share of which shows the slide's features (the others are background), and an
expression profile.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from mirrorflow.bench.request import Request
from mirrorflow.bench.scenarios import Result
from mirrorflow.bench.simulate import Study, World, simulate
from mirrorflow.bench.trials import Trained, cells_of, cox, draw_folds, targets_of, true_c
from mirrorflow.evaluation import with_verdicts
from mirrorflow.evaluation.verdicts import Named

TOKENS, TISSUE = 24, 0.4
"""Tokens of a bag, and the share of them that shows the slide's features."""
WHOLE, MEANS = "whole", "linear-on-means"
SHOWN = ("method", "true_c", "mean", "ci_low", "ci_high", "difference", "true_difference", "p_holm", "verdict")


@dataclass(frozen=True)
class Bags:
    """A study with its slides as bags of tokens."""

    study: Study
    tokens: list[np.ndarray]
    rna: np.ndarray

    def means(self) -> np.ndarray:
        """Mean token and expression side by side [patient, feature]."""
        return np.hstack([np.stack([one.mean(0) for one in self.tokens]), self.rna])

    def scaled_genes(self, train: np.ndarray) -> np.ndarray:
        """Expression [patient, gene] by the training patients' mean and deviation."""
        return np.asarray((self.rna - self.rna[train].mean(0)) / self.rna[train].std(0), dtype=np.float32)


Variant = Callable[[Bags, np.ndarray, int], np.ndarray]
"""Bags, training patients, seed -> risk of all patients."""


def draw_bags(study: Study, rng: np.random.Generator) -> Bags:
    """Tokens [token, feature] a patient: some show the features, the rest is background of the same scale."""
    shape = (len(study.slides), TOKENS, study.slides.shape[1])
    shows = rng.random(shape[:2]) < TISSUE
    tokens = rng.standard_normal(shape) + np.where(shows[..., None], study.slides[:, None, :], 0.0)
    return Bags(study, list(tokens.astype(np.float32)), study.rna.astype(np.float32))


def cox_on(vectors: np.ndarray, bags: Bags, train: np.ndarray) -> np.ndarray:
    """Risk of all patients by a ridge Cox regression of ``vectors`` [patient, feature] on the training patients."""
    return cox(vectors[train], targets_of(bags.study, train), vectors)


def linear_on_means(bags: Bags, train: np.ndarray, seed: int) -> np.ndarray:
    """What needs no network: the regression on mean tokens and expression."""
    return cox_on(bags.means(), bags, train)


def judge_parts(world: World, variants: Mapping[str, Variant], request: Request, said: str) -> Result:
    """Judge each variant against WHOLE on ``datasets`` studies (1).

    The figures: C of the whole on fresh patients, and what each variant has more or less there, with the standard error
    of several studies.
    """
    world = replace(world, **request.sizes(world.patients, world.events))
    seeds = range(request.seed, request.seed + (request.datasets or 1))
    rows = pd.concat([_judge(world, variants, seed, request.resamples) for seed in seeds])
    oracle = float(rows["oracle"].mean())
    by_method = rows.groupby("method", sort=False)
    truth, apart = by_method["true_c"].mean(), by_method["true_difference"]
    figures = {"oracle": oracle, f"true_c_{WHOLE}": float(truth[WHOLE])}
    figures |= {f"true_{name}": float(value) for name, value in apart.mean().items() if name != WHOLE}
    if len(seeds) > 1:
        error = apart.std(ddof=1) / np.sqrt(len(seeds))
        figures |= {f"error_{name}": float(value) for name, value in error.items() if name != WHOLE}
    sizes = (
        f"{world.patients} patients, {world.events} events, {TOKENS} tokens of which {TISSUE:.0%} show the slide; an "
        f"oracle has C {oracle:.3f} on fresh patients. difference: to the whole."
    )
    return Result(rows[["dataset", *SHOWN]], (sizes, said), figures)


def _judge(world: World, variants: Mapping[str, Variant], seed: int, resamples: int) -> pd.DataFrame:
    rng = np.random.default_rng([11, seed])
    study = simulate(world, rng)
    bags, fold = draw_bags(study, rng), draw_folds(study, rng)
    cells: list[Named] = []
    truth: dict[str, float] = {}
    for name, variant in variants.items():
        risks = [variant(bags, np.flatnonzero(fold != k), seed) for k in range(fold.max() + 1)]
        trained = Trained(name, np.stack(risks))
        truth[name] = true_c(trained, study)
        cells += cells_of(trained, study, fold, resamples, ["c_index"])
    rows = pd.DataFrame(with_verdicts(cells, WHOLE, 0.95)).assign(dataset=seed)
    rows["true_c"] = rows["method"].map(truth)
    rows["true_difference"] = rows["true_c"] - truth[WHOLE]
    return rows.assign(oracle=study.true_c(study.log_hazard))
