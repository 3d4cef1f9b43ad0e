"""Inputs of the method ``site``: which of the training patients' sites a unit is of."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mirrorflow.cohorts.splits import Fold
from mirrorflow.learners.base import Recipe
from mirrorflow.learners.inputs.vectors import FoldVectors
from mirrorflow.probes.covariates import CovariateEncoder
from mirrorflow.store.digest import patients_digest

SITES = "list of sites"


@dataclass
class SiteCodes:
    """A column a site of the fold's training patients: 1 for its units. Width 0 where none of them has a site."""

    units: pd.DataFrame

    def digest(self, fold_number: int) -> str:
        """The same for every fold: sites are in the cohort, whose digest every prediction has."""
        return "sites"

    def vectors(
        self, fold: Fold, fold_number: int, seed: int, train: pd.DataFrame, evaluation: pd.DataFrame
    ) -> FoldVectors:
        """Sites of the units; those that no training patient has, and unknown ones, are 0 in every column."""
        known = self.units[self.units["patient"].isin(fold.train)].drop_duplicates("patient")
        sites = sorted(set(known["site"].fillna("")) - {""})
        recipe = Recipe({"kind": "site", "sites": sites})
        fitted = {SITES: patients_digest(known["patient"])}
        return FoldVectors(site_columns(train, sites)[None], site_columns(evaluation, sites)[None], fitted, recipe)


def site_columns(frame: pd.DataFrame, sites: list[str]) -> np.ndarray:
    """[row, site] 1 where a row's ``site`` is that one, else 0."""
    return CovariateEncoder({}, {"site": sites}).transform(frame) if sites else np.zeros((len(frame), 0))
