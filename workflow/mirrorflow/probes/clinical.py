"""Clinical columns alone (age, sex, stage): logistic regression for classes, ridge Cox for survival.

What a model of slides or genes has to beat. Sources: those of :mod:`~mirrorflow.probes.linear` and
:mod:`~mirrorflow.probes.cox`; the columns become vectors by :mod:`~mirrorflow.probes.covariates`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mirrorflow.errors import InputError
from mirrorflow.probes import cox, linear
from mirrorflow.probes.covariates import TARGETS
from mirrorflow.probes.fitted import FittedModel
from mirrorflow.probes.task import Asked, Targets


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
