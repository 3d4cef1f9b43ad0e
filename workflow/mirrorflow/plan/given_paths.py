"""Paths of what the user's own files held when something was made of them (:mod:`mirrorflow.plan.given_states`)."""

from dataclasses import dataclass

from mirrorflow.plan.contract_path import ContractPath


@dataclass(frozen=True, order=True)
class SlidesGiven(ContractPath):
    """The sheet and the slide files, when a shard was patched."""

    cohort: str
    patching: str
    shard: int
    TEMPLATE = "slides/{cohort}/{patching}/shards/{shard}.given.json"
    UNDER = "store"


@dataclass(frozen=True, order=True)
class FeaturesGiven(ContractPath):
    """The sheet and features made elsewhere, when the index was made."""

    cohort: str
    encoder: str
    TEMPLATE = "features/{cohort}/{encoder}.given.json"


@dataclass(frozen=True, order=True)
class CohortGiven(ContractPath):
    """The clinical files, when the cohort was built."""

    cohort: str
    TEMPLATE = "cohort/{cohort}.given.json"


@dataclass(frozen=True, order=True)
class ResultsGiven(ContractPath):
    """Lists of genes and split files, when the long table was made."""

    TEMPLATE = "tables/results.given.json"
