"""Inputs and params of the figures of TTA's prototypes."""

from dataclasses import dataclass
from typing import Any

from mirrorflow.config.protocols import scope_of
from mirrorflow.config.queries import encoders_of, methods_under
from mirrorflow.plan.contract_path import ContractPath
from mirrorflow.plan.paths import PredictionsManifest, SplitFile
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.run import Run
from mirrorflow.plan.store_paths import Ledger
from mirrorflow.plan.wildcards import Wildcards

FAMILY = "tta"


@dataclass(frozen=True, order=True)
class PrototypesFolder(ContractPath):
    """Figures of a method's prototypes, and the tables behind them."""

    protocol: str
    cohort: str
    encoder: str
    method: str
    TEMPLATE = "prototypes/{protocol}/{cohort}/{encoder}/{method}"


@dataclass(frozen=True, eq=False)
class PrototypeInputs:
    """Of ``tta`` by itself a run draws them; of a variant (``tta--...``) on request, by the path of its folder."""

    run: Run
    predictions: PredictionInputs

    @property
    def methods(self) -> list[str]:
        """Methods whose prototypes can be drawn, where survival is a task of the run."""
        if "survival" not in self.run.config["evaluation"]["tasks"]:
            return []
        return [name for name in self.run.methods if self.run.family(name) == FAMILY]

    def folders(self) -> list[str]:
        """Folders of figures that a run makes; protocols of single changes have none."""
        return [
            self.run.at(PrototypesFolder, protocol=protocol, cohort=cohort, encoder=encoder, method=method)
            for protocol in self.run.whole_protocols
            for cohort in self.run.cohorts
            for method in methods_under(self.run.config, protocol)
            if method == FAMILY and method in self.methods
            for encoder in encoders_of(self.run.config, cohort, method)
        ]

    def manifest(self, wildcards: Wildcards) -> str:
        """Input: the method's manifest, which names its models."""
        names = ("protocol", "cohort", "encoder", "method")
        return self.run.at(PredictionsManifest, **{name: getattr(wildcards, name) for name in names})

    def splits(self, wildcards: Wildcards) -> list[str]:
        """Input: split files of the protocol's folds."""
        where = {"scope": scope_of(self.run.protocol(wildcards)), "cohort": wildcards.cohort, "inner": ""}
        return [self.run.at(SplitFile, **where, fold=fold) for fold in self.run.folds]

    def planned(self, wildcards: Wildcards, threads: int) -> list[dict[str, Any]]:
        """Param that re-runs nothing: the record that these predictions should have."""
        return self.predictions.records_of([self.manifest(wildcards)])

    def ledger(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the ledger that thumbnails lie beside; nothing where features were made elsewhere."""
        if wildcards.encoder not in self.run.own_encoders(wildcards.cohort):
            return []
        patching = self.run.patching_of(wildcards.encoder)
        return self.run.at(Ledger, cohort=wildcards.cohort, patching=patching)
