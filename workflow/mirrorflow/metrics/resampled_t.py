"""The corrected resampled t-test: differences of folds whose training patients overlap are not independent.

Nadeau and Bengio 2003, "Inference for the Generalization Error" (Machine Learning 52): the variance of a mean over J
folds is not s^2 / J but about (1 / J + n_eval / n_train) s^2, since every fold trains on many of the same patients.
Student's t with J - 1 degrees of freedom.

A seed is no fold: it is trained and evaluated on the fold's own patients. So seeds are averaged within their fold
before the test (they lower the variance of training in each fold's difference) and J counts folds. Counting seeds times
folds would take their agreement for evidence from new patients. (Bouckaert and Frank 2004 count repetitions, but theirs
partition the patients anew.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

NO_SPREAD = 1e-12
"""Below this a deviation between folds is rounding."""
POWER = 0.8


@dataclass(frozen=True)
class TTest:
    """Two-sided p of "no difference", standard error with the correction, degrees of freedom, interval."""

    p_value: float
    error: float
    freedom: float
    """Not whole where variances of several cohorts are added (Welch)."""
    ci_low: float
    ci_high: float


def widening(folds: int, ratio: float) -> float:
    """How much wider than independent folds give: sqrt((1 / J + n_eval / n_train) / (1 / J)).

    ratio: evaluation to training patients of a fold, 0 where nothing was trained. 1.5 for five folds of one cohort.
    """
    return float(np.sqrt(1 + folds * ratio))


def t_test(values: np.ndarray, mean: float, ratio: float, confidence: float) -> TTest | None:
    """Test of ``mean`` = 0 by the folds' ``values`` [fold]; None with fewer than two folds.

    A mean that weights folds by their pairs comes with values as :func:`contributions` makes them.
    """
    from scipy import stats  # not needed by most who score

    folds = len(values)
    if folds < 2:
        return None
    deviation = float(values.std(ddof=1))
    if deviation < NO_SPREAD:
        return TTest(float(abs(mean) < NO_SPREAD), 0.0, folds - 1, mean, mean)
    error = deviation * float(np.sqrt(1 / folds + ratio))
    half = float(stats.t.ppf((1 + confidence) / 2, folds - 1)) * error
    return TTest(float(2 * stats.t.sf(abs(mean) / error, folds - 1)), error, folds - 1, mean - half, mean + half)


def contributions(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """What each fold adds to a mean weighted by ``counts`` [fold], on the scale of one fold; their mean is that mean.

    The linearised ratio estimator (Cochran 1977, "Sampling Techniques", 6.4): mean + J w (value - mean) with w the
    fold's share of the counts. Equal counts give the values themselves.
    """
    share = counts / counts.sum()
    mean = float((share * values).sum())
    return mean + len(values) * share * (values - mean)


def detectable(test: TTest, bootstrap_error: float, widened_by: float, level: float) -> float:
    """The smallest true difference that both tests find in 80 % of studies like this one, at two-sided ``level``.

    The larger of two: of the t-test, by the non-central t distribution; of the bootstrap, whose threshold is its own
    error and whose estimates scatter ``widened_by`` times as much.
    """
    from scipy import stats

    by_bootstrap = (stats.norm.ppf(1 - level / 2) + stats.norm.ppf(POWER) * widened_by) * bootstrap_error
    return float(max(_noncentrality(test.freedom, level) * test.error, by_bootstrap))


@cache
def _noncentrality(freedom: float, level: float) -> float:
    """True difference in standard errors that a two-sided t-test finds with 80 % power."""
    from scipy import stats
    from scipy.optimize import brentq

    threshold = float(stats.t.ppf(1 - level / 2, freedom))
    return float(brentq(lambda shift: stats.nct.sf(threshold, freedom, shift) - POWER, 0.0, 3 * threshold + 10))


def evaluation_to_training(evaluated: Sequence[int], trained: Sequence[int | None]) -> float:
    """Mean over folds of evaluation to training patients; 0 where nothing was trained."""
    shares = [n / m for n, m in zip(evaluated, trained, strict=True) if m]
    return float(np.mean(shares)) if shares else 0.0
