"""Inputs and params of what models saw on slides."""

from dataclasses import dataclass
from typing import Any

from mirrorflow.config.explained import explainable, explained_settings
from mirrorflow.config.protocols import scope_of
from mirrorflow.config.queries import encoders_of, methods_under
from mirrorflow.plan.contract_path import ContractPath
from mirrorflow.plan.models import ModelInputs
from mirrorflow.plan.paths import PredictionsManifest, SplitFile
from mirrorflow.plan.predictions import PredictionInputs
from mirrorflow.plan.run import Run
from mirrorflow.plan.store_paths import Ledger
from mirrorflow.plan.wildcards import Wildcards


@dataclass(frozen=True, order=True)
class ExplainedFolder(ContractPath):
    """Pictures of what a method's models saw on slides, and the values behind them."""

    protocol: str
    cohort: str
    encoder: str
    method: str
    TEMPLATE = "explained/{protocol}/{cohort}/{encoder}/{method}"


@dataclass(frozen=True, eq=False)
class ExplainInputs:
    """Of every method with patches, by the target ``explained``; by ``all`` where the config has the section."""

    run: Run
    models: ModelInputs
    predictions: PredictionInputs

    @property
    def methods(self) -> list[str]:
        """Methods that can be explained."""
        return explainable(self.run.config)

    @property
    def protocols(self) -> list[str]:
        """Protocols whose models are explained."""
        return explained_settings(self.run.config)["protocols"] or self.run.whole_protocols[:1]

    def folders(self) -> list[str]:
        """Folders of all that the section names, of its defaults where there is none."""
        run = self.run
        chosen = explained_settings(run.config)["methods"] or self.methods
        return [
            run.at(ExplainedFolder, protocol=protocol, cohort=cohort, encoder=encoder, method=method)
            for protocol in self.protocols
            for cohort in run.cohorts
            for method in methods_under(run.config, protocol)
            if method in chosen
            for encoder in encoders_of(run.config, cohort, method)
        ]

    def of_all(self) -> list[str]:
        """Folders that every run makes: none where the config does not have the section."""
        return self.folders() if "explain" in self.run.config else []

    def manifest(self, wildcards: Wildcards) -> str:
        """Input: the method's manifest, which names its models."""
        names = ("protocol", "cohort", "encoder", "method")
        return self.run.at(PredictionsManifest, **{name: getattr(wildcards, name) for name in names})

    def expression(self, wildcards: Wildcards) -> str | list[str]:
        """Input: the matrix, for networks that see RNA; vectors of pretrained ones are read from embeddings."""
        sees = "rna" in self.run.config["methods"][wildcards.method]["inputs"]
        return self.run.expression(wildcards) if sees and wildcards.method not in self.run.pretrained else []

    def embeddings(self, wildcards: Wildcards) -> list[str]:
        """Input: records of the embeddings that heads were trained on."""
        return self.models.embeddings(wildcards) if wildcards.method in self.run.pretrained else []

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
        return self.run.at(Ledger, cohort=wildcards.cohort, patching=self.run.patching_of(wildcards.encoder))

    def slides(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: the cohort's sheet of slides and its columns. What it names may be gone: that is said."""
        slides = self.run.cohort(wildcards.cohort)["slides"]
        return {"sheet": slides["sheet"], "columns": slides["columns"]}

    def settings(self, wildcards: Wildcards) -> dict[str, Any]:
        """Param: which patients, how many groups and draws."""
        named = explained_settings(self.run.config)
        return {key: named[key] for key in ("patients", "most", "groups", "covers")}
