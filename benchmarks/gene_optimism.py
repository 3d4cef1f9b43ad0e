"""What choosing genes on the whole cohort, as published, buys: accuracy of a linear SVM on real patients.

    python benchmarks/gene_optimism.py [--cohorts brca nsclc coadread] [--min-features 1 200] [--threads 2]

../shared/tcga, the 5 published folds: genes chosen within the fold (RFECV in 5% steps on training patients), all
genes, and genes chosen on the whole cohort (evaluation labels seen). Then the same with the labels shuffled: there is
nothing to learn, so that whatever lies above the majority class is the protocol's own. A table for each smallest number
of genes that may be chosen: RFECV's accuracy alone often leaves one, the paper keeps thousands. Tables are Markdown;
figures come last, as name=value.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.expression.cross_validation import EliminationSettings, eliminate_cv, stratified_folds
from mirrorflow.expression.elimination import eliminate
from mirrorflow.expression.scaling import RnaScaler
from mirrorflow.store.tables import read_folds

TCGA = Path(__file__).parents[2] / "shared" / "tcga"
COHORTS = ("brca", "nsclc", "coadread")
FOLDS, CLIP = 5, 10.0
ALL, IN_FOLD, COHORT = "all genes", "chosen in the fold", "chosen on the cohort"


def read_cohort(cohort: str) -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Expression [patient, gene], labels, patients and genes of the labelled patients."""
    table = pd.read_csv(TCGA / cohort / "rna.tsv.gz", sep="\t", index_col=0)
    table.columns = table.columns.str[:12]
    clinical = pd.read_csv(TCGA / cohort / "clinical.tsv", sep="\t").set_index("case_id")["subtype"].dropna()
    patients = [patient for patient in table.columns if patient in clinical.index]
    labels = clinical[patients].to_numpy(dtype=str)
    return table[patients].to_numpy(np.float32).T, labels, patients, table.index.to_numpy(dtype=object)


def measure(cohort: str, threads: int, fewest: int, *, shuffled: bool) -> Iterator[dict[str, Any]]:
    """A row a fold and source of genes."""
    values, labels, patients, ids = read_cohort(cohort)
    if shuffled:
        labels = np.random.default_rng(0).permutation(labels)
    place = {patient: row for row, patient in enumerate(patients)}
    for number, fold in enumerate(read_folds(TCGA / cohort / "splits", FOLDS)):
        train, evaluation = (
            np.array([place[patient] for patient in side if patient in place]) for side in (fold.train, fold.val)
        )
        scaled = RnaScaler.fit(values[train], scaling="train", clip=CLIP).transform(values)
        sources = {
            ALL: np.ones(len(ids), dtype=bool),
            IN_FOLD: chosen(scaled, labels, train, ids, threads, fewest),
            COHORT: chosen(scaled, labels, np.arange(len(labels)), ids, threads, fewest),
        }
        for source, kept in sources.items():
            machine = eliminate(scaled[train][:, kept], labels[train], ids=ids[kept], n_features=int(kept.sum()))
            decisions = scaled[evaluation][:, kept] @ machine.coefficients.T + machine.intercepts
            predicted = machine.classes[(decisions[:, 0] > 0).astype(int)]
            yield {
                "cohort": cohort,
                "labels": "shuffled" if shuffled else "real",
                "genes": source,
                "fold": number,
                "count": int(kept.sum()),
                "accuracy": float(np.mean(predicted == labels[evaluation])),
                "majority": float(np.mean(labels[evaluation] == most_frequent(labels[train]))),
            }


def chosen(
    values: np.ndarray, labels: np.ndarray, seen: np.ndarray, ids: np.ndarray, threads: int, fewest: int
) -> np.ndarray:
    """Genes that recursive elimination with cross-validation keeps on the patients ``seen``."""
    folds = stratified_folds(labels[seen], FOLDS)
    how = EliminationSettings(min_features=fewest)
    result = eliminate_cv(values[seen], labels[seen], ids=ids, folds=folds, how=how, threads=threads)
    return result.elimination.kept


def most_frequent(labels: np.ndarray) -> str:
    """The majority class."""
    names, counts = np.unique(labels, return_counts=True)
    return str(names[counts.argmax()])


def to_markdown(table: pd.DataFrame) -> str:
    """One line a cohort and kind of labels; accuracy as mean and standard deviation (ddof 1) over folds."""
    lines = [
        "| cohort | labels | majority | all genes | chosen in the fold (n) | chosen on the cohort (n) | optimism |"
    ]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for (cohort, labels), part in table.groupby(["cohort", "labels"], sort=False):
        by_source = part.set_index("genes")
        cells = [
            f"{by_source['mean'][source]:.3f} ± {by_source['sd'][source]:.3f}"
            + ("" if source == ALL else f" ({by_source['count'][source]:.0f})")
            for source in (ALL, IN_FOLD, COHORT)
        ]
        gain = by_source["mean"][COHORT] - by_source["mean"][IN_FOLD]
        lines.append(f"| {cohort} | {labels} | {part['majority'].iloc[0]:.3f} | {' | '.join(cells)} | {gain:+.3f} |")
    return "\n".join(lines)


def summarise(cohorts: Sequence[str], threads: int, fewest: int) -> pd.DataFrame:
    """Mean and standard deviation over folds, real and shuffled labels."""
    rows = [
        row
        for cohort in cohorts
        for shuffled in (False, True)
        for row in measure(cohort, threads, fewest, shuffled=shuffled)
    ]
    return (
        pd.DataFrame(rows)
        .groupby(["cohort", "labels", "genes"], sort=False, as_index=False)
        .agg(
            count=("count", "median"), mean=("accuracy", "mean"), sd=("accuracy", "std"), majority=("majority", "mean")
        )
    )


def optimism(table: pd.DataFrame, ending: str) -> dict[str, float]:
    """Accuracy on genes chosen on the cohort less that on genes chosen in the fold."""
    means = table.set_index(["cohort", "labels", "genes"])["mean"]
    pairs = dict.fromkeys(zip(table["cohort"], table["labels"], strict=True))
    return {
        f"optimism_{cohort}{'_shuffled' * (labels == 'shuffled')}{ending}": means[cohort, labels, COHORT]
        - means[cohort, labels, IN_FOLD]
        for cohort, labels in pairs
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", nargs="+", default=COHORTS, choices=COHORTS)
    parser.add_argument("--min-features", type=int, nargs="+", default=[1, 200], help="fewest genes that may be chosen")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if not TCGA.exists():
        print(f"gene_optimism=skipped: {TCGA} is absent")
        return
    figures: dict[str, float] = {}
    for fewest in arguments.min_features:
        table = summarise(arguments.cohorts, arguments.threads, fewest)
        print(f"At least {fewest} genes:\n\n{to_markdown(table)}\n", flush=True)
        figures |= optimism(table, "" if fewest == 1 else f"_at_least_{fewest}")
    for name, value in figures.items():
        print(f"{name}={value:.4f}")


if __name__ == "__main__":
    main()
