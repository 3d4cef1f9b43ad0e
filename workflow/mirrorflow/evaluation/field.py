"""Methods over several cohorts: the mean of their C-indices, differences to one method, how often each is at each rank.

Everything here rests on the patients that all methods of a comparison predict, fold by fold, and on one bootstrap:
patients within folds, all methods on the same resamples, cohorts independently. Each cohort counts alike, as in TTA's
Table 1.

A difference of means over cohorts is tested as one on a cohort is (:mod:`.verdicts`): by the bootstrap and by a
corrected resampled t-test, whose variance is the sum of the cohorts' (each with Nadeau and Bengio's correction) over
their number squared, with Welch and Satterthwaite's degrees of freedom.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mirrorflow.metrics import c_index
from mirrorflow.metrics.inference import (
    Draws,
    FoldSample,
    bootstrap,
    either,
    interval,
    not_rejected,
    two_sided_p,
    widened,
)
from mirrorflow.metrics.resampled_t import NO_SPREAD, TTest, detectable, widening

APART = 1000
"""What cohorts' folds are numbered apart by, so that each has resamples of its own."""
TIED = 12
"""Digits to which means that tie agree: those of equal C-indices differ by rounding alone."""


@dataclass(frozen=True)
class Drawn:
    """A bootstrap: how many resamples, the level of intervals, and its seed."""

    resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True)
class Mean:
    """The mean over cohorts, its interval, and the resampled means [resample] (NaN where one is undefined)."""

    value: float
    low: float
    high: float
    resampled: np.ndarray


@dataclass(frozen=True)
class Gap:
    """One method's mean over cohorts less another's: interval, p of the bootstrap (NaN without one), t-test."""

    value: float
    low: float
    high: float
    p_bootstrap: float
    test: TTest | None
    """None where a cohort has fewer than two folds."""
    bootstrap_error: float
    """Deviation of the resampled differences; NaN without any."""
    widened_by: float

    @property
    def p_t_test(self) -> float:
        """NaN without a t-test."""
        return np.nan if self.test is None else self.test.p_value

    @property
    def p_value(self) -> float:
        """The larger of the two; NaN where one is missing."""
        return max(self.p_bootstrap, self.p_t_test) if not np.isnan(self.p_t_test) else np.nan

    def detectable(self, level: float) -> float:
        """The smallest true difference that both tests find in 80 % of studies like this one; NaN where one is
        missing.
        """
        if self.test is None or np.isnan(self.bootstrap_error):
            return np.nan
        return detectable(self.test, self.bootstrap_error, self.widened_by, level)


def shared_patients(methods: Sequence[pd.DataFrame]) -> dict[int, frozenset[str]]:
    """Fold -> the patients that all ``methods`` predict (columns fold, patient); folds that one lacks are left out."""
    by_fold = [{int(str(k)): frozenset(part["patient"]) for k, part in rows.groupby("fold")} for rows in methods]
    folds = set.intersection(*(set(one) for one in by_fold)) if by_fold else set()
    found = {k: frozenset.intersection(*(one[k] for one in by_fold)) for k in sorted(folds)}
    return {k: patients for k, patients in found.items() if patients}


def draws_of(
    rows: pd.DataFrame, on: Mapping[int, frozenset[str]], trained: Mapping[int, int | None], place: int, how: Drawn
) -> Draws:
    """A method's C-index on a cohort: rows with seed, fold, patient, risk, time_days, event; ``on`` as
    :func:`shared_patients`; trained: fold -> training patients; place: number of the cohort.
    """
    samples = []
    for fold, patients in on.items():
        part = rows[(rows["fold"] == fold) & rows["patient"].isin(patients)]
        samples.append(_sample(part, APART * (place + 1) + fold, trained.get(fold)))
    return bootstrap(samples, resamples=how.resamples, seed=how.seed)["c_index"]


def _sample(rows: pd.DataFrame, number: int, n_train: int | None) -> FoldSample:
    """The mean over seeds of training."""
    seeds = [one for _, one in rows.groupby("seed", sort=True)]
    times, events = seeds[0]["time_days"].to_numpy(float), seeds[0]["event"].to_numpy(float) == 1
    risks = [one["risk"].to_numpy(float) for one in seeds]

    def score(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"c_index": np.mean([c_index(risk, times, events, weights) for risk in risks], axis=0)}

    return FoldSample(seeds[0]["patient"].to_numpy(), score, number, n_train=n_train)


def over_cohorts(draws: Sequence[Draws], confidence: float) -> Mean:
    """The mean over cohorts of the mean over folds, with the widened interval."""
    value = float(np.mean([one.mean() for one in draws]))
    resampled = np.mean([_means(one) for one in draws], axis=0)
    known = resampled[~np.isnan(resampled)]
    low, high = interval(known, confidence)
    if len(known) and not np.isnan(value):
        low, high = widened((low, high), value, _factor(draws), limits=(0.0, 1.0))
    return Mean(value, low, high, resampled)


