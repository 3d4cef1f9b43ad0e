"""What a classifier does at every threshold, and whether its probabilities hold, over the folds of a method."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mirrorflow.evaluation.bands import Band, Resampling, band_over
from mirrorflow.evaluation.cells import with_training
from mirrorflow.evaluation.folds import FoldRows
from mirrorflow.metrics import confusion
from mirrorflow.metrics.calibration import BINS
from mirrorflow.metrics.operating import precision_at, roc
from mirrorflow.metrics.weighted import ratio

GRID = np.linspace(0, 1, 51)
Z = 1.959964
"""Of a 95% interval."""


@dataclass(frozen=True)
class Reliability:
    """Units by tenth of the predicted class's probability, empty tenths left out: mean probability, share that is
    right with its Wilson interval, units (seeds averaged).
    """

    said: np.ndarray
    right: np.ndarray
    low: np.ndarray
    high: np.ndarray
    units: np.ndarray


@dataclass(frozen=True)
class Operating:
    """Of one method, all training data: class -> ROC and precision by recall (one class against the rest), share of
    units of each class, confusion counts [true, predicted] (mean over seeds), reliability.
    """

    classes: tuple[str, ...]
    roc: dict[str, Band]
    precision: dict[str, Band]
    shares: dict[str, float]
    confusion: np.ndarray
    reliability: Reliability


def operating(parts: Sequence[FoldRows], how: Resampling) -> Operating:
    """From the folds' rows of one setting (every seed); a fold without a class has no curve of it."""
    parts, classes = with_training(parts), tuple(parts[0].notes["classes"])
    labels = pd.concat([part.first_seed["label"] for part in parts])
    told = classes[1:] if len(classes) == 2 else classes  # the first class's ROC is the second's, turned round
    return Operating(
        classes,
        {name: _over_folds(roc, parts, name, how) for name in told},
        {name: _over_folds(precision_at, parts, name, how) for name in classes},
        {name: float((labels == name).mean()) for name in classes},
        _confusion(parts, classes),
        _reliability(parts, classes),
    )


def _over_folds(curve: Callable[..., np.ndarray], parts: Sequence[FoldRows], name: str, how: Resampling) -> Band:
    by_fold = []
    for part in parts:
        weights = how.weights(part, part.first_seed["patient"].to_numpy())
        seeds = [
            curve(rows[f"prob_{name}"].to_numpy(float), (rows["label"] == name).to_numpy(), weights, GRID)
            for _, rows in part.rows.groupby("seed", sort=True)
        ]
        by_fold.append(np.mean(seeds, axis=0))
    return band_over(parts, GRID, by_fold, how.confidence)


def _numbers(rows: pd.DataFrame, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [unit, class] and number of the true class [unit]."""
    probabilities = rows[[f"prob_{name}" for name in classes]].to_numpy(float)
    return probabilities, rows["label"].map({name: i for i, name in enumerate(classes)}).to_numpy(int)


def _confusion(parts: Sequence[FoldRows], classes: Sequence[str]) -> np.ndarray:
    rows = pd.concat([part.rows for part in parts])
    return confusion(*_numbers(rows, classes), np.ones((1, len(rows))))[0] / rows["seed"].nunique()


def _reliability(parts: Sequence[FoldRows], classes: Sequence[str]) -> Reliability:
    rows = pd.concat([part.rows for part in parts])
    probabilities, numbers = _numbers(rows, classes)
    said, right = probabilities.max(1), probabilities.argmax(1) == numbers
    place = np.digitize(said, np.linspace(0, 1, BINS + 1)[1:-1], right=True)  # as the calibration error's bins
    seeds = rows["seed"].nunique()  # a unit's rows of several seeds are one unit
    units = np.bincount(place, minlength=BINS) / seeds
    hits = np.bincount(place, right, BINS) / seeds
    share = ratio(hits, units)
    middle, half = wilson(hits, units)
    kept = units > 0
    means = ratio(np.bincount(place, said, BINS) / seeds, units)
    return Reliability(*(one[kept] for one in (means, share, middle - half, middle + half, units)))


def wilson(hits: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle and half width of Wilson's interval of a share (95%)."""
    share = ratio(hits, units)
    shrunk = 1 + Z**2 / np.maximum(units, 1)
    middle = (share + Z**2 / (2 * np.maximum(units, 1))) / shrunk
    half = Z / shrunk * np.sqrt(share * (1 - share) / np.maximum(units, 1) + (Z / (2 * np.maximum(units, 1))) ** 2)
    return middle, half
