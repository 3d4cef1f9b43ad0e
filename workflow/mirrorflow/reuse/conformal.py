"""Sets of classes of new units by cross-conformal prediction (Vovk 2015; bounds: Barber et al. 2021, CV+).

The score of a unit is 1 minus the probability that a model which was not trained on it gives its class. A class is in
the set of a new unit where enough known units have a score at least as large as the new unit's by the same fold's
model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mirrorflow.cohorts.splits import Fold
from mirrorflow.config.protocols import ON_EVALUATION

ROUNDING = 1e-12
"""Of shares of units: 1 - 0.9 is 0.0999... in floating point."""


@dataclass(frozen=True)
class Calibration:
    """Scores of the held-out units of each fold, and what may be promised. ``reason``: why there are no sets."""

    scores: Mapping[int, np.ndarray]
    promise: str = ""
    reason: str = ""

    @property
    def count(self) -> int:
        """Held-out units."""
        return sum(map(len, self.scores.values()))


def calibrate(
    probabilities: Mapping[int, np.ndarray],
    classes: Mapping[int, np.ndarray],
    folds: Mapping[int, Fold],
    protocol: Mapping[str, object],
    coverage: float,
) -> Calibration:
    """From out-of-fold ``probabilities`` [fold] -> [unit, class] and the units' class numbers [fold] -> [unit].

    coverage: what sets should reach, such as 0.9. No sets where a unit is no patient, where evaluation chose epoch or
    genes, or where folds are no partition of the patients.
    """
    scores = {k: 1 - probabilities[k][np.arange(len(classes[k])), classes[k]] for k in probabilities}
    if reason := why_not(folds, protocol):
        return Calibration(scores, reason=reason)
    found = Calibration(scores)
    if 1 / (found.count + 1) > 1 - coverage + ROUNDING:
        return Calibration(scores, reason=f"{found.count} held-out patients are too few for sets of {coverage:.0%}")
    return Calibration(scores, promise=promise(found.count, len(folds), coverage, str(protocol["splits"])))


def why_not(folds: Mapping[int, Fold], protocol: Mapping[str, object]) -> str:
    """Why no set of classes can be promised anything; empty where it can."""
    if protocol["unit"] != "patient":
        return "units are slides: those of one patient are not exchangeable with others"
    if protocol["epoch"] in ON_EVALUATION or protocol["pretraining_epoch"] in ON_EVALUATION:
        return "the epoch was chosen on the patients that would calibrate"
    if protocol["gene_selection"] != "fold":
        return "genes were chosen with labels of the patients that would calibrate"
    if len(folds) == 1:
        return ""
    held_out = [set(fold.val) for fold in folds.values()]
    everyone = set().union(*held_out)
    if sum(map(len, held_out)) > len(everyone):
        return "a patient is evaluated in several folds"
    if any(set(fold.train) != everyone - set(fold.val) for fold in folds.values()):
        return "the folds do not evaluate every patient that they train on"
    return ""


def promise(count: int, folds: int, coverage: float, splits: str) -> str:
    """What is guaranteed of the sets, in words. ``count``: held-out patients."""
    miss = 1 - coverage
    if folds == 1:
        said, least = f"Split-conformal sets of {count} held-out patients", coverage
    else:
        said = f"Cross-conformal sets of {count} patients in {folds} folds"
        excess = min(2 * (1 - 1 / folds) / (count / folds + 1), (1 - folds / count) / (folds + 1))
        least = max(0.0, 1 - 2 * miss - excess)
    text = (
        f"{said} aim at {coverage:.0%}. At least {least:.0%} of new patients have their class in their set, on average "
        "over patients and draws of the training patients, if they are drawn as these were (Barber et al. 2021). "
        "It is no promise for a single patient, for each class, or for another hospital."
    )
    if splits != "random" and folds > 1:
        text += " The folds were not drawn at random (sites or given files), for which the bound is not proven."
    return text


def class_sets(
    probabilities: Mapping[int, np.ndarray], calibration: Calibration, names: Sequence[str], coverage: float
) -> list[list[str]]:
    """Classes in the set of each new unit; probabilities [fold] -> [unit, class] by the fold's model."""
    first = next(iter(probabilities.values()))
    larger = np.zeros(first.shape)
    for fold, scores in calibration.scores.items():
        larger += (scores[None, None, :] >= 1 - probabilities[fold][:, :, None]).sum(2)
    p = (larger + 1) / (calibration.count + 1)
    return [[name for name, value in zip(names, row, strict=True) if value > 1 - coverage + ROUNDING] for row in p]
