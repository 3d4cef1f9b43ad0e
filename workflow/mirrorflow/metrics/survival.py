"""Survival: whether the riskier die earlier (C), and whether predicted curves hold (Brier, calibration)."""

import numpy as np

from mirrorflow.metrics.calibration import d_calibration
from mirrorflow.metrics.concordance import comparable, concordance, pair_sums, wins
from mirrorflow.metrics.follow_up import FollowUp
from mirrorflow.metrics.weighted import ratio


def c_index(risk: np.ndarray, time_days: np.ndarray, event: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Harrell's C: share of comparable pairs in which the earlier event has the higher risk; tied risks 0.5.

    A pair is comparable when the earlier time is an event (or, at equal times, one is an event and the
    other is censored), as in scikit-survival.
    """
    return concordance(wins(risk), comparable(time_days, event).astype(float), weights)


def comparable_pairs(time_days: np.ndarray, event: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How many pairs [resample] C compares: what each fold counts for in ``c_index_pairs``."""
    return pair_sums(comparable(time_days, event).astype(float), weights)


def uno_c(
    risk: np.ndarray, time_days: np.ndarray, event: np.ndarray, weights: np.ndarray, followed: FollowUp
) -> np.ndarray:
    """Uno's C: as Harrell's, each pair weighted by 1 / G(t)^2 of its event, events before tau only.

    G: censoring survival of the training patients (Uno et al. 2011; scikit-survival's concordance_index_ipcw).
    """
    if followed.reason:
        return np.full(len(weights), np.nan)
    early = time_days < followed.tau
    pairs = comparable(time_days, event) * (early / followed.uncensored**2)[:, None]
    return concordance(wins(risk), pairs, weights)


def mean_time_auc(
    risk: np.ndarray, time_days: np.ndarray, event: np.ndarray, weights: np.ndarray, followed: FollowUp
) -> np.ndarray:
    """Cumulative/dynamic AUC over the grid, mean weighted by the evaluation units' drops in survival.

    At a time: events until then (weighted 1 / G) against those who live longer (Hung and Chiang 2010,
    Lambert and Chevret 2016; scikit-survival's cumulative_dynamic_auc). Times without a case or a control in
    a resample do not count.
    """
    if followed.reason:
        return np.full(len(weights), np.nan)
    areas = time_auc(risk, time_days, event, weights, followed)
    survival = _kaplan_meier(time_days, event, weights, followed.grid)
    drops = -np.diff(survival, axis=1, prepend=1.0)
    counted = np.where(np.isnan(areas), 0.0, drops)
    return ratio((np.nan_to_num(areas) * counted).sum(1), counted.sum(1))


def time_auc(
    risk: np.ndarray, time_days: np.ndarray, event: np.ndarray, weights: np.ndarray, followed: FollowUp
) -> np.ndarray:
    """Cumulative/dynamic AUC [resample, time] on the grid, as :func:`mean_time_auc` averages it."""
    won = wins(risk)
    areas = [_area_at(t, won, time_days, event, weights, followed.uncensored) for t in followed.grid]
    return np.stack(areas, axis=1) if areas else np.empty((len(weights), 0))


def _area_at(
    time: float,
    won: np.ndarray,
    time_days: np.ndarray,
    event: np.ndarray,
    weights: np.ndarray,
    uncensored: np.ndarray,
) -> np.ndarray:
    cases, controls = event & (time_days <= time), time_days > time
    up, down = weights[:, cases] / uncensored[cases], weights[:, controls]
    return ratio(((up @ won[np.ix_(cases, controls)]) * down).sum(1), up.sum(1) * down.sum(1))


def _kaplan_meier(time_days: np.ndarray, event: np.ndarray, weights: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Survival [resample, time] of the units themselves."""
    moments = np.unique(time_days[event])
    died = weights @ (event[:, None] & (time_days[:, None] == moments)).astype(float)
    at_risk = weights @ (time_days[:, None] >= moments).astype(float)
    steps = np.cumprod(1 - np.nan_to_num(ratio(died, at_risk)), axis=1)
    steps = np.hstack([np.ones((len(weights), 1)), steps])
    return steps[:, np.searchsorted(moments, times, side="right")]


def brier_scores(
    survival: np.ndarray, time_days: np.ndarray, event: np.ndarray, weights: np.ndarray, followed: FollowUp
) -> np.ndarray:
    """Brier score [resample, time] of predicted survival [unit, time] on the grid, weighted by censoring.

    Graf et al. 1999; scikit-survival's brier_score.
    """
    dead = event[:, None] & (time_days[:, None] <= followed.grid)
    alive = time_days[:, None] > followed.grid
    losses = survival**2 * dead / followed.uncensored[:, None]
    losses = losses + (1 - survival) ** 2 * alive / followed.uncensored_grid
    return ratio(weights @ losses, weights.sum(1)[:, None])


def integrated_brier(
    survival: np.ndarray, time_days: np.ndarray, event: np.ndarray, weights: np.ndarray, followed: FollowUp
) -> np.ndarray:
    """Brier score integrated over the grid and divided by its length; lower is better."""
    if followed.reason:
        return np.full(len(weights), np.nan)
    scores = brier_scores(survival, time_days, event, weights, followed)
    return np.trapezoid(scores, followed.grid, axis=1) / (followed.grid[-1] - followed.grid[0])


def mean_brier(
    survival: np.ndarray, time_days: np.ndarray, event: np.ndarray, weights: np.ndarray, followed: FollowUp
) -> np.ndarray:
    """Plain mean of the Brier scores over the grid's evenly spaced times; lower is better.

    Not far from the integrated score, which counts the first and the last time half (MIRROR, section V-C, gives both).
    """
    if followed.reason:
        return np.full(len(weights), np.nan)
    return brier_scores(survival, time_days, event, weights, followed).mean(1)


def survival_metrics(
    risk: np.ndarray,
    time_days: np.ndarray,
    event: np.ndarray,
    weights: np.ndarray,
    followed: FollowUp,
    on_grid: np.ndarray | None = None,
    at_own_time: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Every metric of SURVIVAL_METRICS, each [resample].

    risk: [unit], or [seed, unit]: then the mean over seeds of those that rank. on_grid [unit, time] and at_own_time
    [unit]: predicted survival at the grid and at each unit's time, None for methods without a survival function (whose
    ``ibs``, ``mean_brier`` and ``d_calibration`` are NaN). ``c_index_pairs`` of a fold is its C: what differs is how
    folds are put together (:func:`comparable_pairs`).
    """
    undefined = np.full(len(weights), np.nan)
    concordant = c_index(risk, time_days, event, weights)
    scores = {
        "c_index": concordant,
        "c_index_pairs": concordant,
        "uno_c": uno_c(risk, time_days, event, weights, followed),
        "mean_t_auc": mean_time_auc(risk, time_days, event, weights, followed),
        "ibs": undefined,
        "mean_brier": undefined,
        "d_calibration": undefined,
    }
    if on_grid is not None and at_own_time is not None:
        scores |= curve_metrics(on_grid, time_days, event, weights, followed, at_own_time)
    return scores


def curve_metrics(
    on_grid: np.ndarray,
    time_days: np.ndarray,
    event: np.ndarray,
    weights: np.ndarray,
    followed: FollowUp,
    at_own_time: np.ndarray,
) -> dict[str, np.ndarray]:
    """The metrics of predicted survival, as :func:`survival_metrics` takes it."""
    return {
        "ibs": integrated_brier(on_grid, time_days, event, weights, followed),
        "mean_brier": mean_brier(on_grid, time_days, event, weights, followed),
        "d_calibration": d_calibration(at_own_time, event, weights),
    }
