"""Tune the supervised methods on inner folds of real TCGA training patients; every trial is logged.

    python benchmarks/inner_supervised.py --cohort coadread --method survpath --trial '{"train": {"epochs": 10}}'

As benchmarks/inner_folds.py, whose inner splits and log it shares: no evaluation patient of the published folds is
seen. A trial changes the method's settings (``train``, ``network``) as a config's entry would. ``--shots 10`` trains on
so many patients of each class. One to two minutes a trial and fold on one core.
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from inner_folds import DATA, Cohort, Inner, fold_task_of, log_trials, parser_of, scores_of_rows, started

from mirrorflow.config.methods import METHODS, NETWORKS
from mirrorflow.expression.gene_sets import parse_gene_sets
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.learners.inputs.bagged import FoldBags, GeneSets, match_sets
from mirrorflow.learners.network import train_and_predict
from mirrorflow.probes.task import LAST, Targets
from mirrorflow.store.gene_lists import read_list
from mirrorflow.training.bags import ArrayBags, SomeBags, patch_moments
from mirrorflow.training.supervised import Units

DRAWS = 5
"""Support sets that a trial with few shots is scored on."""
HALLMARKS = DATA.parent / "gene_sets" / "hallmarks.csv"


def method_settings(name: str, trial: dict[str, Any]) -> dict[str, Any]:
    """The method's defaults with the trial's on top."""
    method = METHODS[name].resolved(name, {})
    return method | {key: {**method[key], **trial.get(key, {})} for key in ("train", "network")}


def expression_of(cohort: Cohort, split: Inner, method: dict[str, Any]) -> tuple[np.ndarray, GeneSets]:
    """Scaled genes [patient, gene] that the method sees, and its gene sets."""
    if "rna" not in method["inputs"]:
        return np.zeros((len(cohort.bags), 0), np.float32), ()
    if "gene_sets" not in method:
        return split.genes, ()
    sets = parse_gene_sets(read_list(HALLMARKS, "gene_sets"), where=str(HALLMARKS))
    ids, places = match_sets(sets, cohort.gene_ids, cohort.gene_ids, where=str(HALLMARKS))
    columns = [cohort.gene_ids.index(gene) for gene in ids]
    raw = cohort.expression[:, columns]
    return RnaScaler.fit(raw[split.train], scaling="train", clip=10.0).transform(raw), places


def run_trial(
    cohort: Cohort, split: Inner, name: str, trial: dict[str, Any], seed: int, shots: int | None
) -> dict[str, Any]:
    """Scores of the method under the trial's settings; with ``shots`` their means over :data:`DRAWS` support sets."""
    started = time.perf_counter()
    method = method_settings(name, trial)
    genes, sets = expression_of(cohort, split, method)
    bags = ArrayBags(cohort.bags)
    moments = patch_moments(SomeBags(bags, split.train))

    def fit(train: np.ndarray, held_out: np.ndarray, targets: Targets, outputs: int) -> Any:
        parts = [Units(SomeBags(bags, rows), genes[rows]) for rows in (train, held_out)]
        inputs = FoldBags(parts[0], parts[1], cohort.bags[0].shape[1], moments, sets)
        return train_and_predict(inputs, fold_task_of(targets, outputs, seed), method, LAST, device="cpu").prediction

    draws = range(DRAWS if shots else 1)
    found = pd.DataFrame([scores_of_rows(cohort, split, fit, shots=shots, seed=seed + draw) for draw in draws]).mean()
    seconds = round(time.perf_counter() - started, 1)
    return {"method": name, "trial": trial, "shots": shots, "seconds": seconds, "scores": {name: found.to_dict()}}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--cohort", default="brca")
    parser.add_argument("--method", action="append", required=True, choices=NETWORKS)
    parser.add_argument("--shots", type=int, help="train on so many patients of each class, or bin of survival")
    options = started(parser)

    def trials(cohort: Cohort, split: Inner) -> Iterator[dict[str, Any]]:
        for name in options.method:
            for trial in options.trial:
                yield run_trial(cohort, split, name, trial, options.seed, options.shots)

    log_trials(options, trials)


if __name__ == "__main__":
    main()
