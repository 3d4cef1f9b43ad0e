"""Inputs and params of the bounds that the dead of unknown cause set to a cause-specific outcome."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from mirrorflow.config.queries import endpoint_of
from mirrorflow.plan.contract_path import ContractPath
from mirrorflow.plan.models import ModelInputs
from mirrorflow.plan.paths import CohortFile, PredictionsManifest
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.run import Run
from mirrorflow.plan.wildcards import Wildcards


@dataclass(frozen=True, order=True)
class UnknownCauses(ContractPath):
    """Risks of the dead of unknown cause, of every method of a protocol on a cohort."""

    protocol: str
    cohort: str
    TEMPLATE = "unknown_causes/{protocol}/{cohort}.tsv"


@dataclass(frozen=True, eq=False)
class CauseInputs:
    """Cause-specific cohorts of a run with survival among its tasks; protocols of single changes are left out."""

    run: Run
    models: ModelInputs
    predictions: PredictionInputs

    @property
    def cohorts(self) -> list[str]:
        """Cohorts whose outcome is of one cause."""
        return cause_specific(self.run.config)

    def _cases(self) -> list[tuple[str, str]]:
        return [(protocol, cohort) for protocol in self.run.whole_protocols for cohort in self.cohorts]

    def sheets(self) -> list[str]:
        """Input: risks of the dead of unknown cause, a sheet a protocol and cohort."""
        return [self.run.at(UnknownCauses, protocol=protocol, cohort=cohort) for protocol, cohort in self._cases()]

    def manifests(self) -> list[str]:
        """Input: manifests of the methods of these protocols and cohorts."""
        return [path for protocol, cohort in self._cases() for path in self.run.manifests(protocol, cohort)]

    def cohort_files(self) -> list[str]:
        """Input: patients of each cohort, in their order."""
        return [self.run.at(CohortFile, cohort=cohort) for cohort in self.cohorts]

    def planned(self, wildcards: Wildcards, threads: int) -> list[dict[str, Any]]:
        """Param that re-runs nothing: records that these predictions should have."""
        return self.predictions.records_of(self.manifests())

    def embeddings(self, wildcards: Wildcards) -> list[str]:
        """Input: records of the embeddings that heads of pretrained methods are given."""
        manifests = map(PredictionsManifest.parse, self.run.manifests(wildcards.protocol, wildcards.cohort))
        return [
            path
            for place in manifests
            if place.method in self.run.pretrained
            for path in self.models.embeddings(cast("Wildcards", place))
        ]


def cause_specific(config: Mapping[str, Any]) -> list[str]:
    """Cohorts of a resolved config whose outcome is of one cause; none where survival is no task of the run."""
    if "survival" not in config["evaluation"]["tasks"]:
        return []
    return [name for name, entry in config["cohorts"].items() if endpoint_of(entry)]
