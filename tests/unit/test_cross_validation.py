import logging

import numpy as np
import pytest

from mirrorflow.errors import ConfigError, InputError
from mirrorflow.expression.cross_validation import (
    EliminationSettings,
    best_count,
    eliminate_cv,
    possible_folds,
    site_folds,
    stratified_folds,
)
from mirrorflow.expression.elimination import Step


def planted(seed: int = 0, n: int = 60, p: int = 200) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    labels = np.array(["idc", "ilc"])[np.arange(n) % 2]
    X = rng.standard_normal((n, p))
    X[:, :6] += 1.5 * (labels == "ilc")[:, None]
    return X, labels, [f"g{number:03d}" for number in range(p)]


def test_the_smallest_of_equally_good_numbers_is_chosen():
    scores = np.array([[0.8, 0.9, 0.9, 0.7], [0.8, 0.9, 0.9, 0.9]])
    assert best_count([40, 30, 20, 10], scores) == 20


def test_planted_genes_are_found():
    X, labels, ids = planted()
    result = eliminate_cv(X, labels, ids=ids, folds=stratified_folds(labels, 5))
    kept = set(np.flatnonzero(result.elimination.kept))
    assert kept >= set(range(6))
    assert len(kept) == result.n_features < 100
    assert result.scores.shape == (5, len(result.counts))


def test_threads_change_nothing():
    X, labels, ids = planted()
    folds = stratified_folds(labels, 3)
    one, two = (eliminate_cv(X, labels, ids=ids, folds=folds, threads=threads) for threads in (1, 2))
    assert np.array_equal(one.elimination.ranking, two.elimination.ranking)
    assert np.array_equal(one.scores, two.scores)


def test_scored_samples_do_not_touch_the_fit():
    """Nonsense in a fold's scored samples changes its scores, never which genes leave on its training part."""
    X, labels, ids = planted(n=40)
    train, scored = np.arange(0, 30), np.arange(30, 40)
    full = eliminate_cv(X, labels, ids=ids, folds=[(train, scored)], how=EliminationSettings(step=Step(0.1)))
    spoiled = X.copy()
    spoiled[scored] = -spoiled[scored]
    other = eliminate_cv(spoiled, labels, ids=ids, folds=[(train, scored)], how=EliminationSettings(step=Step(0.1)))
    assert (full.scores + other.scores <= 1.3).all()
    refit = eliminate_cv(
        X[train], labels[train], ids=ids, folds=[(train, train[:5])], how=EliminationSettings(step=Step(0.1))
    )
    assert refit.scores.max() == 1.0


def test_a_fold_may_lack_a_class():
    rng = np.random.default_rng(1)
    labels = np.array(["a"] * 10 + ["b"] * 10 + ["c"] * 2)
    X = rng.standard_normal((22, 30))
    X[np.arange(22), (labels == "b") + 2 * (labels == "c")] += 4
    folds = [(np.arange(0, 20), np.arange(20, 22))]  # class c is only scored
    result = eliminate_cv(X, labels, ids=[f"g{number}" for number in range(30)], folds=folds)
    assert (result.scores == 0).all()
    assert list(result.elimination.classes) == ["a", "b", "c"]


def test_single_steps_score_every_number_of_genes():
    X, labels, ids = planted(p=40)
    result = eliminate_cv(X, labels, ids=ids, folds=stratified_folds(labels, 2), how=EliminationSettings(step=Step(1)))
    assert result.counts == list(range(40, 0, -1))
    assert result.scores.shape == (2, 40)


@pytest.mark.parametrize("scoring", ["balanced_accuracy", "f1_macro"])
def test_other_scores(scoring: str):
    X, labels, ids = planted(p=30)
    result = eliminate_cv(
        X, labels, ids=ids, folds=stratified_folds(labels, 2), how=EliminationSettings(scoring=scoring)
    )
    assert 0.5 < result.scores.max() <= 1


def test_unknown_scoring_is_refused():
    X, labels, ids = planted(p=30)
    with pytest.raises(ConfigError, match="roc_auk"):
        eliminate_cv(X, labels, ids=ids, folds=stratified_folds(labels, 2), how=EliminationSettings(scoring="roc_auk"))


def test_a_small_class_gets_fewer_folds_and_a_warning(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        assert possible_folds(["a"] * 9 + ["b"] * 3, 5) == 3
    assert "class 'b' has 3 patients: 3 folds instead of 5" in caplog.text


def test_a_class_of_one_is_refused_by_name():
    with pytest.raises(InputError, match=r"class 'b' has 1 .*variance"):
        possible_folds(["a"] * 9 + ["b"], 5)


def test_a_single_class_is_refused():
    with pytest.raises(InputError, match="nothing to separate"):
        possible_folds(["a"] * 9, 5)


LABELS = np.array(["a", "b"] * 12)
SITES = np.tile(np.repeat(list("uvwxyz"), 2), 2)


def test_folds_by_site_score_sites_that_no_fit_has_seen(caplog: pytest.LogCaptureFixture):
    folds = site_folds(LABELS, SITES, 3)
    assert sorted(np.concatenate([scored for _, scored in folds])) == list(range(24))
    assert all(set(SITES[fitted]) & set(SITES[scored]) == set() for fitted, scored in folds)
    mixed = stratified_folds(LABELS, 3)
    assert all(set(SITES[fitted]) & set(SITES[scored]) for fitted, scored in mixed)
    assert caplog.text == ""


def test_a_class_in_few_sites_gets_fewer_folds_by_site(caplog: pytest.LogCaptureFixture):
    labels = np.where((LABELS == "b") & np.isin(SITES, ["u", "v", "w"]), "b", "a")
    folds = site_folds(labels, SITES, 5)
    assert len(folds) == 3
    assert all(set(labels[fitted]) == {"a", "b"} for fitted, _ in folds)
    assert "class 'b' is in 3 sites: 3 folds by site instead of 5" in caplog.text


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        (np.where(LABELS == "a", SITES, "q"), r"class 'b' is in 1 sites .*set cv_by: label"),
        (np.where(SITES == "u", "", SITES), r"4 labelled patients have no site; give a `site`, or set cv_by: label"),
    ],
)
def test_sites_that_cannot_part_the_classes_are_refused(sites: np.ndarray, message: str):
    with pytest.raises(InputError, match=message):
        site_folds(LABELS, sites, 5)
