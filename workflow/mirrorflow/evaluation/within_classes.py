"""C-index among patients of one class: pairs of two classes are not compared.

A method that only tells the classes apart has a C-index above 0.5 where these differ in prognosis, and 0.5 here.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from mirrorflow.evaluation.field import APART, Drawn, Mean, over_cohorts
from mirrorflow.metrics.concordance import comparable, concordance, wins
from mirrorflow.metrics.inference import Draws, FoldSample, bootstrap


def within_classes(
    rows: pd.DataFrame, labels: Mapping[str, str], trained: Mapping[int, int | None], place: int, how: Drawn
) -> Draws | None:
    """The C-index over the pairs of one class, fold by fold: rows with seed, fold, patient, risk, time_days, event.

    labels: patient -> class; patients without one are left out. trained: fold -> training patients; place: number of
    the cohort. None where fewer than two classes are known.
    """
    known = rows[rows["patient"].map(lambda patient: labels.get(patient, "") != "")]
    if known["patient"].map(labels).nunique() < 2:
        return None
    samples = [
        _sample(part, labels, APART * (place + 1) + int(str(fold)), trained.get(int(str(fold))))
        for fold, part in known.groupby("fold", sort=True)
    ]
    return bootstrap(samples, resamples=how.resamples, seed=how.seed)["c_index"]


def _sample(rows: pd.DataFrame, labels: Mapping[str, str], number: int, n_train: int | None) -> FoldSample:
    """Seeds of training: the share in which a pair is won."""
    seeds = [one for _, one in rows.groupby("seed", sort=True)]
    first = seeds[0]
    classes = first["patient"].map(labels).to_numpy()
    pairs = comparable(first["time_days"].to_numpy(float), first["event"].to_numpy(float) == 1)
    alike = (pairs & (classes[:, None] == classes[None, :])).astype(float)
    won = wins(np.stack([one["risk"].to_numpy(float) for one in seeds]))

    def score(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"c_index": concordance(won, alike, weights)}

    return FoldSample(first["patient"].to_numpy(), score, number, n_train=n_train)


def columns_of(draws: Draws | None, confidence: float) -> dict[str, float]:
    """``within_class`` with its interval; NaN where there is none."""
    mean = Mean(np.nan, np.nan, np.nan, np.zeros(0)) if draws is None else over_cohorts([draws], confidence)
    return {"within_class": mean.value, "within_class_low": mean.low, "within_class_high": mean.high}
