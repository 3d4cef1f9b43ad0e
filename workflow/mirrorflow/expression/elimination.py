"""Recursive feature elimination, exact and in sample space (Eq. 2 and 3 of MIRROR).

Fit a squared-hinge linear SVM, drop the genes with the smallest squared weights (summed over the machines
of one-vs-rest), fit again. The n x n Gram matrix is updated as genes leave, so that a fit costs a few
Cholesky solves however many genes remain. The same genes leave as with a fully converged ``LinearSVC``;
ties leave in the order of their ids.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from mirrorflow.config.expression_settings import Rfe
from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.one_by_one import OneByOne
from mirrorflow.expression.sample_space import Array, Genes, SampleSpace
from mirrorflow.expression.svm import fit_duals, one_vs_rest

OnFit = Callable[[int, Array], None]
"""Called after each fit with the number of genes and the decision values [machine, sample] of all samples."""

DOWNDATES_BEFORE_AFRESH = 64
"""Rounding of the running Gram matrix stays below 1e-13 of its size when it is summed anew this often."""


@dataclass(frozen=True)
class Step:
    """How many genes leave at a time.

    size: a fraction in (0, 1) of the genes ``of`` "original" (scikit-learn's) or "remaining", or a whole
    number (1 is Eq. 3 of MIRROR). Raises ConfigError for anything else.
    """

    size: float = 0.05
    of: str = "original"

    def __post_init__(self) -> None:
        if self.of not in ("original", "remaining"):
            message = f"step_of: {self.of!r} is neither 'original' nor 'remaining'"
            raise ConfigError(message)
        if self.size <= 0 or (self.size >= 1 and self.size != int(self.size)):
            message = f"step: {self.size!r} is neither a fraction between 0 and 1 nor a whole number"
            raise ConfigError(message)

    def counts(self, n_genes: int, n_features: int) -> list[int]:
        """Numbers of genes the machine is fitted with, from all of them down to ``n_features``."""
        counts = [n_genes]
        while counts[-1] > n_features:
            whole = n_genes if self.of == "original" else counts[-1]
            size = int(max(1, self.size * whole)) if self.size < 1 else int(self.size)
            counts.append(max(n_features, counts[-1] - size))
        return counts


@dataclass(frozen=True)
class Elimination:
    """What is left, and in which order the others went.

    ranking [gene]: 1 for the kept, 2 for those that left last, and so on (scikit-learn's ``ranking_``);
    coefficients [machine, gene]: weights of the final fit, 0 for the eliminated; intercepts [machine];
    classes; counts: numbers of genes of all fits.
    """

    ranking: NDArray[np.int64]
    coefficients: Array
    intercepts: Array
    classes: NDArray
    counts: list[int]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """The genes of the final fit [gene]."""
        return self.ranking == 1


def eliminate(
    X: NDArray,
    y: Sequence[str] | NDArray,
    *,
    ids: Sequence[str],
    C: float = Rfe.C,
    step: Step | None = None,
    n_features: int = 1,
    on_fit: OnFit | None = None,
) -> Elimination:
    """Eliminate genes of ``X`` [sample, gene] until ``n_features`` are left.

    y: one label a sample, two or more classes; ids: one a gene, unique, they break ties.
    Raises InputError for values that are not finite, repeated ids or a single class.
    """
    labels = np.asarray(y)
    space = SampleSpace(X, ids)
    everyone = np.ones(len(labels), dtype=bool)
    step = step or Step()
    # Many small calls: BLAS's own threads would spend their time waiting for each other.
    with threadpool_limits(1):
        return eliminate_in(space, labels, train=everyone, C=C, step=step, n_features=n_features, on_fit=on_fit)


def eliminate_in(
    space: SampleSpace,
    labels: NDArray,
    *,
    train: NDArray[np.bool_],
    C: float,
    step: Step,
    n_features: int,
    on_fit: OnFit | None = None,
    gram: Array | None = None,
) -> Elimination:
    """The same on a shared :class:`SampleSpace`: ``train`` [sample] are fitted, the others only decided.

    ``gram``: the space's full Gram matrix where it is known already; left as it is.
    """
    path = _Path(space, labels, train, C, gram)
    counts = step.counts(space.n_genes, n_features)
    if step.size == 1:
        path.leave_one_by_one(n_features, on_fit)
    else:
        for count in counts[1:]:
            path.fit(on_fit)
            path.leave(len(path.remaining) - count)
    path.fit(on_fit)
    return path.result(counts)


def shortened(space: SampleSpace, labels: NDArray, whole: Elimination, *, n_features: int, C: float) -> Elimination:
    """The elimination as if it had stopped at ``n_features``, one of the counts of ``whole``."""
    fits = whole.counts.index(n_features) + 1
    ranking = np.maximum(1, whole.ranking - (len(whole.counts) - fits))
    kept = np.flatnonzero(ranking[space.order] == 1)
    duals = fit_duals(1 + space.gram(kept), one_vs_rest(labels, whole.classes), C=C)
    coefficients = np.zeros_like(whole.coefficients)
    coefficients[:, space.order[kept]] = space.weights(kept, duals)
    return Elimination(ranking, coefficients, duals.sum(axis=1), whole.classes, whole.counts[:fits])


class _Path:
    """One descent: the genes that remain, the training samples' Gram matrix, the machines' duals and weights."""

    def __init__(
        self,
        space: SampleSpace,
        labels: NDArray,
        train: NDArray[np.bool_],
        C: float,
        gram: Array | None,
    ) -> None:
        self.space, self.train, self.C = space, train, C
        self.classes = np.unique(labels[train])
        if len(self.classes) < 2:
            message = f"one class only ({', '.join(map(str, self.classes))}): nothing to separate"
            raise InputError(message)
        self.signs = one_vs_rest(labels[train], self.classes)
        self.remaining: Genes = np.arange(space.n_genes)
        self.left_at = np.zeros(space.n_genes, dtype=np.int64)
        self.steps, self.downdates = 0, 0
        self.gram = 1 + (space.gram(self.remaining, train) if gram is None else gram[np.ix_(train, train)])
        self.whole = gram
        self.duals = np.zeros((len(self.signs), space.n_samples))
        self.weights = np.zeros((len(self.signs), space.n_genes))
        self.twins = space.twins(train)

    def fit(self, on_fit: OnFit | None) -> None:
        """Fit the machines on the genes that remain, from where the last fit ended."""
        self.duals[:, self.train] = fit_duals(self.gram, self.signs, C=self.C, start=self.duals[:, self.train])
        weights, decisions = self.space.weights_and_decisions(self.remaining, self.duals)
        # Genes with equal values get equal weights.
        self.weights = weights[:, np.searchsorted(self.remaining, self.twins[self.remaining])]
        if on_fit:
            on_fit(len(self.remaining), decisions)

    def leave(self, count: int) -> None:
        """Let the ``count`` genes of the smallest squared weight go."""
        importance = np.square(self.weights).sum(axis=0)
        lowest = np.zeros(len(self.remaining), dtype=bool)
        lowest[np.argsort(importance, kind="stable")[:count]] = True
        leaving, self.remaining = self.remaining[lowest], self.remaining[~lowest]
        self.steps += 1
        self.left_at[leaving] = self.steps
        self._update_gram(leaving)

    def _update_gram(self, leaving: Genes) -> None:
        self.downdates += 1
        if len(self.remaining) <= len(leaving) or self.downdates > DOWNDATES_BEFORE_AFRESH:
            self.gram, self.downdates = 1 + self.space.gram(self.remaining, self.train), 0
        else:
            self.gram -= self.space.gram(leaving, self.train)

    def leave_one_by_one(self, n_features: int, on_fit: OnFit | None) -> None:
        """Let genes go one at a time until ``n_features`` are left."""
        # With held-out samples: the running fit decides them from it.
        whole = self.space.gram(self.remaining) if self.whole is None else self.whole
        walk = OneByOne(self.space, 1 + whole, self.signs, self.train, C=self.C, twins=self.twins)
        for leaving in walk.run(n_features, on_fit):
            self.steps += 1
            self.left_at[leaving] = self.steps
        self.remaining, self.duals = walk.remaining(), walk.fit.duals
        self.gram = walk.fit.full_gram()[np.ix_(self.train, self.train)]

    def result(self, counts: list[int]) -> Elimination:
        """Ranking and final weights in the order of the caller's columns."""
        ranking = np.empty(self.space.n_genes, dtype=np.int64)
        ranking[self.space.order] = np.where(self.left_at == 0, 1, self.steps - self.left_at + 2)
        coefficients = np.zeros((len(self.signs), self.space.n_genes))
        coefficients[:, self.space.order[self.remaining]] = self.weights
        return Elimination(ranking, coefficients, self.duals.sum(axis=1), self.classes, counts)