def gap(one: Sequence[Draws], other: Sequence[Draws], confidence: float) -> Gap:
    """``one`` less ``other``, cohort by cohort on the same patients, then the mean over cohorts.

    The interval holds every difference that bootstrap and t-test do not both reject.
    """
    pairs = [_less(mine, theirs) for mine, theirs in zip(one, other, strict=True)]
    value = float(np.mean([pair.mean() for pair in pairs]))
    resampled = np.mean([_means(pair) for pair in pairs], axis=0)
    known = resampled[~np.isnan(resampled)]
    low, high = interval(known, confidence)
    test = _t_test(pairs, value, confidence)
    if test is not None and len(known):
        low, high = either(not_rejected(known, confidence), test)
    error = float(known.std(ddof=1)) if len(known) > 1 else np.nan
    return Gap(value, low, high, two_sided_p(known), test, error, _factor(pairs))


def rank_shares(resampled: Sequence[np.ndarray]) -> np.ndarray:
    """[method, rank] share of resamples in which a method's mean over cohorts is at each rank (1 first).

    resampled: means [resample] of each method; resamples that are undefined for one are left out. Methods that tie
    share the ranks that they hold together, so that their order decides nothing; values that differ by rounding tie.
    """
    values = np.stack(resampled)
    values = np.round(values[:, ~np.isnan(values).any(axis=0)], TIED)
    if not values.shape[1]:
        return np.full((len(values), len(values)), np.nan)
    ahead = np.stack([(values > own).sum(axis=0) for own in values])
    alike = np.stack([(values == own).sum(axis=0) for own in values])
    held = [((ahead <= rank) & (rank < ahead + alike)) / alike for rank in range(len(values))]
    return np.stack([one.mean(axis=1) for one in held], axis=1)


def best_and_last(epochs: pd.DataFrame, rows: pd.DataFrame) -> tuple[float, float]:
    """C-index of the best epoch and of the last one of a training: epoch, patient, slide_id, risk of each epoch; rows
    has time_days and event of the evaluated units. What the first adds, choosing it on these units adds. NaN where an
    epoch has no risk of one of them: the training was of a protocol that evaluates fewer.
    """
    units = rows[["patient", "slide_id", "time_days", "event"]].drop_duplicates()  # once, whatever seeds there are
    whole = epochs.drop(columns="risk").merge(units).merge(epochs, on=["epoch", "patient", "slide_id"])
    if len(whole) < whole["epoch"].nunique() * len(units):
        return np.nan, np.nan
    values = [_c_of(part) for _, part in whole.groupby("epoch", sort=True)]
    return (float(np.nanmax(values)), values[-1]) if values and not np.isnan(values).all() else (np.nan, np.nan)


def _c_of(rows: pd.DataFrame) -> float:
    columns = rows["risk"].to_numpy(float), rows["time_days"].to_numpy(float), rows["event"].to_numpy(float) == 1
    return float(c_index(*columns, np.ones((1, len(rows))))[0])


def _means(draws: Draws) -> np.ndarray:
    """Mean over folds [resample], NaN where a resample is defined in none."""
    if not draws.resampled:
        return np.full(1, np.nan)
    values = np.stack(list(draws.resampled.values()))
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def _less(one: Draws, other: Draws) -> Draws:
    points = {k: one.points[k] - other.points[k] for k in one.points}
    resampled = {k: one.resampled[k] - other.resampled[k] for k in one.resampled}
    return Draws(points, resampled, one.patients, n_train=one.n_train)


def _factor(draws: Sequence[Draws]) -> float:
    """How much wider than independent folds give: the root of the mean square over cohorts."""
    squares = [widening(len(one.values()), one.ratio(list(one.values()))) ** 2 for one in draws if one.values()]
    return float(np.sqrt(np.mean(squares))) if squares else 1.0


def _t_test(pairs: Sequence[Draws], value: float, confidence: float) -> TTest | None:
    """Of the mean over cohorts, with Welch's freedom; None where a cohort has fewer than two folds."""
    from scipy import stats  # not needed by most

    variances, freedoms = [], []
    for pair in pairs:
        values = np.array(list(pair.values().values()))
        if len(values) < 2:
            return None
        variances.append(values.var(ddof=1) * (1 / len(values) + pair.ratio(list(pair.values()))) / len(pairs) ** 2)
        freedoms.append(len(values) - 1)
    error = float(np.sqrt(np.sum(variances)))
    if error < NO_SPREAD:
        return TTest(float(abs(value) < NO_SPREAD), 0.0, float(sum(freedoms)), value, value)
    freedom = float(np.sum(variances) ** 2 / np.sum(np.square(variances) / np.array(freedoms)))
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * error
    return TTest(float(2 * stats.t.sf(abs(value) / error, freedom)), error, freedom, value - half, value + half)
