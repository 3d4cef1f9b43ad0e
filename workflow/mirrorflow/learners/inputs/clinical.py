"""Inputs of the method ``clinical``: chosen columns of the cohort's sheet, encoded on a fold's training patients."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from mirrorflow.cohorts.splits import Fold
from mirrorflow.learners.base import Recipe
from mirrorflow.learners.inputs.vectors import FoldVectors
from mirrorflow.probes.covariates import CovariateEncoder, log_stray
from mirrorflow.store.digest import digest, patients_digest

COVARIATES = "covariate encoder"

logger = logging.getLogger("mirrorflow.predict")


@dataclass
class ClinicalColumns:
    """Covariates of the units (vectors of width 0 where the cohort has none of the columns)."""

    units: pd.DataFrame
    columns: Sequence[str]

    def digest(self, fold_number: int) -> str:
        """The columns; their values are in the cohort, whose digest every prediction has."""
        return digest({"columns": list(self.columns)})

    def vectors(
        self, fold: Fold, fold_number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame
    ) -> FoldVectors:
        """Encoded columns; medians and categories are those of all of the fold's training patients."""
        fitted_on = self.units[self.units["patient"].isin(fold.train)].drop_duplicates("patient")
        encoder = CovariateEncoder.fit(fitted_on, self.columns)
        if lacking := [name for name in self.columns if name not in encoder.columns]:
            logger.warning("clinical: nothing is known of %s in fold %d", ", ".join(lacking), fold_number)
        for name, stray in encoder.no_numbers(evaluation.drop_duplicates("patient")).items():
            log_stray(name, stray, f"evaluation (fold {fold_number})")
        fitted = {COVARIATES: patients_digest(fitted_on["patient"])}
        settings, arrays = encoder.stored()
        recipe = Recipe({"kind": "clinical", **settings}, {COVARIATES: arrays})
        return FoldVectors(encoder.transform(train)[None], encoder.transform(evaluation)[None], fitted, recipe)
