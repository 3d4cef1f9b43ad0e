"""The published selection itself: scikit-learn's RFECV at its default tolerance.

MIRROR ran ``RFECV(LinearSVC(max_iter=5000, dual="auto"), step=0.05)``. liblinear stops at a tolerance of
1e-4, so that its support differs from the converged one (:mod:`~mirrorflow.expression.elimination`); this
module is for those who want the former.
"""

import logging
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import RFECV
from sklearn.svm import LinearSVC

from mirrorflow.errors import ConfigError
from mirrorflow.expression.cross_validation import CrossValidation, EliminationSettings, Fold
from mirrorflow.expression.elimination import Elimination, Step

logger = logging.getLogger(__name__)

MAX_ITERATIONS = 5000


def published_rfecv(
    X: NDArray,
    y: Sequence[str] | NDArray,
    *,
    ids: Sequence[str],
    folds: Sequence[Fold],
    how: EliminationSettings,
    seed: int,
    threads: int,
) -> CrossValidation:
    """scikit-learn's RFECV on ``X`` [sample, gene]; columns are sorted by id, since it breaks ties by column.

    Raises ConfigError for steps that scikit-learn does not know (a fraction of the remaining genes).
    """
    step = how.step
    if step.of != "original" and step.size < 1:
        message = "rfe.step_of: scikit-learn knows 'original' only; take solver: sample_space for 'remaining'"
        raise ConfigError(message)
    order = np.argsort(np.asarray(ids, dtype=object), kind="stable")
    machine = LinearSVC(C=how.C, max_iter=MAX_ITERATIONS, dual="auto", random_state=seed)
    size = step.size if step.size < 1 else int(step.size)
    fewest, scoring = how.min_features, how.scoring
    rfecv = RFECV(machine, step=size, min_features_to_select=fewest, cv=folds, scoring=scoring, n_jobs=threads)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        rfecv.fit(X[:, order], np.asarray(y))
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        logger.warning("liblinear stopped after %d iterations before it converged", MAX_ITERATIONS)
    return _as_ours(rfecv, order, len(folds), step)


def _as_ours(rfecv: RFECV, order: NDArray, n_folds: int, step: Step) -> CrossValidation:
    ranking = np.empty(len(order), dtype=np.int64)
    ranking[order] = rfecv.ranking_
    coefficients = np.zeros((rfecv.estimator_.coef_.shape[0], len(order)))
    coefficients[:, order[rfecv.support_]] = rfecv.estimator_.coef_
    scores = np.array([rfecv.cv_results_[f"split{fold}_test_score"] for fold in range(n_folds)])
    elimination = Elimination(
        ranking,
        coefficients,
        np.atleast_1d(rfecv.estimator_.intercept_),
        rfecv.estimator_.classes_,
        step.counts(len(order), int(rfecv.n_features_)),
    )
    return CrossValidation(elimination, [int(n) for n in rfecv.cv_results_["n_features"][::-1]], scores[:, ::-1])
