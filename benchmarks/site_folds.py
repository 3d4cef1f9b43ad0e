"""What it is worth to part patients by site, too, inside the gene elimination (`rfe.cv_by`), on real patients.

    python benchmarks/site_folds.py [--cohort brca] [--seeds 0] [--threads 1]

../shared/tcga, site-preserved folds of the cohort's labelled patients. Within each, recursive elimination with
cross-validation chooses genes twice: its inner folds by label (sites mix) and by site. Told are the genes kept, the
inner score that chose them, and accuracy and balanced accuracy on the fold's evaluation patients, whose sites nobody
has seen. Optimism is the inner score less that accuracy. A table first, then name=value lines.
"""

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from gene_optimism import CLIP, FOLDS, read_cohort
from sklearn.metrics import balanced_accuracy_score

from mirrorflow.cohorts.folds import site_preserved_folds
from mirrorflow.cohorts.patients import barcode_sites
from mirrorflow.expression.cross_validation import eliminate_cv, site_folds, stratified_folds
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.expression.svm import predict


def measure(cohort: str, seed: int, threads: int) -> Iterator[dict[str, Any]]:
    """A row a fold and way of parting."""
    values, labels, patients, ids = read_cohort(cohort)
    sites = barcode_sites(pd.Series(patients)).to_numpy()
    frame = pd.DataFrame({"patient": patients, "label": labels, "site": sites, "time_days": np.nan, "event": np.nan})
    place = {patient: row for row, patient in enumerate(patients)}
    for number, fold in enumerate(site_preserved_folds(frame, FOLDS, seed)):
        train, evaluation = (np.array([place[name] for name in side]) for side in (fold.train, fold.val))
        scaled = RnaScaler.fit(values[train], scaling="train", clip=CLIP).transform(values)
        for by, folds in (
            ("label", stratified_folds(labels[train], FOLDS)),
            ("site", site_folds(labels[train], sites[train], FOLDS)),
        ):
            found = eliminate_cv(scaled[train], labels[train], ids=ids, folds=folds, threads=threads)
            machine = found.elimination
            decisions = scaled[evaluation] @ machine.coefficients.T + machine.intercepts
            predicted = predict(decisions.T, machine.classes)
            yield {
                "seed": seed,
                "fold": number,
                "by": by,
                "inner folds": len(folds),
                "genes": found.n_features,
                "inner score": float(found.scores.mean(axis=0).max()),
                "accuracy": float(np.mean(predicted == labels[evaluation])),
                "balanced": float(balanced_accuracy_score(labels[evaluation], predicted)),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", default="brca")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    rows = pd.DataFrame([row for seed in options.seeds for row in measure(options.cohort, seed, options.threads)])
    rows["optimism"] = rows["inner score"] - rows["accuracy"]
    print(rows.round(3).to_string(index=False))
    wide = rows.pivot_table(index=["seed", "fold"], columns="by")
    for name in ("genes", "inner score", "accuracy", "balanced", "optimism"):
        for by in ("label", "site"):
            print(f"{options.cohort}_{name.replace(' ', '_')}_by_{by}={wide[name][by].mean():.4f}")
        difference = wide[name]["site"] - wide[name]["label"]
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        print(f"{options.cohort}_{name.replace(' ', '_')}_difference={difference.mean():+.4f}+-{error:.4f}")


if __name__ == "__main__":
    main()
