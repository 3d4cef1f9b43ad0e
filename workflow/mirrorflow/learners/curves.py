"""The nested choice of an epoch: the first maximum of the mean of inner folds' curves."""

from collections.abc import Sequence

import numpy as np

TIES = 9
"""Decimals to which means are compared: equal ones may differ by rounding."""


def mean_curve(curves: Sequence[Sequence[float]]) -> list[float]:
    """Mean after each epoch of curves of equal length [fold][epoch]."""
    return [float(value) for value in np.mean(np.array(curves, float), axis=0)]


def best_epoch(mean: Sequence[float]) -> int:
    """The epoch, counted from 1, at which a curve is highest: the first of equals."""
    return int(np.round(np.array(mean, float), TIES).argmax()) + 1
