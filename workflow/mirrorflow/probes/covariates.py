"""Columns of the patients' sheet (age, sex, stage, ...) as numbers; fitted on training patients only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.cohorts.patients import UNKNOWN
from mirrorflow.errors import ConfigError

TARGETS = ("patient", "label", "sheet_label", "time", "time_days", "event", "unit", "slide_id", "slide_ids")
"""Columns of a cohort that name a patient or say what is to be predicted."""


@dataclass(frozen=True)
class CovariateEncoder:
    """What the training patients said about each column.

    medians: numeric column -> training median, which stands in for a missing value; categories: other column ->
    its values among the training patients, one output each (a missing or unseen value is 0 in all of them).
    """

    medians: dict[str, float]
    categories: dict[str, list[str]]

    @classmethod
    def fit(cls, train: pd.DataFrame, columns: Sequence[str]) -> "CovariateEncoder":
        """Learn from ``train``; a column is numeric if all its known training values are numbers.

        Columns that ``train`` lacks, or of which no value is known, are left out. Raises ConfigError for a column
        that is a target or a name.
        """
        if wrong := [name for name in columns if name in TARGETS]:
            message = f"columns: {', '.join(wrong)} cannot be a covariate (what is to be predicted, or a name)"
            raise ConfigError(message)
        medians: dict[str, float] = {}
        categories: dict[str, list[str]] = {}
        for name in columns:
            known = _known(train, name)
            numbers = pd.to_numeric(known, errors="coerce")
            if known.empty:
                continue
            if np.isfinite(numbers).all():
                medians[name] = float(numbers.median())
            else:
                categories[name] = sorted(set(known))
        return cls(medians, categories)

    def stored(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What files keep: names and categories as JSON has them, medians [numeric column] as an array."""
        names = {"numeric": list(self.medians), "categories": self.categories}
        return names, {"medians": np.array(list(self.medians.values()), float)}

    @classmethod
    def of_stored(cls, names: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "CovariateEncoder":
        """The inverse of :meth:`stored`."""
        medians = dict(zip(names["numeric"], map(float, arrays["medians"]), strict=True))
        return cls(medians, {name: list(values) for name, values in names["categories"].items()})

    @property
    def columns(self) -> list[str]:
        """Columns in use."""
        return [*self.medians, *self.categories]

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """Covariates [row, value] float64 of the rows of ``frame``; without NaN, unscaled."""
        parts: list[np.ndarray] = [np.zeros((len(frame), 0))]
        for name, median in self.medians.items():
            numbers = pd.to_numeric(frame[name], errors="coerce").astype(float)
            parts.append(numbers.where(np.isfinite(numbers), median).to_numpy()[:, None])
        for name, values in self.categories.items():
            written = frame[name].astype(str).str.strip().to_numpy()
            parts.append((written[:, None] == np.array(values)[None, :]).astype(float))
        return np.concatenate(parts, axis=1)


def _known(frame: pd.DataFrame, name: str) -> pd.Series:
    if name not in frame:
        return pd.Series([], dtype=object)
    values = frame[name].dropna().astype(str).str.strip()
    return values[~values.isin(UNKNOWN)]
