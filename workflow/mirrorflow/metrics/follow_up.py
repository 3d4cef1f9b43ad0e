"""How far evaluation may look: censoring weights of the training patients, tau, the grid of times."""

from dataclasses import dataclass

import numpy as np

LEAST_UNCENSORED = 0.1
"""Beyond the time at which fewer training patients than this are still followed, weights explode."""
ROUNDING = 1e-9
"""Of a Kaplan-Meier estimate: a running product that is 0.1 on paper may be 0.0999... in floating point."""
GRID_POINTS = 20


@dataclass(frozen=True)
class FollowUp:
    """What time-dependent metrics of a fold need. ``reason`` says why there is none, "" when there is."""

    tau: float
    """Days: the smaller of the last evaluation time and the last training time with censoring survival >= 0.1."""
    uncensored: np.ndarray
    """[unit] censoring survival of the training patients at each evaluation unit's time (1 at or beyond tau)."""
    grid: np.ndarray
    """[time] evenly spaced days from the first evaluation event up to, not including, tau."""
    uncensored_grid: np.ndarray
    """[time] censoring survival of the training patients at the grid's times."""
    reason: str = ""


def follow_up(
    train_time: np.ndarray,
    train_event: np.ndarray,
    time_days: np.ndarray,
    event: np.ndarray,
    times: np.ndarray | None = None,
) -> FollowUp:
    """The follow-up of a fold: training patients give the weights, the evaluation units the grid's range.

    times: days that are the grid instead, those before tau.

    Censoring survival is scikit-survival's Kaplan-Meier estimate of the censoring distribution, which needs no
    training event. Nothing is weighted where there is no training patient, no evaluation unit, or no evaluation
    event before tau. scikit-survival takes seconds to import, and most jobs that know metrics weigh nothing.
    """
    from sksurv.nonparametric import kaplan_meier_estimator

    if len(train_time) == 0 or len(time_days) == 0:
        return _none("no training patient with a known outcome" if len(time_days) else "no evaluation unit", time_days)
    known, censoring_survival = kaplan_meier_estimator(train_event, train_time, reverse=True)
    followed = known[censoring_survival >= LEAST_UNCENSORED - ROUNDING]
    tau = float(min(time_days.max(), followed.max())) if len(followed) else 0.0
    early = time_days[event & (time_days < tau)]
    if len(early) == 0:
        return _none(f"no evaluation event before tau ({tau:.0f} days)", time_days, tau)
    grid = np.linspace(early.min(), tau, GRID_POINTS + 1)[:-1] if times is None else times[times < tau]

    def uncensored_at(times: np.ndarray) -> np.ndarray:
        return np.append(1.0, censoring_survival)[np.searchsorted(known, times, side="right")]

    uncensored = np.where(time_days < tau, uncensored_at(time_days), 1.0)
    return FollowUp(tau, uncensored, grid, uncensored_at(grid))


def _none(reason: str, time_days: np.ndarray, tau: float = np.nan) -> FollowUp:
    nothing = np.empty(0)
    return FollowUp(tau, np.ones(len(time_days)), nothing, nothing, reason)


def survival_at(times: np.ndarray, curves: np.ndarray, starts: np.ndarray, end: float) -> np.ndarray:
    """Predicted survival [unit, time] between the bins' ends by straight lines, from 1 at day 0.

    curves [unit, bin] at the bins' ends; starts [bin] days at which they begin; ``end``: day at which the last
    bin ends (the longest training time), beyond which the curve stays where it is. Straight lines mean an even
    spread of the events of a bin (Kvamme and Borgan 2021, constant density interpolation). times: [time], or
    [unit, time] for times of each unit's own.
    """
    ends = np.append(starts[1:], max(end, starts[-1] + 1.0))
    knots = np.concatenate([[0.0], ends])
    values = np.hstack([np.ones((len(curves), 1)), curves])
    asked = np.broadcast_to(times, (len(curves), np.shape(times)[-1]))
    return np.stack([np.interp(row, knots, curve) for row, curve in zip(asked, values, strict=True)])
