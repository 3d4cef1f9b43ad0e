"""Paths of what the user's own files held when something was made of them (:mod:`mirrorflow.plan.given_states`)."""

from dataclasses import dataclass

from mirrorflow.plan.contract_path import ContractPath
from mirrorflow.plan.paths import CohortFile, FeatureIndex
from mirrorflow.plan.store_paths import PatchStatus


@dataclass(frozen=True, order=True)
class SlidesGiven(PatchStatus):
    """The sheet and the slide files, when a shard was patched."""

    TEMPLATE = "slides/{cohort}/{patching}/shards/{shard}.given.json"


@dataclass(frozen=True, order=True)
class FeaturesGiven(FeatureIndex):
    """The sheet and features made elsewhere, when the index was made."""

    TEMPLATE = "features/{cohort}/{encoder}.given.json"


@dataclass(frozen=True, order=True)
class CohortGiven(CohortFile):
    """The clinical files, when the cohort was built."""

    TEMPLATE = "cohort/{cohort}.given.json"


@dataclass(frozen=True, order=True)
class ResultsGiven(ContractPath):
    """Lists of genes and split files, when the long table was made."""

    TEMPLATE = "tables/results.given.json"
