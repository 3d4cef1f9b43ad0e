"""Our elimination beside scikit-learn's, tightly converged: step for step."""

import numpy as np
import pytest
from sklearn.feature_selection import RFE, RFECV, f_classif
from sklearn.svm import LinearSVC

from mirrorflow.expression.cross_validation import EliminationSettings, eliminate_cv, stratified_folds
from mirrorflow.expression.elimination import Step, eliminate
from mirrorflow.expression.selection import f_statistic


def machine(C: float = 1.0) -> LinearSVC:
    return LinearSVC(C=C, dual=True, tol=1e-10, max_iter=10_000_000, random_state=0)


def problem(sizes: tuple[int, ...], p: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    effect = rng.standard_normal((len(sizes), p)) * (rng.random(p) < 0.3)
    X = (rng.standard_normal((len(labels), p)) + 0.6 * effect[labels]).astype(np.float32)
    return X, labels, [f"g{number:04d}" for number in range(p)]


PROBLEMS = {
    "two classes, n < p": ((20, 20), 120, 0),
    "two classes, n > p": ((60, 60), 25, 1),
    "three classes, n < p": ((15, 12, 10), 80, 2),
    "three classes, n > p": ((50, 40, 30), 20, 3),
    "a tiny class": ((30, 3), 60, 4),
}


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("C", [0.05, 1.0])
def test_weights_and_intercepts(name: str, C: float):
    X, labels, ids = problem(*PROBLEMS[name])
    ours = eliminate(X, labels, ids=ids, C=C, n_features=len(ids))
    theirs = machine(C).fit(X, labels)
    np.testing.assert_allclose(ours.coefficients, theirs.coef_, atol=2e-7)
    np.testing.assert_allclose(ours.intercepts, theirs.intercept_, atol=2e-7)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("step", [0.05, 3, 1])
def test_the_same_genes_leave_at_every_step(name: str, step: float):
    X, labels, ids = problem(*PROBLEMS[name])
    ours = eliminate(X, labels, ids=ids, step=Step(step))
    theirs = RFE(machine(), n_features_to_select=1, step=step).fit(X, labels)
    assert np.array_equal(ours.ranking, theirs.ranking_)


@pytest.mark.parametrize("name", ["two classes, n < p", "two classes, n > p", "three classes, n < p"])
def test_cross_validation_chooses_the_same(name: str):
    X, labels, ids = problem(*PROBLEMS[name])
    folds = stratified_folds(labels, 4)
    how = EliminationSettings(step=Step(0.05), min_features=2)
    ours = eliminate_cv(X, labels, ids=ids, folds=folds, how=how)
    theirs = RFECV(machine(), step=0.05, min_features_to_select=2, cv=4, scoring="accuracy").fit(X, labels)
    assert ours.counts[::-1] == theirs.cv_results_["n_features"].tolist()
    np.testing.assert_allclose(ours.scores.mean(axis=0)[::-1], theirs.cv_results_["mean_test_score"])
    assert ours.n_features == theirs.n_features_
    assert np.array_equal(ours.elimination.kept, theirs.support_)
    assert np.array_equal(ours.elimination.ranking, theirs.ranking_)
    np.testing.assert_allclose(ours.elimination.coefficients[:, theirs.support_], theirs.estimator_.coef_, atol=2e-7)
    np.testing.assert_allclose(ours.elimination.intercepts, theirs.estimator_.intercept_, atol=2e-7)


def test_constant_genes_leave_alike():
    X, labels, ids = problem((20, 20), 60, 5)
    X[:, [3, 11, 40]] = 0
    X[:, 17] = 2.5
    ours = eliminate(X, labels, ids=ids, step=Step(4))
    theirs = RFE(machine(), n_features_to_select=1, step=4).fit(X, labels)
    assert np.array_equal(ours.ranking, theirs.ranking_)


def test_duplicated_genes_leave_alike_up_to_their_exchange():
    X, labels, ids = problem((20, 20), 60, 6)
    X[:, 30:] = X[:, :30]
    ours = eliminate(X, labels, ids=ids, step=Step(6)).ranking
    theirs = RFE(machine(), n_features_to_select=6, step=6).fit(X, labels).ranking_
    pairs = [np.sort(ranking.reshape(2, 30), axis=0) for ranking in (ours - ours.min(), theirs - theirs.min())]
    late = pairs[1].min(axis=0) > 0  # both of a pair leave before the last six: the rank does not depend on ties
    assert late.sum() > 20
    difference = np.abs((pairs[0] - pairs[0][:, late].min()) - (pairs[1] - pairs[1][:, late].min()))[:, late]
    assert difference.max() <= 1


def test_f_is_that_of_scikit_learn():
    X, labels, _ = problem((20, 15, 10), 40, 7)
    np.testing.assert_allclose(f_statistic(X, labels), f_classif(X.astype(np.float64), labels)[0], rtol=1e-9)
