"""Inputs and params of where slide and RNA vectors of pretrained methods lie."""

from dataclasses import dataclass
from typing import Any

from mirrorflow.config.explained import embeddings_settings
from mirrorflow.config.protocols import scope_of
from mirrorflow.config.queries import encoders_of, methods_under
from mirrorflow.plan.contract_path import ContractPath
from mirrorflow.plan.explained import ExplainInputs
from mirrorflow.plan.figures import MOST_RESAMPLES
from mirrorflow.plan.models import ModelInputs
from mirrorflow.plan.paths import EmbeddingsRecord, SplitFile, TableFile
from mirrorflow.plan.run import Run
from mirrorflow.plan.wildcards import Wildcards

TABLE = "modality_gap"


@dataclass(frozen=True, order=True)
class MapsFolder(ContractPath):
    """Maps of slide and RNA vectors, and what is measured of the vectors."""

    protocol: str
    cohort: str
    encoder: str
    TEMPLATE = "maps/{protocol}/{cohort}/{encoder}"


@dataclass(frozen=True, eq=False)
class MapInputs:
    """Of every encoder with a pretrained method, by the target ``explained``; by ``all`` where the config has
    ``explain``.
    """

    run: Run
    models: ModelInputs
    explained: ExplainInputs

    def _methods(self, protocol: str, cohort: str, encoder: str) -> list[str]:
        return [
            method
            for method in methods_under(self.run.config, protocol)
            if method in self.run.pretrained and encoder in encoders_of(self.run.config, cohort, method)
        ]

    def folders(self) -> list[str]:
        """A folder a protocol, cohort and encoder."""
        run = self.run
        return [
            run.at(MapsFolder, protocol=protocol, cohort=cohort, encoder=encoder)
            for protocol in self.explained.protocols
            for cohort in run.with_rna
            for encoder in run.config["cohorts"][cohort].get("encoders", ())
            if self._methods(protocol, cohort, encoder)
        ]

    def of_all(self) -> list[str]:
        """Folders that every run makes."""
        return self.folders() if "explain" in self.run.config else []

    def tables(self) -> list[str]:
        """The table of distances in its three forms; nothing without a pretrained method."""
        endings = ("csv", "md", "tex") if self.folders() else ()
        return [self.run.at(TableFile, name=TABLE, ending=ending) for ending in endings]

    def tables_of_all(self) -> list[str]:
        """Those that every run makes."""
        return self.tables() if "explain" in self.run.config else []

    def embeddings(self, wildcards: Wildcards) -> list[str]:
        """Input: records of the embeddings of each pretrained method, of the first seed."""
        where = {"scope": self.run.scope(wildcards), "cohort": wildcards.cohort, "encoder": wildcards.encoder}
        where |= {"mode": self.run.protocol(wildcards)["probe_features"], "genes": ""}
        return [
            self.run.at(EmbeddingsRecord, **where, method=method, seed=self.run.config["seeds"][0])
            for method in self._methods(wildcards.protocol, wildcards.cohort, wildcards.encoder)
        ]

    def splits(self, wildcards: Wildcards) -> list[str]:
        """Input: split files of the protocol's folds."""
        where = {"scope": scope_of(self.run.protocol(wildcards)), "cohort": wildcards.cohort, "inner": ""}
        return [self.run.at(SplitFile, **where, fold=fold) for fold in self.run.folds]

    @property
    def settings(self) -> dict[str, Any]:
        """Param: section ``explain.embeddings``, with the run's seed."""
        return {**embeddings_settings(self.run.config), "seed": self.run.config["evaluation"]["seed"]}

    @property
    def bands(self) -> dict[str, Any]:
        """Param: how intervals are resampled."""
        settings = self.run.config["evaluation"]
        resamples = min(MOST_RESAMPLES, settings["bootstrap"])
        return {"resamples": resamples, "seed": settings["seed"], "confidence": settings["confidence"]}
