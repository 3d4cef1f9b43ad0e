"""Clinical columns alone (age, sex, stage): logistic regression for classes, ridge Cox for survival.

What a model of slides or genes has to beat. Sources: those of :mod:`~mirrorflow.probes.linear` and
:mod:`~mirrorflow.probes.cox`; the columns become vectors by :mod:`~mirrorflow.probes.covariates`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mirrorflow.config.fields import Settings, count, many, positive
from mirrorflow.errors import InputError
from mirrorflow.probes import cox, linear
from mirrorflow.probes.covariates import TARGETS
from mirrorflow.probes.fitted import FittedModel
from mirrorflow.probes.task import Asked, Targets


@dataclass(frozen=True)
class ClinicalSettings(Settings):
    """Which columns are seen, and the settings of both models."""

    columns: tuple[str, ...] = many(
        "columns of the patients sheet (from Xena's clinicalMatrix: age, sex, stage); numbers are imputed by the "
        "training median, others coded one by one.",
        {"type": "string"},
        ("age", "sex", "stage"),
        minItems=1,
        uniqueItems=True,
        origin="ours",
    )
    C: float = positive("inverse regularisation of the logistic regressions.", 1.0, origin="scikit-learn's default")
    components: int = count(
        "principal components (at most the training patients less one).",
        50,
        origin="ours: more than there are columns, so that none is lost",
    )
    alpha: float = positive("ridge penalty.", 1.0, origin="ours")


def fit(train: np.ndarray, targets: Targets, asked: Asked, settings: Mapping[str, Any]) -> FittedModel:
    """Classes or survival; ``settings``: columns, C, components, alpha.

    Raises InputError where the cohort has none of the columns (vectors of width 0), or as the Cox model does.
    """
    if not train.shape[1]:
        has = [str(name) for name in targets.units if name not in TARGETS]
        message = (
            f"none of the columns {', '.join(settings['columns'])} is known in this cohort, which has "
            f"{', '.join(has)}; name others under the method's `columns:`"
        )
        raise InputError(message)
    return (linear if asked.bin_ends is None else cox).fit(train, targets, asked, settings)


def from_arrays(arrays: Mapping[str, np.ndarray]) -> FittedModel:
    """The model of its stored arrays."""
    return (cox if cox.BASELINE in arrays else linear).from_arrays(arrays)


SETTINGS = ClinicalSettings
