"""Inputs and params of the table of the field: whole methods over the cohorts of disease-specific survival."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mirrorflow.config.queries import endpoint_of
from mirrorflow.plan.contract_path import ContractPath
from mirrorflow.plan.paths import CohortFile, PredictionsManifest
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.run import Run
from mirrorflow.plan.wildcards import Wildcards
from mirrorflow.tables.compared import DSS


@dataclass(frozen=True, order=True)
class FieldPictures(ContractPath):
    """Pictures of the field, an SVG a protocol and encoder."""

    TEMPLATE = "figures/survival_field"


@dataclass(frozen=True, eq=False)
class FieldInputs:
    """Cohorts whose outcome is DSS, methods that are no variant, protocols that are no single change."""

    run: Run
    predictions: PredictionInputs

    @property
    def cohorts(self) -> list[str]:
        """Param: the cohorts, in the order of the run."""
        return field_cohorts(self.run.config)

    @property
    def methods(self) -> list[str]:
        """Param: the methods, in the order of the run."""
        entries = self.run.config["methods"]
        return [name for name in self.run.methods if "--" not in name and "survival" in entries[name]["tasks"]]

    def manifests(self) -> list[str]:
        """Input: manifests of the methods under every protocol on every cohort."""
        known = set(self.methods)
        return [
            path
            for protocol in self.run.whole_protocols
            for cohort in self.cohorts
            for path in self.run.manifests(protocol, cohort)
            if PredictionsManifest.parse(path).method in known
        ]

    def cohort_files(self) -> list[str]:
        """Input: patients of each cohort, in their order."""
        return [self.run.at(CohortFile, cohort=cohort) for cohort in self.cohorts]

    def settings(self) -> dict[str, Any]:
        """Param: how means over cohorts are resampled, and which method others are held against."""
        evaluation = self.run.config["evaluation"]
        return {key: evaluation[key] for key in ("bootstrap", "confidence", "seed", "reference")}

    def planned(self, wildcards: Wildcards, threads: int) -> list[dict[str, Any]]:
        """Param that re-runs nothing: records that these predictions should have."""
        return self.predictions.records_of(self.manifests())


def field_cohorts(config: Mapping[str, Any]) -> list[str]:
    """Cohorts of a resolved config whose outcome is disease-specific survival; none where it is no task of the run."""
    if "survival" not in config["evaluation"]["tasks"]:
        return []
    return [name for name, entry in config["cohorts"].items() if endpoint_of(entry) == DSS]
