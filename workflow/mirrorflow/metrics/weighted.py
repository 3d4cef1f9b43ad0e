"""Ratios and means over resamples in which a denominator may be zero: then the value is NaN, never 0."""

import numpy as np


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """``numerator`` / ``denominator``, NaN where the denominator is not above 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(denominator > 0, numerator / np.where(denominator > 0, denominator, 1), np.nan)


def mean_where(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Row means of ``values`` [row, column] over the columns ``where`` is true; NaN in a row without any."""
    return ratio(np.where(where, np.nan_to_num(values), 0).sum(1), where.sum(1))
