"""A fitted machine that follows as single genes leave, by rank-one updates.

With M the inverse of the system's matrix K + I / 2C over the samples inside the margin, taking out a gene of
row x turns K into K - x x', hence with ``u = M x`` (Sherman and Morrison)

    d <- d + u (x.d) / (1 - x.u),    M <- M + u u' / (1 - x.u).

Where a sample crosses the margin the system loses or gains a row and a column, again of rank one. The
updates end when the samples inside the margin are those of the system, which makes them the optimum.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from mirrorflow.expression.sample_space import Array
from mirrorflow.expression.svm import fit_duals, inside_margin, ridged

MAX_CROSSINGS = 50
"""Samples that may cross the margin in one step before a full fit is the shorter way."""

FULL_FIT_EVERY = 1000
"""Steps after which the running inverses are computed anew."""

MISFIT = 1e-9
"""Largest error of (K + I / 2C) d = s that the updates may gather before a full fit wipes it out."""

TOO_CLOSE = 1e-4
"""A gene that carries more than 1 - this of a direction is taken out by a full fit, not by an update."""


class RunningFit:
    """Gram matrix [sample, sample] with the intercept's 1, duals [machine, sample] and inverses.

    signs [machine, train sample]; train [sample]: samples outside it are decided, never fitted. Of the
    symmetric matrices only the lower triangles are kept up to date (BLAS's dsyr); see :meth:`full_gram`.
    """

    def __init__(self, gram: Array, signs: Array, train: NDArray[np.bool_], *, C: float) -> None:
        self.C, self.train, self.train_signs = C, train, signs
        self.gram = np.asfortranarray(gram)
        self.signs = np.zeros((len(signs), len(train)))
        self.signs[:, train] = signs
        self.duals = np.zeros_like(self.signs)
        self.refit()

    def take_out(self, row: Array) -> None:
        """Follow the leaving of a gene with values ``row`` [sample]."""
        self.gram = blas.dsyr(-1.0, row, a=self.gram, overwrite_a=1, lower=1)
        self.steps += 1
        if self.steps >= FULL_FIT_EVERY or not self._follow(row):
            self.refit()

    def decisions(self) -> Array:
        """Decision values [machine, sample] of all samples."""
        return np.stack([self._decide(machine) for machine in range(len(self.signs))])

    def full_gram(self) -> Array:
        """The Gram matrix with both triangles."""
        lower = np.tril(self.gram, -1)
        return lower + lower.T + np.diag(np.diag(self.gram))

    def refit(self, gram: Array | None = None) -> None:
        """Fit from scratch (warm), on a freshly summed ``gram`` where one is given."""
        self.gram = np.asfortranarray(self.full_gram() if gram is None else gram)
        within = self.gram[np.ix_(self.train, self.train)]
        fitted = fit_duals(within, self.train_signs, C=self.C, start=self.duals[:, self.train])
        self.duals[:, self.train] = fitted
        self.inside = inside_margin(self.duals @ self.gram, self.signs) & self.train
        self.inverses = [_padded_inverse(self.gram, inside, self.C) for inside in self.inside]
        self.steps = 0

    def _follow(self, row: Array) -> bool:
        """Update every machine; False where only a full fit can tell."""
        for machine, inverse in enumerate(self.inverses):
            pull = blas.dsymv(1.0, inverse, row, lower=1)
            room = 1 - row @ pull
            if room < TOO_CLOSE:
                return False
            self._move(machine, pull, row @ self.duals[machine], room)
            if not self._settle(machine):
                return False
        return True

    def _move(self, machine: int, direction: Array, amount: float, pivot: float) -> None:
        """Rank-one change of a machine's inverse, and of its duals along with it."""
        self.duals[machine] += direction * (amount / pivot)
        inverse = self.inverses[machine]
        self.inverses[machine] = blas.dsyr(1 / pivot, direction, a=inverse, overwrite_a=1, lower=1)

    def _settle(self, machine: int) -> bool:
        """Let samples cross the margin one at a time until the set agrees with the decision values."""
        signs, inside = self.signs[machine], self.inside[machine]
        for _ in range(MAX_CROSSINGS):
            values = self._decide(machine)
            crossed = (inside_margin(values, signs) & self.train) != inside
            if not crossed.any():
                misfit = np.where(inside, values + self.duals[machine] / (2 * self.C) - signs, 0)
                return bool(np.abs(misfit).max() < MISFIT)
            sample = int(np.where(crossed, np.abs(1 - signs * values), -1).argmax())
            if inside[sample]:
                self._cross_out(machine, sample)
            else:
                self._cross_in(machine, sample, signs[sample] - values[sample])
            inside[sample] = not inside[sample]
        return False

    def _cross_out(self, machine: int, sample: int) -> None:
        """Take a sample that left the margin out of the system."""
        column = _column(self.inverses[machine], sample)
        self._move(machine, column, self.duals[machine, sample], -column[sample])
        self.inverses[machine][sample, :] = self.inverses[machine][:, sample] = 0.0
        self.duals[machine, sample] = 0.0

    def _cross_in(self, machine: int, sample: int, miss: float) -> None:
        """Border the system with a sample that came inside the margin."""
        column = _column(self.gram, sample)
        pull = blas.dsymv(1.0, self.inverses[machine], column, lower=1)
        pivot = column[sample] + 1 / (2 * self.C) - column @ pull
        direction = -pull
        direction[sample] = 1.0
        self._move(machine, direction, miss, pivot)

    def _decide(self, machine: int) -> Array:
        return blas.dsymv(1.0, self.gram, self.duals[machine], lower=1)


def _column(lower: Array, index: int) -> Array:
    """A column of the symmetric matrix of which only the lower triangle is kept."""
    return np.concatenate([lower[index, :index], lower[index:, index]])


def _padded_inverse(gram: Array, inside: NDArray[np.bool_], C: float) -> Array:
    """Lower triangle of the inverse of the system's matrix; zero outside ``inside``."""
    factor, _ = lapack.dpotrf(ridged(gram, inside, C), lower=1, clean=1)
    inverse, _ = lapack.dpotri(factor, lower=1)
    padded = np.zeros(gram.shape, order="F")
    padded[np.ix_(inside, inside)] = inverse
    return padded
