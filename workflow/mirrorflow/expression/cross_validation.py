"""Recursive feature elimination with cross-validation: how many genes to keep.

As scikit-learn's ``RFECV``: every fold eliminates on its own training part and is scored on the rest after
each fit; the number of genes with the highest sum of scores wins, the smaller one where several are equal;
and all samples are eliminated down to that number.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from threadpoolctl import threadpool_limits

from mirrorflow.config.expression_settings import Rfe
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.elimination import Elimination, Step, eliminate_in, shortened
from mirrorflow.expression.sample_space import Array, SampleSpace
from mirrorflow.expression.svm import predict

logger = logging.getLogger(__name__)

SCORES = {
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "f1_macro": lambda truth, predicted: f1_score(truth, predicted, average="macro", zero_division=0),
}

GRAM_PARTS = 8

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Positions of the samples that are fitted, and of those that are scored."""


@dataclass(frozen=True)
class CrossValidation:
    """The elimination on all samples, and the scores that chose its number of genes.

    counts: numbers of genes, from all down; scores [fold, count].
    """

    elimination: Elimination
    counts: list[int]
    scores: Array

    @property
    def n_features(self) -> int:
        """The number of genes chosen."""
        return best_count(self.counts, self.scores)


def best_count(counts: Sequence[int], scores: Array) -> int:
    """Highest sum of ``scores`` [fold, count]; the smallest number of genes where several are equal."""
    fewest_first = np.sum(scores, axis=0)[::-1]
    return int(counts[::-1][int(np.argmax(fewest_first))])


def possible_folds(labels: Sequence[str] | NDArray, wanted: int) -> int:
    """``wanted`` folds, or as many as the smallest class has samples, with a warning in the log.

    Raises InputError naming the class when one has fewer than two samples, or when there is one class only.
    """
    sizes = Counter(str(label) for label in labels)
    name, smallest = min(sizes.items(), key=lambda item: (item[1], item[0]))
    if len(sizes) < 2:
        message = f"all {smallest} labelled training patients are {name!r}: nothing to separate; use method: variance"
        raise InputError(message)
    if smallest < 2:
        message = (
            f"class {name!r} has {smallest} labelled training patient: cross-validation needs 2 in each class; "
            "merge or leave out the class, or select genes without labels (expression.selection.method: variance)"
        )
        raise InputError(message)
    if smallest < wanted:
        logger.warning("class %r has %d patients: %d folds instead of %d", name, smallest, smallest, wanted)
    return min(wanted, smallest)


def stratified_folds(labels: Sequence[str] | NDArray, n_folds: int) -> list[Fold]:
    """scikit-learn's stratified folds in the samples' own order (unshuffled, as RFECV makes them)."""
    labels = np.asarray(labels)
    return list(StratifiedKFold(possible_folds(labels, n_folds)).split(np.zeros(len(labels)), labels))


def site_folds(labels: Sequence[str] | NDArray, sites: Sequence[str] | NDArray, n_folds: int) -> list[Fold]:
    """Folds in which no site is fitted and scored, balanced by label as far as sites allow.

    As many as ``n_folds`` and as every class has sites, with a warning where that is less, and where a class is in all
    fitted parts. Raises InputError naming samples without a site, or a class in one site alone.
    """
    labels, sites = np.asarray(labels, dtype=str), np.asarray(sites, dtype=str)
    if unknown := int((sites == "").sum()):
        message = f"rfe.cv_by: site: {unknown} labelled patients have no site; give a `site`, or set cv_by: label"
        raise InputError(message)
    places = {str(name): len(set(sites[labels == name])) for name in np.unique(labels)}
    name, fewest = min(places.items(), key=lambda item: (item[1], item[0]))
    for count in range(min(n_folds, fewest, possible_folds(labels, n_folds)), 1, -1):
        folds = list(StratifiedGroupKFold(count).split(np.zeros(len(labels)), labels, sites))
        if all(set(labels[fitted]) == set(places) for fitted, _ in folds):
            if count < n_folds:
                logger.warning("class %r is in %d sites: %d folds by site instead of %d", name, fewest, count, n_folds)
            return folds
    message = (
        f"rfe.cv_by: site: class {name!r} is in {fewest} sites of the labelled training patients, which cannot be "
        "parted so that every class is fitted; set cv_by: label"
    )
    raise InputError(message)


@dataclass(frozen=True)
class EliminationSettings:
    """How genes are eliminated: the machine's C, how many leave at a time, the fewest, what counts on other samples.

    Raises ConfigError for an unknown scoring.
    """

    C: float = Rfe.C
    step: Step = field(default_factory=Step)
    min_features: int = 1
    scoring: str = "accuracy"

    def __post_init__(self) -> None:
        if self.scoring not in SCORES:
            message = f"rfe.scoring: {self.scoring!r} is not one of {', '.join(SCORES)}"
            raise ConfigError(message)


PUBLISHED = EliminationSettings()


def eliminate_cv(
    X: NDArray,
    y: Sequence[str] | NDArray,
    *,
    ids: Sequence[str],
    folds: Iterable[Fold],
    how: EliminationSettings = PUBLISHED,
    threads: int = 1,
    samples: Sequence[str] | None = None,
) -> CrossValidation:
    """Choose how many genes of ``X`` [sample, gene] to keep, and which.

    y: one label a sample; ids, samples: names of genes (they break ties) and samples (for messages).
    Folds run beside each other on ``threads`` cores. Raises InputError for values that are not finite.
    """
    labels, folds = np.asarray(y), list(folds)
    space = SampleSpace(X, ids, samples)
    everyone = np.ones(len(labels), dtype=bool)
    # BLAS's own threads wait for each other by spinning: several single-threaded paths are far quicker.
    with threadpool_limits(1), ThreadPoolExecutor(max_workers=threads) as pool:
        gram = _full_gram(space, pool)
        common: dict[str, Any] = {"C": how.C, "step": how.step, "n_features": how.min_features, "gram": gram}
        scored = [pool.submit(_score_fold, space, labels, fold, how.scoring, common) for fold in folds]
        whole = pool.submit(eliminate_in, space, labels, train=everyone, **common).result()
        scores = np.array([fold.result() for fold in scored])
        chosen = best_count(whole.counts, scores)
        elimination = shortened(space, labels, whole, n_features=chosen, C=how.C)
    return CrossValidation(elimination, whole.counts, scores)


def _full_gram(space: SampleSpace, pool: ThreadPoolExecutor) -> Array:
    """The Gram matrix over all genes, in parts that do not depend on the number of threads."""
    return np.sum(list(pool.map(space.gram, np.array_split(np.arange(space.n_genes), GRAM_PARTS))), axis=0)


def _score_fold(space: SampleSpace, labels: NDArray, fold: Fold, scoring: str, common: dict[str, Any]) -> list[float]:
    """Scores on the fold's other samples after each fit of its elimination."""
    fitted, scored = fold
    train = np.zeros(len(labels), dtype=bool)
    train[fitted] = True
    classes, scores = np.unique(labels[train]), []

    def on_fit(_: int, decisions: Array) -> None:
        scores.append(float(SCORES[scoring](labels[scored], predict(decisions[:, scored], classes))))

    eliminate_in(space, labels, train=train, on_fit=on_fit, **common)
    return scores
