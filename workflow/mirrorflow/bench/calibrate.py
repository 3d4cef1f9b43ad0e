"""How often verdicts are wrong, and what they find, at the 36 to 58 events of a TCGA cohort's five folds.

Two ridge Cox regressions see different noisy views of the same signal: slides and RNA. With equal noise neither is
better, by symmetry. Every data set is drawn, trained and judged anew, by the code that judges a run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.bench.simulate import World, simulate
from mirrorflow.bench.trials import Method, cells_of, cox, draw_folds, train, true_c
from mirrorflow.evaluation import with_verdicts

EVENTS = (36, 58)
RESAMPLES = 1000
VIEW = World(
    patients=240, events=47, fresh=2000, shared=1.2, slide_only=0.0, rna_only=0.0, interaction=0.0, null=0.0,
    sites=1, slide_dim=12, rna_dim=12, slide_noise=1.5, rna_noise=1.5,
)  # fmt: skip
"""Both views alike: C of 0.67 each, by an oracle that knows the hazard 0.75."""
BETTER_RNA: Mapping[str, dict[str, Any]] = {
    "0.05": {"rna_noise": 0.7},
    "0.10": {"slide_noise": 2.3, "rna_noise": 0.6},
}
"""Noise with which the RNA view is better by about as much; the difference itself is measured."""
REFERENCE, OTHER = "slide-view", "rna-view"
VIEWS = {REFERENCE: Method(lambda study: study.slides, cox), OTHER: Method(lambda study: study.rna, cox)}
COLUMNS = (
    *("dataset", "metric", "mean", "ci_low", "ci_high", "difference", "difference_low", "difference_high"),
    *("p_value", "p_t_test", "verdict", "detectable", "truth", "other_truth"),
)


@dataclass(frozen=True)
class Figures:
    """What many data sets say of the rule. Shares have the standard error of their data sets."""

    datasets: int
    difference: float
    """True one: mean over data sets of C on fresh patients."""
    found: float
    """Share with a verdict better or worse."""
    right: float
    """Share with the verdict of the true sign."""
    by_bootstrap: float
    by_t_test: float
    coverage_value: float
    """Share of intervals of C that hold its expectation, of both methods."""
    coverage_difference: float
    detectable: float
    """Median."""

    def error(self, share: float) -> float:
        """Standard error of a share."""
        return float(np.sqrt(share * (1 - share) / self.datasets))


def study_rows(world: World, seed: int, resamples: int = RESAMPLES) -> Iterator[dict[str, Any]]:
    """One data set: a row a metric for each method, with the true C of both on fresh patients."""
    rng = np.random.default_rng([7, seed])
    study = simulate(world, rng)
    fold = draw_folds(study, rng)
    trained = {name: train(name, method, study, fold) for name, method in VIEWS.items()}
    truths = {name: true_c(one, study) for name, one in trained.items()}
    metrics = ("c_index", "c_index_pairs")
    cells = [cell for one in trained.values() for cell in cells_of(one, study, fold, resamples, metrics, seed)]
    for row in with_verdicts(cells, REFERENCE, 0.95):
        name = str(row["method"])
        other = next(key for key in truths if key != name)
        known = {"dataset": seed, "truth": truths[name], "other_truth": truths[other]}
        yield {"method": name} | {key: (known | row)[key] for key in COLUMNS}


def run_studies(world: World, seeds: range, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Rows of many data sets."""
    return pd.DataFrame([row for seed in seeds for row in study_rows(world, seed, resamples)])


def figures_of(rows: pd.DataFrame, metric: str = "c_index", level: float = 0.05) -> Figures:
    """What the data sets say by one metric. Truths are expectations: means over data sets."""
    mine = rows[rows["metric"] == metric]
    compared = mine[mine["method"] == OTHER]
    expected = mine.groupby("method")["truth"].mean()
    difference = float(expected[OTHER] - expected[REFERENCE])
    sign = "better" if difference > 0 else "worse"
    truth = mine["method"].map(expected)
    low, high = compared["difference_low"], compared["difference_high"]
    return Figures(
        len(compared),
        difference,
        float(compared["verdict"].isin(["better", "worse"]).mean()),
        float((compared["verdict"] == sign).mean()),
        float((compared["p_value"] < level).mean()),
        float((compared["p_t_test"] < level).mean()),
        float(((mine["ci_low"] <= truth) & (truth <= mine["ci_high"])).mean()),
        float(((low <= difference) & (difference <= high)).mean()),
        float(compared["detectable"].median()),
    )


def equal_worlds() -> list[World]:
    """Equally good methods at the fewest and the most events."""
    return [replace(VIEW, events=events) for events in EVENTS]


def better_world(size: str) -> World:
    """A world in which one method is better by ``size``, at 47 events."""
    return replace(VIEW, **BETTER_RNA[size])
