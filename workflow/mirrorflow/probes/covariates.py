"""Columns of the patients' sheet (age, sex, stage, ...) as numbers; fitted on training patients only."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mirrorflow.config.unknown import counted, is_unknown
from mirrorflow.errors import ConfigError, InputError

logger = logging.getLogger("mirrorflow.predict")

TARGETS = ("patient", "label", "sheet_label", "time", "time_days", "event", "unit", "slide_id", "slide_ids")
"""Columns of a cohort that name a patient or say what is to be predicted."""
NUMERIC_SHARE = 0.8
"""A column is numeric where at least this share of its known training values are numbers."""
MANY_CATEGORIES = 10
"""Values of a column above which words that begin with digits look like numbers with a unit: 61 y, 62 y, ..."""
COMMA_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*,\d+([.,]\d+)*")
LEADING_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?\s*([^\d\s.,+=/-].*)?")


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
        """Learn from ``train``; a column is numeric if :data:`NUMERIC_SHARE` of its known training values are numbers.

        What else stands in a numeric column counts as unknown and is named in the log. Columns that ``train`` lacks, or
        of which no value is known, are left out. Raises ConfigError for a column that is a target or a name, InputError
        for one whose numbers have commas that nobody read (:func:`commas_left`).
        """
        if wrong := [name for name in columns if name in TARGETS]:
            message = f"columns: {', '.join(wrong)} cannot be a covariate (what is to be predicted, or a name)"
            raise ConfigError(message)
        medians: dict[str, float] = {}
        categories: dict[str, list[str]] = {}
        for name in columns:
            known = known_values(train, name)
            if known.empty:
                continue
            if said := commas_left(name, known):
                raise InputError(said)
            finite = _are_finite(known)
            if finite.mean() >= NUMERIC_SHARE:
                medians[name] = float(pd.to_numeric(known[finite]).median())
                log_stray(name, known[~finite], "training")
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

    def no_numbers(self, frame: pd.DataFrame) -> dict[str, pd.Series]:
        """Numeric column -> its known values that are no numbers, by row of ``frame``; none without any."""
        found = {name: known_values(frame, name) for name in self.medians}
        stray = {name: known[~_are_finite(known)] for name, known in found.items()}
        return {name: values for name, values in stray.items() if len(values)}

    def never_seen(self, frame: pd.DataFrame) -> dict[str, pd.Series]:
        """Other column -> its known values that no training patient has, by row; columns without any are left out."""
        found = {name: known_values(frame, name) for name in self.categories}
        new = {name: known[~known.isin(self.categories[name])] for name, known in found.items()}
        return {name: values for name, values in new.items() if len(values)}

    def not_known(self, frame: pd.DataFrame) -> dict[str, int]:
        """Column -> how many rows say nothing of it; columns without any are left out."""
        counts = {name: len(frame) - len(known_values(frame, name)) for name in self.columns}
        return {name: count for name, count in counts.items() if count}

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


def commas_left(name: str, known: pd.Series) -> str:
    """What is wrong with a column of numbers of which some still have commas, so that nobody read them; "" else.

    known: its known values as text. Without a word each such number would be a category, or unknown.
    """
    commas = known.map(lambda cell: COMMA_NUMBER.fullmatch(cell) is not None).astype(bool)
    if not commas.any() or (commas | _are_finite(known)).mean() < NUMERIC_SHARE:
        return ""
    others = known[~commas]
    beside = f" beside {others.iloc[0]!r}" if len(others) else ""
    return (
        f"column {name}: {int(commas.sum())} of {len(known)} values have commas and could not be read as numbers, such "
        f"as {known[commas].iloc[0]!r}{beside}; write points for decimals and nothing between thousands"
    )


def units_left(name: str, known: pd.Series) -> str:
    """What looks wrong with a column whose many values begin with digits and are no numbers, such as 61 y; "" else."""
    categories = known.nunique()
    if categories <= MANY_CATEGORIES or _are_finite(known).mean() >= NUMERIC_SHARE:
        return ""
    if known.map(lambda cell: LEADING_NUMBER.fullmatch(cell) is not None).mean() < NUMERIC_SHARE:
        return ""
    return (
        f"column {name}: each of {categories} values such as {known.iloc[0]!r} counts as a category of its own; write "
        "the numbers alone if they are numbers"
    )


def known_values(frame: pd.DataFrame, name: str) -> pd.Series:
    """The known values of a column as text; none where the frame lacks it."""
    if name not in frame:
        return pd.Series([], dtype=object)
    values = frame[name].dropna().astype(str).str.strip()
    return values[~values.map(is_unknown).astype(bool)]


def _are_finite(values: pd.Series) -> pd.Series:
    return pd.to_numeric(values, errors="coerce").astype(float).map(np.isfinite).astype(bool)


def log_stray(name: str, stray: pd.Series, whose: str) -> None:
    """Say that a column of numbers has values that are none; nothing where it has only numbers."""
    if len(stray):
        message = "column %s holds numbers; %d of its %s values are none and count as unknown: %s"
        logger.warning(message, name, len(stray), whose, counted(stray))
