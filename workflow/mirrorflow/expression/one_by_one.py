"""One gene at a time (Eq. 3 of MIRROR): the descent that joins the running fit and the shortlists."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mirrorflow.expression.running_fit import RunningFit
from mirrorflow.expression.sample_space import Array, Genes, SampleSpace
from mirrorflow.expression.shortlist import Shortlists
from mirrorflow.expression.svm import ridged


class OneByOne:
    """A descent by single genes.

    gram [sample, sample] with the intercept's 1, of all genes; signs [machine, train sample]; train [sample];
    twins [gene]: as :meth:`SampleSpace.twins` gives them. Genes with equal values leave in the order of
    their ids; only the last of them stands on the shortlists.
    """

    def __init__(
        self,
        space: SampleSpace,
        gram: Array,
        signs: Array,
        train: NDArray[np.bool_],
        *,
        C: float,
        twins: Genes,
    ) -> None:
        self.space = space
        self.here = np.ones(space.n_genes, dtype=bool)
        self.fit = RunningFit(gram, signs, train, C=C)
        self.waiting = _by_twin(twins)

    def remaining(self) -> Genes:
        """The genes that are still here, ascending."""
        return np.flatnonzero(self.here)

    def run(self, n_features: int, on_fit: Callable[[int, Array], None] | None) -> Iterator[int]:
        """Yield the genes in the order they leave, until ``n_features`` are left."""
        lists, renew_at = self._lists(), self.space.n_genes // 2
        for count in range(self.space.n_genes, n_features, -1):
            if on_fit:
                on_fit(count, self.fit.decisions())
            last, row = lists.lowest(self.fit.duals)
            leaving = self._next_of(last)
            if leaving == last:
                lists.drop(last)
            self.fit.take_out(row if leaving == last else self.space.take(np.array([leaving]))[0])
            yield leaving
            if count - 1 <= renew_at:
                self.fit.refit(1 + self.space.gram(self.remaining()))
                lists, renew_at = self._lists(), (count - 1) // 2

    def _next_of(self, last: int) -> int:
        """The first by id of the genes with the values of ``last`` leaves."""
        twins = self.waiting.get(last)
        leaving = twins.pop() if twins else last
        self.here[leaving] = False
        return leaving

    def _lists(self) -> Shortlists:
        """Shortlists in the metric of this moment."""
        gram = self.fit.full_gram()
        metric = ridged(gram, np.ones(len(gram), dtype=bool), self.fit.C)
        alone = np.ones(self.space.n_genes, dtype=bool)
        for twins in self.waiting.values():
            alone[twins] = False
        return Shortlists(self.space, np.flatnonzero(self.here & alone), metric)


def _by_twin(twins: Genes) -> dict[int, list[int]]:
    """Genes that leave before the gene that stands for them, the first to leave at the end."""
    waiting: dict[int, list[int]] = {}
    for gene in np.flatnonzero(twins != np.arange(len(twins)))[::-1]:
        waiting.setdefault(int(twins[gene]), []).append(int(gene))
    return waiting
