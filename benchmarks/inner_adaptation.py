"""Tune adaptation on inner folds of real TCGA patients: encoders of one cohort on others; every trial is logged.

    python benchmarks/inner_adaptation.py --source brca --target coadread --target nsclc \\
      --trial '{"adapt": {"embedding_learning_rate": 2e-4}}'

As benchmarks/inner_folds.py, whose inner splits and log it shares: no evaluation patient of the published folds is
seen, of no cohort. The encoders are pretrained once a fold, on the source's inner training part at BASE; of a target,
RNA embedding and head are trained on its inner training part and judged on its inner held-out part. A trial changes
``adapt`` (learning rate and weight decay of the embedding) and ``probe`` (the head), as the config would; a learning
rate of 0 leaves the new embedding at random. Beside the trials: the simple models, and the head on slides alone.
On one core two minutes for the encoders, then half a minute a trial, target and fold.
"""

import time
from typing import Any

import numpy as np
from inner_folds import (
    BASE,
    Cohort,
    Inner,
    concat,
    embedded,
    fold_task_of,
    head,
    inner_split,
    note,
    parser_of,
    pretrained,
    read_cohort,
    scores,
    scores_of_rows,
    started,
)
from threadpoolctl import threadpool_limits

from mirrorflow.config.methods import PRETRAINED_FAMILIES
from mirrorflow.config.schema import fill_defaults, load_schema
from mirrorflow.learners.adapted import AdaptedVectors, adapt_and_predict
from mirrorflow.models.paired import PairedNetwork
from mirrorflow.probes.task import LAST, Targets
from mirrorflow.training.adaptation import AdaptedUnits

MIRRORS_OWN = ("prototypes", "attention")
"""Keys of BASE that the other families do not have."""


def section(name: str) -> dict[str, Any]:
    """A section of the config as the schema fills it."""
    schema = load_schema()
    return dict(fill_defaults(schema["properties"][name], {}, schema))


def base_of(family: str) -> dict[str, Any]:
    """BASE as ``family`` takes it."""
    return {key: value for key, value in BASE.items() if family == "mirror" or key not in MIRRORS_OWN}


def run_trial(
    cohort: Cohort, split: Inner, network: PairedNetwork, slides: np.ndarray, trial: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Scores of the source's ``network`` adapted under the trial's settings; ``slides`` [patient, width]."""
    started = time.perf_counter()
    method = {
        "family": "adapted",
        "probe": section("probe") | trial.get("probe", {}),
        "adapt": trial.get("adapt", {}),
    }

    def fit(train: np.ndarray, held_out: np.ndarray, targets: Targets, outputs: int) -> Any:
        units = [AdaptedUnits(slides[None, rows], split.genes[rows]) for rows in (train, held_out)]
        fold_task = fold_task_of(targets, outputs, seed)
        return adapt_and_predict(AdaptedVectors(network, *units), fold_task, method, LAST, device="cpu").prediction

    found = scores_of_rows(cohort, split, fit)
    return {"trial": trial, "seconds": round(time.perf_counter() - started, 1), "scores": {"adapted": found}}


def main() -> None:
    parser = parser_of(__doc__)
    parser.set_defaults(folds=[0])
    parser.add_argument("--source", default="brca")
    parser.add_argument("--target", action="append", required=True)
    parser.add_argument("--family", default="mirror", choices=PRETRAINED_FAMILIES)
    options = started(parser)
    cohorts = {name: read_cohort(name) for name in (options.source, *options.target)}
    with threadpool_limits(options.threads, user_api="blas"):
        for fold in options.folds:
            splits = {
                name: inner_split(cohort, name, fold, options.threads, options.min_genes)
                for name, cohort in cohorts.items()
            }
            source = cohorts[options.source], splits[options.source]
            network, training, _ = pretrained(*source, base_of(options.family), options.seed, options.family)
            for name in options.target:
                cohort, split = cohorts[name], splits[name]
                slides = embedded(cohort, None, network, training, options.seed).slide[0]
                base = {"cohort": f"{name}--from--{options.source}", "family": options.family, "fold": fold}
                base["genes"] = split.genes.shape[1]
                alone = {"slides alone": scores(cohort, split, slides, head({}))}
                note(options.log, base | {"trial": "concat", "scores": concat(cohort, split) | alone})
                for trial in options.trial:
                    note(options.log, base | run_trial(cohort, split, network, slides, trial, options.seed))


if __name__ == "__main__":
    main()
